"""The quick form of the ordeal: real clients, relays and a real service, really killed. The rest is the script's."""

import json
import os
import subprocess
import sys

from tests import live


def test_what_is_stored_after_kills_is_what_was_committed() -> None:
    command = [sys.executable, "-m", "benchmarks.outbox_kill", "--transactions", "120", "--rounds", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}

    done = subprocess.run(command, cwd=live.ROOT, env=environment, capture_output=True, text=True, check=False)

    verdict = json.loads(done.stdout or "{}")
    assert done.returncode == 0, f"{verdict}\n{done.stderr}"
    assert verdict["killed"] == {"client": 1, "relay": 1, "service": 1}
