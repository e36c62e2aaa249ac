from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EventsConfig(AppConfig):
    name = "service.events"
    label = "events"

    def ready(self) -> None:
        post_migrate.connect(ensure_partitions, sender=self)


def ensure_partitions(**kwargs: Any) -> None:
    """Make a migrated database ready to store: the table is of no use without partitions."""
    from django.db import connection
    from django.utils import timezone

    from service.events import partitions

    if partitions.TABLE in connection.introspection.table_names():  # not after "migrate events zero"
        partitions.ensure(timezone.now())
