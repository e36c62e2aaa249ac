"""``make demo``: the service, a shop with the emitter installed, a day in that shop, and a look at what was stored.

With ``DEMO_ONCE=1`` it stops then, and fails if fewer events were stored than captured.
"""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import urllib3

ROOT = Path(__file__).resolve().parent.parent
SHOP = ROOT / "examples" / "shop"
VAR = Path(os.environ.get("VAR_DIR") or ROOT / "var").resolve()
URL = f"http://127.0.0.1:{os.environ.get('PORT') or '8000'}"
PATIENCE = 300  # seconds for the first start, which makes a database
RECORDS = "/heliograph"  # the source of what the service records of itself, such as this reading

http = urllib3.PoolManager(retries=False, timeout=10)


def is_ready() -> bool:
    try:
        return http.request("GET", f"{URL}/readyz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def wait_until_ready(service: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_ready():
        if service.poll() is not None:
            sys.exit(f"The service ended with exit code {service.returncode} before it was ready; see above.")
        if time.monotonic() > deadline:
            service.terminate()
            sys.exit(f"The service was not ready after {PATIENCE} s.")
        time.sleep(0.2)


def manage(folder: Path, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{arguments[0]} failed, see above. If another Heliograph answers at {URL}, choose another PORT.")
    return done.stdout.strip()


def live_a_day(key: str) -> int:
    """Return how many events the shop captured."""
    environment = {"HELIOGRAPH_URL": URL, "HELIOGRAPH_KEY": key, "SHOP_DATABASE": str(VAR / "shop.sqlite3")}
    environment["DJANGO_SETTINGS_MODULE"] = "settings"
    manage(SHOP, "migrate", "--verbosity", "0", "--skip-checks", **environment | {"HELIOGRAPH_URL": ""})
    return int(manage(SHOP, "live_a_day", **environment).splitlines()[-1])


def stored_since(moment: datetime, key: str) -> int:
    page: str | None = f"/api/v1/events/?page_size=1000&q=-source:{RECORDS}&time__gte={moment:%Y-%m-%dT%H:%M:%S.%fZ}"
    count = 0
    while page:
        answer: Any = http.request("GET", urljoin(URL, page), headers={"Authorization": f"Bearer {key}"}).json()
        count += len(answer["results"])
        page = answer["next"]
    return count


def demonstrate() -> bool:
    """Run the shop once and tell; True when everything captured is stored."""
    key = manage(ROOT, "create_key", "demo", "--create", "--scopes", "events:write,events:read", "--label", "make demo")
    started = datetime.now(UTC)
    captured = live_a_day(key)
    stored = stored_since(started, key)
    print(
        f"\nA day in the shop: {captured} events captured, {stored} stored.\n\n"
        f"  The newest three:    curl -s -H 'Authorization: Bearer {key}' '{URL}/api/v1/events/?page_size=3'\n"
        f"  Orders deleted:      curl -s -H 'Authorization: Bearer {key}' "
        f"'{URL}/api/v1/events/?sender=shop.Order&action=deleted'\n"
        f"  Try the API:         {URL}/api/v1/docs/   (Authorize with the key above)\n"
        f"  Projects and keys:   {URL}/admin/\n",
        flush=True,
    )
    return captured == stored


def main() -> int:
    once = os.environ.get("DEMO_ONCE", "") not in {"", "0"}
    if is_ready():
        return 0 if demonstrate() else 1
    service = subprocess.Popen([sys.executable, "manage.py", "up"], cwd=ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        wait_until_ready(service)
        complete = demonstrate()
        if not once:
            service.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        http.clear()  # the web server waits for open connections
        service.send_signal(signal.SIGINT)
        service.wait()
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
