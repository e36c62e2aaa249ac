"""The quick form of the ordeal: real clients, relays and a real service, really killed."""

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings

from tests import live
from tests.outbox.conftest import KINDS


@pytest.mark.parametrize("database", KINDS)
def test_what_is_stored_after_kills_is_what_was_committed(database: str) -> None:
    if database not in settings.DATABASES:
        pytest.skip("MariaDB is not on this machine: Debian has it as mariadb-server")
    command = [sys.executable, "-m", "benchmarks.outbox_kill", "--transactions", "120", "--rounds", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OUTBOX_", "TESTS_"))}

    done = subprocess.run(
        [*command, "--database", database], cwd=live.ROOT, env=environment, capture_output=True, text=True, check=False
    )

    verdict = json.loads(done.stdout or "{}")
    assert done.returncode == 0, f"{verdict}\n{done.stderr}"
    assert verdict["killed"] == {"client": 1, "relay": 1, "service": 1}
