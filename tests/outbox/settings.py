"""A project whose events go through an outbox, in a database of each kind that this machine has."""

import atexit
import os
import tempfile
from pathlib import Path

from tests import mariadb
from tests.emitter.settings import database

SECRET_KEY = "tests, and long enough to sign tokens with"
USE_TZ = True
ROOT_URLCONF = "tests.outbox.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "tests.outbox.store", "emitter"]
MIGRATION_MODULES = dict.fromkeys(["auth", "contenttypes"])
MIDDLEWARE = ["emitter.middleware.HeliographMiddleware"]

if "OUTBOX_FOLDER" not in os.environ:  # else a process of a test's
    _folder = tempfile.TemporaryDirectory(prefix="heliograph-outbox-", ignore_cleanup_errors=True)
    atexit.register(_folder.cleanup)
    os.environ["OUTBOX_FOLDER"] = _folder.name
_file = Path(os.environ["OUTBOX_FOLDER"]) / "sqlite"

DATABASES = {
    "default": database("outbox"),
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _file,
        "TEST": {"NAME": _file},
        "OPTIONS": {"timeout": 30, "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=off"},
    },
}
if _mariadb := mariadb.database("outbox"):
    DATABASES["mariadb"] = _mariadb

if "OUTBOX_NAME" in os.environ:  # a process of a test's, on the test's databases
    for _each in {"default", "mariadb"} & DATABASES.keys():
        DATABASES[_each]["NAME"] = os.environ["OUTBOX_NAME"]

HELIOGRAPH_URL = os.environ.get("OUTBOX_URL", "http://127.0.0.1:9")
HELIOGRAPH_KEY = os.environ.get("OUTBOX_KEY", "hg_tests")
HELIOGRAPH_SOURCE = "/tests"
HELIOGRAPH_SIGNALS = ["model", "m2m", "request"]
HELIOGRAPH_CUSTOM_SIGNALS = ["store.*"]
HELIOGRAPH_DELIVERY = "outbox"
HELIOGRAPH_OUTBOX_ATOMIC = "OUTBOX_ATOMIC" in os.environ
HELIOGRAPH_RELAY = os.environ.get("OUTBOX_RELAY", "command")
HELIOGRAPH_SPOOL = os.environ.get("OUTBOX_SPOOL", "")
HELIOGRAPH_INTERVAL = 0.05
HELIOGRAPH_OUTBOX_LEASE = float(os.environ.get("OUTBOX_LEASE", "60"))
