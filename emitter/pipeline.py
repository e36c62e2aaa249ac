"""From a captured signal to the worker's queue: identity, cause, context, and the wait for the transaction."""

import platform
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from uuid import UUID

import django
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from emitter import contexts, ends, forks, frames, outbox, payload, privacy, selection, transactions
from emitter.complaints import complain
from emitter.conf import conf
from emitter.event import Event, Later, Limits, Result, Telemetry, identity, stamp
from emitter.exceptions import CaptureError, ConfigurationError, PermanentError
from emitter.intake import Intake
from emitter.retry import by_chance
from emitter.transactions import Fate, Held
from emitter.transport import HttpTransport
from emitter.worker import About, Transport, Worker

if TYPE_CHECKING:
    from emitter.relay import Relay

# What was seen and not sent, by reason: "no_op", "hole", "transaction_full", "thinned", "before_fork".
counts: Counter[str] = Counter()

_lock = threading.RLock()  # reentrant: a signal handler may save a model while its own thread is in here
_worker: Worker | None = None

Stamp = tuple[UUID, str]

CHANGES = ("django.db.models.signals.", "heliograph.")  # what types begin with that tell, by an action, of a change


def emit(
    kind: str,
    *,
    data: dict[str, Any],
    sender: str | None = None,
    subject: str | None = None,
    action: str | None = None,
    actor: str | None = None,
    using: str | None = None,
    minted: Stamp | None = None,
) -> Fate | None:
    """Make an event of ``kind`` and send it on its way.

    It is the cause of what the other receivers of its signal do, unless it is ``minted``.

    ``using`` is the database the event is about: in a transaction there, it waits for the outcome, which the returned
    fate will tell. None is for what happened whatever becomes of a transaction. ``minted`` is the identity of an event
    that no signal is sent for, where that was needed earlier.
    """
    if not conf.url or outbox.working.get():
        return None
    if conf.sample and is_thinned(kind, action):
        counts["thinned"] += 1
        return None
    frame, now = frames.current(), contexts.current()
    event_id, time = minted or stamp()
    event = Event(
        id=event_id,
        time=time,
        source=conf.source or default_source(),
        type=kind,
        subject=subject,
        sender=sender,
        action=action,
        actor=actor,
        correlationid=now.correlationid if now else None,
        causationid=None if frame is None else identity(frame.cause),
        traceparent=now.traceparent if now else None,
        data=payload.encoded(data),
    )
    if minted is None and frame is not None:
        frame.cause = event_id
    if now is not None:
        now.attribute(event)
    return release(event, using)


def is_thinned(kind: str, action: str | None) -> bool:
    """Tell, by chance, whether ``HELIOGRAPH_SAMPLE`` leaves out an event of this type; a change of a model never is."""
    if action is not None and kind.startswith(CHANGES):
        return False
    fraction = next((each for pattern, each in conf.sample.items() if selection.matches(kind, [pattern])), 1.0)
    return by_chance.random() >= fraction


def emit_later(event: Later, using: str) -> Fate | None:
    """Send on its way what a signal has just noted, and what it will tell later. As `emit` does."""
    if not conf.url:
        return None
    frame, now = frames.current(), contexts.current()
    if frame is not None:
        event.cause = frame.cause
        frame.cause = event
    if now is not None:
        event.context = now
        now.attribute(event)
    return release(event, using)


def release(event: Event | Later, using: str | None) -> Fate | None:
    """Queue ``event`` now, or once its transaction is decided."""
    if using is None or len(connections.settings) > 1:
        carry_cause()
    if using is None:
        put(event)
        return None
    connection = connections[using]
    if connection.in_atomic_block or transactions.is_open(connection):
        ledger = transactions.ledger(connection)
        if ledger.is_full:
            if not overflowed(connection, event):
                counts["transaction_full"] += 1
            return ledger.fate_of_now()
        if isinstance(event, Later):
            _intake.expect(event)
        return ledger.hold(event, decided)
    event.outcome = "autocommit" if isinstance(event, Later) or event.action else None
    store(connection, event)
    return None


def carry_cause() -> None:
    """Have every open transaction carry the cause to what is left to its commit, whatever the event is about."""
    for each in connections.all(initialized_only=True):
        if each.in_atomic_block:
            transactions.ledger(each)


def decided(event: Event | Later, outcome: str) -> None:
    event.outcome = outcome
    if conf.url:  # still
        put(event)


def unnumbered(what: Event | Later) -> Event | None:
    """Return an event of this process for the outbox: without a sequence number, as none gets lost there."""
    event = what.complete()
    if event is not None:
        event.emitterid = (_worker or worker()).emitter_id
    return event


def keep(connection: BaseDatabaseWrapper, held: list[Held]) -> Callable[[], None] | None:
    """Have a transaction carry its own events, where the settings say so."""
    if conf.delivery == "outbox" and conf.url and outbox.keep(connection, held, unnumbered):
        return partial(relay_from, connection.alias)
    return None


transactions.keep = keep


def store(connection: BaseDatabaseWrapper, what: Event | Later) -> None:
    """Let go of an event that no transaction holds: into its database's outbox, if there is one, else as ever."""
    if conf.delivery != "outbox":
        put(what)
        return
    event = unnumbered(what)
    if event is None:
        return
    if outbox.put(connection, event):
        relay_from(connection.alias)
    else:
        put(event)
        if outbox.is_fail_closed(event):
            raise CaptureError("It could not be written into the outbox")


def overflowed(connection: BaseDatabaseWrapper, what: Event | Later) -> bool:
    """Write into the outbox, in its transaction, what there is no room for in memory. A rollback takes it along."""
    if conf.delivery != "outbox" or connection.needs_rollback:
        return False
    event = unnumbered(what)
    if event is None:
        return True
    event.outcome = "committed"
    return outbox.put(connection, event)


