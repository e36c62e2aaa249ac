"""A small project as it runs in each kind of server; where it sends its events comes from the environment."""

import os

SECRET_KEY = "tests"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.processes.shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["tests.processes.shop", "emitter"]
MIDDLEWARE = ["emitter.middleware.HeliographMiddleware"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "[{process}] {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"heliograph": {"handlers": ["console"], "level": "INFO"}},
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SHOP_DATABASE"],
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}

HELIOGRAPH_URL = os.environ["SINK"]
HELIOGRAPH_KEY = "hg_tests"
HELIOGRAPH_SOURCE = "/processes"
HELIOGRAPH_CUSTOM_SIGNALS = ["shop.*"]
HELIOGRAPH_TIMEOUT = float(os.environ.get("TIMEOUT", "10"))
HELIOGRAPH_INTERVAL = float(os.environ.get("INTERVAL", "60"))  # what arrives at an end was sent by that end
HELIOGRAPH_SHUTDOWN_TIMEOUT = float(os.environ.get("SHUTDOWN_TIMEOUT", "5"))
