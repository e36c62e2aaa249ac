from django.apps import AppConfig
from django.core.checks import register
from django.core.signals import setting_changed


class EmitterConfig(AppConfig):
    name = "emitter"
    label = "heliograph"
    verbose_name = "Heliograph"

    def ready(self) -> None:
        from emitter import checks, commands, receivers, selection, tasks

        register(checks.check_configuration)
        setting_changed.connect(selection.forget, dispatch_uid="heliograph.forget")
        receivers.connect()
        commands.wrap()
        tasks.connect()
