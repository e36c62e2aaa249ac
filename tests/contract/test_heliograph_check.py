"""``manage.py heliograph_check`` in a real shop, of a live service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.contract import shop
from tests.contract.tenants import Tenant


def check(url: str, key: str, folder: Path) -> tuple[int, dict[str, Any]]:
    """Return the exit code, and the lines by name."""
    environment = {
        **{name: os.environ[name] for name in os.environ.keys() - {"DATABASE_URL", "VAR_DIR"}},
        "DJANGO_SETTINGS_MODULE": "settings",
        "SHOP_DATABASE": str(shop.database(folder)),
        "HELIOGRAPH_URL": url,
        "HELIOGRAPH_KEY": key,
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "heliograph_check", "--json"],
        cwd=shop.FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert key not in done.stdout + done.stderr
    return done.returncode, {line["name"]: line for line in json.loads(done.stdout)["lines"]}


def test_all_is_well_and_the_event_is_stored_once(tenant: Tenant, tmp_path: Path) -> None:
    code, lines = check(tenant.url, tenant.write_key, tmp_path)

    assert {name: line["status"] for name, line in lines.items()} == dict.fromkeys(lines, "ok")
    assert code == 0
    (event,) = tenant.events()
    assert event["type"] == "heliograph.check"
    assert event["id"] in lines["event"]["detail"]


def test_a_key_that_may_only_read_is_known_and_may_not_write(tenant: Tenant, tmp_path: Path) -> None:
    code, lines = check(tenant.url, tenant.read_key, tmp_path)

    assert (lines["key"]["status"], lines["clock"]["status"], lines["event"]["status"]) == ("ok", "ok", "FAILED")
    assert "events:write" in lines["event"]["todo"]
    assert code == 1


def test_a_key_that_nobody_made_is_not_known(tenant: Tenant, tmp_path: Path) -> None:
    code, lines = check(tenant.url, f"hg_{'x' * 40}", tmp_path)

    assert (lines["service"]["status"], lines["key"]["status"], lines["event"]["status"]) == ("ok", "FAILED", "skipped")
    assert code == 1


def test_an_address_beside_the_service_is_told(tenant: Tenant, tmp_path: Path) -> None:
    code, lines = check(f"{tenant.url}/elsewhere", tenant.write_key, tmp_path)

    assert (lines["address"]["status"], lines["service"]["status"]) == ("ok", "FAILED")
    assert "first page" in lines["service"]["todo"]
    assert code == 1
