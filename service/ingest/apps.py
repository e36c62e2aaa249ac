from django.apps import AppConfig


class IngestConfig(AppConfig):
    name = "service.ingest"
    label = "ingest"
