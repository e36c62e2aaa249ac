from django.apps import AppConfig
from django.core.checks import Tags, register
from django.core.signals import setting_changed


class EmitterConfig(AppConfig):
    name = "emitter"
    label = "heliograph"
    verbose_name = "Heliograph"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from emitter import checks, commands, lifespan, receivers, selection, tasks, together
        from emitter.complaints import complain

        register(checks.check_configuration)
        register(checks.check_cost, deploy=True)
        register(checks.check_outbox_tables, Tags.database)
        setting_changed.connect(selection.forget, dispatch_uid="heliograph.forget")
        for connect in (receivers.connect, commands.wrap, tasks.connect, lifespan.connect, together.wrap):
            try:
                connect()
            except Exception as error:  # noqa: BLE001  # the edge to the host project, which starts all the same
                complain("connect", "The emitter could not be connected: see manage.py check", error)
