"""Processes of a test's own: a management command of the project in these settings, on the test's databases."""

import os
import subprocess
import sys

from tests import live


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    own = {"DJANGO_SETTINGS_MODULE": "tests.outbox.settings", "OUTBOX_NAME": "test_outbox", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "django", *arguments],
        cwd=live.ROOT,
        env={**os.environ, **own, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
