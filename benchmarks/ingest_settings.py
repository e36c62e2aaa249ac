"""The service's own settings, with a view that does nothing beside its own: see `benchmarks.ingest_urls`."""

from service.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.ingest_urls"
