"""A bare Django project with the emitter installed, as its users have it."""

import os

from psycopg.conninfo import conninfo_to_dict

_parts = conninfo_to_dict(os.environ["DATABASE_URL"])

SECRET_KEY = "tests, and long enough to sign tokens with"
USE_TZ = True
ROOT_URLCONF = "tests.emitter.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.postgres",
    "rest_framework.authtoken",
    "tests.emitter.library",
    "emitter",
]

LIBRARY_MEMBER_MODEL = "library.Author"

# Tables straight from the models: the tests need no history of them.
MIGRATION_MODULES = dict.fromkeys(["auth", "authtoken", "contenttypes", "sessions"])

MIDDLEWARE = [
    "emitter.middleware.HeliographMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


def database(name: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": _parts.get("user", ""),
        "PASSWORD": _parts.get("password", ""),
        "HOST": _parts.get("host", ""),
        "PORT": _parts.get("port", ""),
    }


DATABASES = {"default": database("emitter"), "other": database("emitter_other")}

HELIOGRAPH_URL = "http://127.0.0.1:9"  # the discard port: nothing listens, and tests that send set their own
HELIOGRAPH_KEY = "hg_tests"
HELIOGRAPH_SOURCE = "/tests"
HELIOGRAPH_SIGNALS = ["model", "m2m", "auth", "request", "pre_save", "pre_delete"]
HELIOGRAPH_CUSTOM_SIGNALS = ["library.*"]