def relay_from(using: str) -> None:
    """See to it that this process relays the outbox of a database, unless a command does. Never raises.

    Where uWSGI is going to fork, no thread may run: the rows wait for the first that a worker writes.
    """
    try:
        if ends.is_before_forks_of_uwsgi():
            return
        worker().start()  # which tells the service of this process
        if conf.relay == "thread":
            from emitter import relay  # imports models, and this module may be there before the apps are

            relay.wake(using, lambda: make_relay(using, poll=relay.POLL))
    except Exception as error:  # noqa: BLE001  # no thread is to be had, as while Python ends: another process will
        complain("relay", "The outbox could not be relayed from this process", error)


def make_relay(using: str, poll: float) -> "Relay":
    from emitter.relay import Relay

    return Relay(
        using,
        make_transport(),
        batch_size=conf.batch_size,
        lease=conf.outbox_lease,
        interval=conf.interval,
        poll=poll,
    )


@cache
def default_source() -> str:
    """Return the project's name, as its URL configuration or settings module tell it."""
    module: str = getattr(settings, "ROOT_URLCONF", None) or settings.SETTINGS_MODULE or "django"
    return f"/{module.partition('.')[0]}"


def put(event: Event | Later) -> None:
    """Have ``event`` queued. Never raises: after a commit, Django would pass the error on to the project."""
    try:
        if ends.is_before_forks_of_uwsgi():
            counts["before_fork"] += 1
            complain("before_fork", "What uWSGI captures before it forks can't be sent: set lazy-apps = true")
        else:
            _intake.put(event)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("put", "An event could not be queued", error)


def accept(event: Event) -> None:
    """Queue a complete ``event``. Never raises, as it may be any thread that does so."""
    try:
        (_worker or worker()).put(event)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("put", "An event could not be queued", error)


def wake() -> None:
    if not ends.is_before_forks_of_uwsgi():
        worker().start()


_intake = Intake(accept, wake)
work = _intake.work  # queue what was captured until now


def worker() -> Worker:
    """Return this process's worker, made on first use."""
    global _worker  # noqa: PLW0603  # one worker a process is the point
    if _worker is None:
        with _lock:
            if _worker is None:
                _worker = make_worker()
    return _worker


def begin_in_child() -> None:
    """Take a new lock, as a thread that isn't there may hold the parent's, and count anew."""
    global _lock  # noqa: PLW0603  # it guards the one worker a process
    _lock = threading.RLock()
    for each in (counts, outbox.counts, privacy.counts):
        each.clear()


forks.in_child(begin_in_child)


def make_worker() -> Worker:
    made = Worker(
        make_transport(),
        gather=work,
        queue_size=conf.queue_size,
        queue_bytes=conf.queue_bytes,
        priorities=conf.priorities,
        batch_size=conf.batch_size,
        interval=conf.interval,
        shutdown_timeout=conf.shutdown_timeout,
        spool=conf.spool,
        spool_bytes=conf.spool_bytes,
        telemetry_interval=conf.telemetry_interval,
        about=About(
            source=conf.source or default_source(),
            versions=versions(),
            delivery=conf.delivery,
            unsent=unnumbered_counts,
        ),
    )
    ends.before(made.close)
    ends.warn_without_threads()
    return made


def unnumbered_counts() -> dict[str, int]:
    """Return how much was seen and has no sequence number, by reason; ``outbox`` are those that are rows."""
    return {**counts, **privacy.counts, "outbox": outbox.counts["outbox"]}


def make_http_transport() -> HttpTransport:
    """Return what the settings describe; raise ConfigurationError where they can't be right."""
    return HttpTransport(
        conf.url,
        conf.key.strip(),
        timeout=conf.timeout,
        connect_timeout=conf.connect_timeout,
        proxy=conf.proxy,
        ca_file=conf.ca_file,
        client_cert=conf.client_cert,
    )


def versions() -> dict[str, str]:
    try:
        ours = version("django-heliograph")
    except PackageNotFoundError:  # run from a checkout
        ours = "unreleased"
    return {"emitter": ours, "python": platform.python_version(), "django": django.__version__}


def close() -> None:
    """Send what was captured, for as long as an exit may take, and take no more: this process is about to end."""
    if _worker is not None:
        _worker.close()


def make_transport() -> Transport:
    try:
        return make_http_transport()
    except ConfigurationError as error:
        return Unusable(error)


class Unusable:
    """Stands for a transport where the settings allow none: what is sent is lost, counted and told."""

    limits = Limits()

    def __init__(self, error: ConfigurationError) -> None:
        self.error = error

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result:
        raise PermanentError(f"{self.error} See manage.py check.", status=0)

    def report(self, telemetry: Telemetry, *, timeout: float | None = None) -> None:
        raise PermanentError(f"{self.error} See manage.py check.", status=0)

    def reset(self) -> None:
        pass


def flush(timeout: float = 5.0) -> bool:
    """Send what was captured until now; False when ``timeout`` seconds didn't do."""
    deadline = time.monotonic() + timeout
    is_sent = worker().flush(timeout)
    if is_sent and conf.delivery == "outbox":
        from emitter import relay

        return relay.flush(max(0.0, deadline - time.monotonic()))
    return is_sent


def report() -> dict[str, int]:
    """Return how many events this process has captured, and how many were not sent or lost, by reason.

    ``outbox`` are those that are rows, and don't count as captured: they have no number, since none gets lost.
    """
    work()
    return {"captured": worker().captured, **counts, **privacy.counts, **outbox.counts, **worker().counts}
