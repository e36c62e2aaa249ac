"""A Chromium for the browser tests: one that is there, or else one fetched from Debian or by Playwright.

Fetching happens in other processes, which pytest's closed network does not hold.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
PATIENCE = 600  # seconds for each command that fetches
APT = [["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]]
PLAYWRIGHT = [sys.executable, "-m", "playwright", "install", "chromium"]
ASK_PLAYWRIGHT = (
    "from playwright.sync_api import sync_playwright\n"
    "with sync_playwright() as playwright: print(playwright.chromium.executable_path)"
)


class NoChromiumError(Exception):
    """There is no Chromium, and none can be had; says what was tried."""


def path() -> Path:
    """Return the browser's path, fetching it where there is none. Raises `NoChromiumError`."""
    named = os.environ.get("CHROMIUM")
    if named:
        return existing(Path(named))
    found = installed()
    if found is not None:
        return found
    said = [attempt(command) for command in ways()]
    found = installed()
    if found is not None:
        return found
    raise NoChromiumError("No Chromium was found (set CHROMIUM to its path), nor could be fetched.\n" + "\n".join(said))


def existing(named: Path) -> Path:
    if not named.is_file():
        raise NoChromiumError(f"CHROMIUM says {named}, which is no file.")
    return named


def installed() -> Path | None:
    on_path = filter(None, map(shutil.which, NAMES))
    return next(map(Path, on_path), None) or playwrights_own()


def playwrights_own() -> Path | None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK_PLAYWRIGHT], capture_output=True, text=True, timeout=60, check=False
    )
    found = Path(asked.stdout.strip())
    return found if found.is_file() else None


def ways() -> Iterator[Sequence[str]]:
    """Yield the commands that may bring a Chromium, each only if those before it did not."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        yield from APT
    if installed() is None:
        yield PLAYWRIGHT


def attempt(command: Sequence[str]) -> str:
    """Run ``command`` and return, in a few lines, what came of it."""
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{' '.join(command)}: {error}"
    lines = done.stdout.splitlines()
    errors = [line.strip() for line in lines if line.startswith(("Error", "E: "))]
    return f"{' '.join(command)}: exit code {done.returncode}: {' '.join(errors or lines[-1:])}"
