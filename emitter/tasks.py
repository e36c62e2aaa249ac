"""Have tasks of Celery and of Django run in a context, and know what they were asked for by.

Celery carries the context in a message's headers. Django's tasks carry nothing of ours: their events have the task's id
as correlation id, and as their cause the event that told of its being enqueued, whose id both sides can work out. That
event waits for the transaction of the default database, where what the task is about may be rolled back. It is told
unless ``HELIOGRAPH_SIGNALS`` is empty.
"""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from importlib import import_module
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS

from emitter import contexts, frames, outlet, pipeline, selection, serialization
from emitter.complaints import complain
from emitter.event import Cause, identity

HEADER = "heliograph"
ENQUEUED = "django.tasks.signals.task_enqueued"

_running: dict[str, ExitStack] = {}  # what is to be left when the task ends, by its id


def connect() -> None:
    """Connect to the task libraries that are installed."""
    listen("celery.signals", before_task_publish=publish, task_prerun=begin_celery, task_postrun=end)
    listen("celery.signals", worker_process_shutdown=leave)
    # since Django 6.0
    listen("django.tasks.signals", task_enqueued=enqueued, task_started=begin_django, task_finished=end_django)


def listen(module: str, **receivers: Callable[..., None]) -> None:
    try:
        signals = import_module(module)
    except ImportError:
        return
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"heliograph.{name}")


def publish(headers: dict[str, Any] | None = None, **_: Any) -> None:
    try:
        now, cause = contexts.current(), identity(frames.cause())
        if headers is not None and (now is not None or cause is not None):
            headers[HEADER] = {
                "correlationid": now.correlationid if now else None,
                "traceparent": now.traceparent if now else None,
                "actor": now.known_actor() if now else None,
                "causationid": None if cause is None else str(cause),
            }
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("celery", "A task's context could not be passed on", error)


def begin_celery(task_id: str = "", task: Any = None, **_: Any) -> None:
    try:
        carried = getattr(task.request, HEADER, None) or (task.request.headers or {}).get(HEADER) or {}
        cause = carried.get("causationid")
        begin(task_id, UUID(cause) if cause else frames.cause(), carried)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("celery", "A task's context could not be read", error)


def begin(task_id: str, cause: Cause, carried: dict[str, Any]) -> None:
    stack = ExitStack()
    names = ("correlationid", "traceparent", "actor")
    stack.enter_context(contexts.context(**{name: carried.get(name) for name in names}))
    stack.enter_context(frames.entered(cause))
    _running[task_id] = stack


def end(task_id: str = "", **_: Any) -> None:
    try:
        _running.pop(task_id, ExitStack()).close()
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("tasks", "A task's context could not be left", error)


def leave(**_: Any) -> None:
    """Send what a process of Celery's pool has captured: it ends by ``os._exit``, right after this."""
    try:
        outlet.close()
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("celery", "Events may be lost at the end of a worker's process", error)


def enqueued(sender: Any, task_result: Any, **_: Any) -> None:
    try:
        told = {"id": str(task_result.id), "task": task_result.task.module_path}
        minted = enqueuing(task_result), serialization.json_safe(task_result.enqueued_at)
        if selection.names():
            pipeline.emit(ENQUEUED, action="enqueued", data=told, minted=minted, using=DEFAULT_DB_ALIAS)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("tasks", "A task's enqueuing could not be captured", error)


def begin_django(sender: Any, task_result: Any, **_: Any) -> None:
    try:
        cause = enqueuing(task_result) if selection.names() else None
        begin(str(task_result.id), cause, {"correlationid": str(task_result.id)})
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("tasks", "A task's context could not be made", error)


def end_django(sender: Any, task_result: Any, **_: Any) -> None:
    end(str(task_result.id))


def enqueuing(task_result: Any) -> UUID:
    """Return the id of the event that tells of a task's being enqueued: a UUIDv7 of its time and of its id."""
    moment: datetime = task_result.enqueued_at
    unique = int.from_bytes(hashlib.sha256(str(task_result.id).encode()).digest()[:10])
    bits = int(moment.timestamp() * 1000) << 80 | unique
    return UUID(int=bits & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)
