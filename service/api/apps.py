from django.apps import AppConfig
from django.db.backends.signals import connection_created


class ApiConfig(AppConfig):
    name = "service.api"
    label = "api"

    def ready(self) -> None:
        from service.api import timestamps

        connection_created.connect(timestamps.register)
