"""``docs/how-to/keys.md``, carried out as written, on a live service."""

import os
import re
import subprocess
import sys

import pytest

from service.events.models import Event
from service.projects.models import Key
from tests import live

PAGE = live.ROOT / "docs" / "how-to" / "keys.md"
SEND = """
status() {
    curl -s -o /dev/null -w '%{http_code}\\n' \\
        -H "Authorization: Bearer $1" -H 'Content-Type: application/json' -d '[]' "$URL/events/"
}
"""


@pytest.mark.django_db(transaction=True)
def test_a_key_is_rotated_as_the_page_says(live_service: str) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    set_up, make, rotate, look, end, log = (
        block.replace("http://localhost:8000", live_service).replace(".venv/bin/python", sys.executable)
        for block in blocks
    )
    uses = ['OLD=$HELIOGRAPH_KEY\nstatus "$OLD"\n', 'status "$OLD"\nstatus "$HELIOGRAPH_KEY"\n']
    script = [set_up, SEND, make, uses[0], rotate, uses[1], look, end, log]
    environment = os.environ | {
        "DATABASE_URL": live.database_address(),
        "DJANGO_SETTINGS_MODULE": "service.settings",
        "SECRET_KEY": "tests",
    }

    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="\n".join(script),
        cwd=live.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["200"] * 3, "the old key, then the old and the new"
    assert [re.match(r"\d{4}-", line) is not None for line in lines[3:5]] == [True, True]
    old, new = Key.objects.filter(label="shop, web").order_by("pk")
    assert (old.successor, old.revoked_at is None, new.revoked_at) == (new, False, None)
    for kind in ("key_made", "key_rotated", "key_revoked"):
        assert f"heliograph.{kind}" in lines[-1]
    assert Event.objects.filter(type__startswith="heliograph.key").count() == 4
