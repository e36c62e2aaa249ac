"""From a captured signal to the worker's queue: identity, context, and the wait for the commit."""

import atexit
import threading
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections, transaction

from emitter import context
from emitter.conf import conf
from emitter.event import Event, stamp
from emitter.transport import HttpTransport
from emitter.worker import Worker

_lock = threading.Lock()
_worker: Worker | None = None


def emit(
    kind: str,
    *,
    data: dict[str, Any],
    sender: str | None = None,
    subject: str | None = None,
    action: str | None = None,
    actor: str | None = None,
    using: str | None = None,
    settled: bool = True,
) -> None:
    """Make an event of ``kind`` and send it on its way: after the commit when ``using`` is in a transaction.

    ``using`` is the database the event is about; None for what happened whatever becomes of a transaction.
    ``settled`` is False for what is only about to happen.
    """
    if not conf.url:
        return
    now = context.current()
    event_id, time = stamp()
    event = Event(
        id=event_id,
        time=time,
        source=conf.source or default_source(),
        type=kind,
        subject=subject,
        sender=sender,
        action=action,
        actor=actor or (now.actor if now else None),
        correlationid=now.correlationid if now else None,
        traceparent=now.traceparent if now else None,
        data=data,
    )
    release(event, using, settled)


def release(event: Event, using: str | None, settled: bool) -> None:
    """Queue ``event`` now, or once the transaction it belongs to is committed; never if it is rolled back."""
    if using is None:
        put(event)
    elif connections[using].in_atomic_block:
        event.outcome = "committed"
        transaction.on_commit(partial(put, event), using=using, robust=True)
    else:
        event.outcome = "autocommit" if settled else None
        put(event)


def default_source() -> str:
    """Return the project's name, as its URL configuration or settings module tell it."""
    module: str = getattr(settings, "ROOT_URLCONF", None) or settings.SETTINGS_MODULE or "django"
    return f"/{module.partition('.')[0]}"


def put(event: Event) -> None:
    worker().put(event)


def worker() -> Worker:
    """Return this process's worker, made on first use."""
    global _worker  # noqa: PLW0603  # one worker a process is the point
    if _worker is None:
        with _lock:
            if _worker is None:
                _worker = make_worker()
    return _worker


def make_worker() -> Worker:
    made = Worker(
        HttpTransport(conf.url, conf.key, timeout=conf.timeout),
        queue_size=conf.queue_size,
        batch_size=conf.batch_size,
        interval=conf.interval,
        shutdown_timeout=conf.shutdown_timeout,
    )
    atexit.register(made.close)
    return made
