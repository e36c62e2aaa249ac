"""From a captured signal to the worker's queue: identity, cause, context, and the wait for the transaction."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from emitter import contexts, ends, frames, outbox, outlet, payload, selection, transactions
from emitter.complaints import complain
from emitter.conf import conf
from emitter.event import Event, Later, identity, stamp
from emitter.exceptions import CaptureError
from emitter.retry import by_chance
from emitter.transactions import Fate, Held

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
        outlet.counts["thinned"] += 1
        return None
    frame, now = frames.current(), contexts.current()
    event_id, time = minted or stamp()
    event = Event(
        id=event_id,
        time=time,
        source=conf.source or outlet.default_source(),
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
                outlet.counts["transaction_full"] += 1
            return ledger.fate_of_now()
        if isinstance(event, Later):
            outlet.intake.expect(event)
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
        event.emitterid = outlet.worker().emitter_id
    return event


def keep(connection: BaseDatabaseWrapper, held: list[Held]) -> Callable[[], None] | None:
    """Have a transaction carry its own events, where the settings say so."""
    if conf.delivery == "outbox" and conf.url and outbox.keep(connection, held, unnumbered):
        return partial(outlet.relay_from, connection.alias)
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
        outlet.relay_from(connection.alias)
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


def put(event: Event | Later) -> None:
    """Have ``event`` queued. Never raises: after a commit, Django would pass the error on to the project."""
    try:
        if ends.is_before_forks_of_uwsgi():
            outlet.counts["before_fork"] += 1
            complain("before_fork", "What uWSGI captures before it forks can't be sent: set lazy-apps = true")
        else:
            outlet.intake.put(event)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("put", "An event could not be queued", error)
