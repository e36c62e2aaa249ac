"""The service's own settings, with what only makes tests slow switched off."""

from service.settings import *  # noqa: F403

SECRET_KEY = "tests"
RECORD_READS = False  # each event is one that a test stored
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
