"""Run ``examples/shop``, the emitter's real client project, in a process of its own."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests import live

FOLDER = live.ROOT / "examples" / "shop"
PASSWORDS = ["a long enough password", "guessed"]

# The shop's own settings, but its log tells of each answer and who says what, and no disk and no hashing is waited for.
SETTINGS = """
from settings import *

DATABASES["default"]["OPTIONS"]["init_command"] = "PRAGMA synchronous = OFF"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"named": {"format": "{name} {levelname} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "named"}},
    "loggers": {
        "heliograph": {"handlers": ["stderr"], "level": "WARNING"},
        "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "django.request": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
"""
ANSWER = re.compile(r'^django\.server \w+ "(?P<request>.+) HTTP/1\.1" (?P<status>\d+) (?P<size>\d+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What a day in the shop looked like from outside. ``answers`` holds request line, status and size of each."""

    captured: int
    answers: list[tuple[str, ...]]
    warnings: list[str]
    log: str


def live_a_day(folder: Path, url: str, key: str, *, patience: float = 30) -> Day:
    """Open a new shop with its database in ``folder``, and live a day in it. Raises if its process fails."""
    (folder / "observed.py").write_text(SETTINGS)
    environment = {
        **{name: os.environ[name] for name in os.environ.keys() - {"DATABASE_URL", "VAR_DIR"}},
        "DJANGO_SETTINGS_MODULE": "observed",
        "PYTHONPATH": str(folder),
        "SHOP_DATABASE": str(database(folder)),
        "HELIOGRAPH_KEY": key,
    }
    manage("migrate", "--verbosity=0", environment=environment)
    done = manage("live_a_day", f"--patience={patience}", environment=environment | {"HELIOGRAPH_URL": url})
    return Day(
        captured=int(done.stdout.splitlines()[-1]),
        answers=ANSWER.findall(done.stderr),
        warnings=re.findall(r"^heliograph WARNING .*$", done.stderr, re.MULTILINE),
        log=done.stderr,
    )


def database(folder: Path) -> Path:
    return folder / "shop.sqlite3"


def manage(*arguments: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
