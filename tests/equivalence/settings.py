"""A bare Django project with the emitter and django-auditlog side by side: the same models once for each diff mode."""

import os

from psycopg.conninfo import conninfo_to_dict

_parts = conninfo_to_dict(os.environ["DATABASE_URL"])

SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "auditlog",
    "tests.equivalence.loaded",
    "tests.equivalence.selected",
    "tests.equivalence.off",
    "emitter",
]

# Tables straight from the models: the tests need no history of them.
MIGRATION_MODULES = dict.fromkeys(["auth", "contenttypes", "auditlog"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "equivalence",
        "USER": _parts.get("user", ""),
        "PASSWORD": _parts.get("password", ""),
        "HOST": _parts.get("host", ""),
        "PORT": _parts.get("port", ""),
    }
}

HELIOGRAPH_URL = "http://127.0.0.1:9"  # the discard port: the tests put a transport of their own in its place
HELIOGRAPH_KEY = "hg_tests"
HELIOGRAPH_SOURCE = "/tests"
HELIOGRAPH_MODELS = ["loaded.*", "selected.*", "off.*"]
HELIOGRAPH_DIFF = {"selected.*": "select", "off.*": "off"}

_RELATIONS = {"Book": ["genres"], "Author": ["friends"]}
AUDITLOG_INCLUDE_TRACKING_MODELS = [
    {"model": f"{app}.{name}", "m2m_fields": _RELATIONS.get(name, [])}
    for app in ("loaded", "selected", "off")
    for name in ("Publisher", "Genre", "Author", "Liking", "Book", "Audiobook", "Novel")
]
