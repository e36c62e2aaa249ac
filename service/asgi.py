"""The ASGI application that granian serves."""

import gc
import os
import resource
from typing import TYPE_CHECKING

from service.front import metric_files

if TYPE_CHECKING:
    from service.front.application import Front

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")


def make() -> "Front":
    from django.conf import settings
    from django.db.backends.signals import connection_created

    from service.front import handler

    allow_many_connections()
    metric_files.share(metric_files.place(settings.VAR_DIR))
    app = handler.make()
    from service.access import reads
    from service.events import operations
    from service.front.application import Capacity, Front
    from service.ingest import quick

    connection_created.connect(operations.end_late_statements)
    capacity = Capacity(
        threads=settings.WEB_THREADS,
        waiting=settings.WEB_WAITING,
        memory=settings.WEB_MEMORY * 1024 * 1024,
        patience=settings.WEB_PATIENCE,
    )
    front = Front(app, capacity, quick.answer, reads.recorder.end)
    leave_what_is_loaded_alone()
    return front


def leave_what_is_loaded_alone() -> None:
    """Spare the garbage collector all that Django has loaded: to look through it stops the event loop for 70 ms."""
    gc.collect()
    gc.freeze()


def allow_many_connections() -> None:
    """Let this process have as many files as it may: each connection is one, and a shell's usual limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


application = make()
