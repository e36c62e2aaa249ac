"""A client project whose models are watched by four other packages at once: what `import_events` finds in one."""

import os

from psycopg.conninfo import conninfo_to_dict

_parts = conninfo_to_dict(os.environ["DATABASE_URL"])

SECRET_KEY = "tests"
USE_TZ = True
TIME_ZONE = "Asia/Tokyo"  # far from UTC, so that a time without a zone isn't right by chance
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.history.urls"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "auditlog",
    "easyaudit",
    "pgtrigger",
    "pghistory",
    "simple_history",
    "tests.history.store",
    "emitter",
]

# Tables straight from the models, whose order of making no migration knows.
MIGRATION_MODULES = dict.fromkeys(["auth", "contenttypes", "sessions", "auditlog", "easyaudit", "pghistory"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("HISTORY_DATABASE", "history"),
        "USER": _parts.get("user", ""),
        "PASSWORD": _parts.get("password", ""),
        "HOST": _parts.get("host", ""),
        "PORT": _parts.get("port", ""),
    }
}

MIDDLEWARE = ["emitter.middleware.HeliographMiddleware"]

HELIOGRAPH_URL = os.environ.get("HELIOGRAPH_URL", "")  # empty: the emitter captures nothing
HELIOGRAPH_KEY = os.environ.get("HELIOGRAPH_KEY", "hg_tests")
# Else it would watch what the others write.
DJANGO_EASY_AUDIT_REGISTERED_CLASSES = [f"store.{name}" for name in ("Tag", "Customer", "Order", "Draft", "Key")]

HELIOGRAPH_SOURCE = "/history"
HELIOGRAPH_EXCLUDE_MODELS = ["store.Draft"]
HELIOGRAPH_EXCLUDE_FIELDS = ["store.Order.notes"]
HELIOGRAPH_MASK_NAMES = ["diagnosis"]
