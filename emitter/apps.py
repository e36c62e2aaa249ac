from django.apps import AppConfig
from django.core.checks import register


class EmitterConfig(AppConfig):
    name = "emitter"
    label = "heliograph"
    verbose_name = "Heliograph"

    def ready(self) -> None:
        from emitter import checks, receivers

        register(checks.check_configuration)
        receivers.connect()
