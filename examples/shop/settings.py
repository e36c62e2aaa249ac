"""Settings of the shop: an ordinary small Django project. The lines marked (*) install the emitter."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "a shop that is only an example needs no secret"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "shop",
    "emitter",  # (*)
]

MIDDLEWARE = [
    "emitter.middleware.HeliographMiddleware",  # (*)
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", BASE_DIR / "shop.sqlite3"),
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}

HELIOGRAPH_URL = os.environ.get("HELIOGRAPH_URL", "")  # (*)
HELIOGRAPH_KEY = os.environ.get("HELIOGRAPH_KEY", "")  # (*)
HELIOGRAPH_SOURCE = "/shop/web"
HELIOGRAPH_SIGNALS = ["model", "m2m", "auth", "request", "pre_save", "pre_delete"]
HELIOGRAPH_CUSTOM_SIGNALS = ["shop.*"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {
        "heliograph": {"handlers": ["stderr"], "level": "WARNING"},
        # The view that raises does so on purpose.
        "django.request": {"handlers": [], "level": "CRITICAL", "propagate": False},
        "django.server": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
