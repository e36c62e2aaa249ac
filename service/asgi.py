"""The ASGI application that granian serves."""

import os
import resource
from typing import TYPE_CHECKING

from service.front import metric_files

if TYPE_CHECKING:
    from service.front.application import Front

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")


def make() -> "Front":
    from django.conf import settings

    allow_many_connections()
    metric_files.share(settings.VAR_DIR / "metrics")
    from service.front import connections, handler
    from service.front.application import Capacity, Front

    connections.end_of_who_reads_nothing(settings.WEB_PATIENCE)
    capacity = Capacity(
        threads=settings.WEB_THREADS,
        waiting=settings.WEB_WAITING,
        memory=settings.WEB_MEMORY * 1024 * 1024,
        patience=settings.WEB_PATIENCE,
    )
    return Front(handler.make(), capacity)


def allow_many_connections() -> None:
    """Let this process have as many files as it may: each connection is one, and a shell's usual limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


application = make()
