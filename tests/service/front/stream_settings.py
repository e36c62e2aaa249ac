"""The settings of a service that has the addresses of streams.py too."""

from service.settings import *  # noqa: F403

ROOT_URLCONF = "tests.service.front.streams"
