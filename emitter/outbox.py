"""Write events into the outbox of the database that they are about, in its transaction if one is open.

Knows the table's name and one column of it: all others have defaults in the database, and who empties it is not told.
Goes through Django's cursor, so that the project sees the statement wherever it sees its own.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec
from django.db.backends.base.base import BaseDatabaseWrapper

from emitter import selection
from emitter.complaints import complain
from emitter.conf import conf
from emitter.event import Event
from emitter.exceptions import CaptureError
from emitter.transactions import Held, is_open

TABLE = "heliograph_outbox"
SAVEPOINT = "heliograph_outbox"
ROWS = 1_000  # of one statement: a server may take 65,535 parameters
CHARACTERS = 512 * 1024  # of one statement: MySQL takes 1 MiB at the least, and ends the connection over more
IN_ERROR = 3  # libpq's PQTRANS_INERROR: the transaction will be rolled back, whatever is asked for
DEADLOCK = 1213  # ER_LOCK_DEADLOCK: InnoDB has rolled back all of the transaction

NOT_ASCII = re.compile(r"[^\0-\x7f]")

# Of this process: "outbox", rows written; "outbox_failed", events that leave from memory instead; "dead_letters", rows
# that it relayed and the service refused.
counts: Counter[str] = Counter()

# Whether what runs now is our own work on a project's database, of which nothing is told.
working: ContextVar[bool] = ContextVar("heliograph_working", default=False)


@contextmanager
def at_work() -> Iterator[None]:
    token = working.set(True)
    try:
        yield
    finally:
        working.reset(token)


def keep(connection: BaseDatabaseWrapper, held: Sequence[Held], event_of: Callable[[Any], Event | None]) -> bool:
    """Write what is held into the transaction that is about to commit, and mark it as kept; False for nothing.

    What a savepoint took back is written as that. A failure leaves the transaction as it was. Raises CaptureError, with
    the transaction rolled back, when a model of ``HELIOGRAPH_FAIL_CLOSED`` is among them; and the database's error when
    that has ended the transaction, of which a COMMIT would not tell.
    """
    if is_in_error(connection):  # its COMMIT will roll back
        for each in held:
            each.is_kept, each.fate.outcome = False, "rolledback"
        return False
    events = dict(rendered(held, event_of))
    if events and not is_written(connection, list(events.values())):
        if any(is_fail_closed(event) for event in events.values()):
            connection.rollback()
            raise CaptureError("What the transaction did could not be written into the outbox")
        events.clear()
    for each in held:
        each.is_kept = each in events
    return bool(events)


def rendered(held: Sequence[Held], event_of: Callable[[Any], Event | None]) -> Iterator[tuple[Held, Event]]:
    """Yield the event of each that is one; what can't be rendered is left to the way that has no outbox."""
    for each in held:
        if each.is_held and each.what is not None:
            try:
                event = event_of(each.what)
                if event is None:
                    continue
                event.outcome = each.fate.outcome or "committed"
                document(event)
            except Exception as error:  # noqa: BLE001  # one of many
                complain("outbox", "An event could not be written into the outbox", error)
            else:
                yield each, event


def put(connection: BaseDatabaseWrapper, event: Event) -> bool:
    """Write one event at once, and say whether that went well: in autocommit a transaction of its own."""
    return is_written(connection, [event])


def is_written(connection: BaseDatabaseWrapper, events: Sequence[Event]) -> bool:
    """Insert events; count and tell a failure. Raise it where it has ended the project's transaction."""
    was_open = is_begun(connection)
    try:
        insert(connection, [document(event) for event in events])
    except Exception as error:
        counts["outbox_failed"] += len(events)
        complain("outbox", "Events could not be written into the outbox, and leave from memory", error)
        if was_open and is_lost(connection, error):
            connection.needs_rollback = connection.in_atomic_block
            raise
        return False
    counts["outbox"] += len(events)
    return True


def is_fail_closed(event: Event) -> bool:
    is_fact = event.outcome != "rolledback"
    return is_fact and bool(event.sender and conf.fail_closed and selection.matches(event.sender, conf.fail_closed))


def document(event: Event) -> str:
    """Return an event as JSON in ASCII, which every database holds as it is, whatever its encoding."""
    text = msgspec.json.encode(event).decode()
    return text if text.isascii() else NOT_ASCII.sub(escaped, text)


def escaped(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


def insert(connection: BaseDatabaseWrapper, documents: Sequence[str]) -> None:
    """Insert rows, as one statement if they aren't many. A failure raises, and leaves an open transaction usable.

    In Postgres that takes a savepoint, which travels with the statement. SQLite and MySQL undo what has failed only.
    """
    statements = list(inserts(documents))
    if not is_open(connection) or connection.vendor in {"sqlite", "mysql"}:
        for statement, values in statements:
            execute(connection, statement, values)
    elif connection.vendor == "postgresql":
        insert_guarded(connection, statements)
    else:
        insert_in_savepoint(connection, statements)


def inserts(documents: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield statements that insert the documents, each with its parameters, within what a server takes at once."""
    chunk: list[str] = []
    room = CHARACTERS
    for each in documents:
        if chunk and (len(chunk) == ROWS or len(each) > room):
            yield statement(len(chunk)), chunk
            chunk, room = [], CHARACTERS
        chunk.append(each)
        room -= len(each)
    if chunk:
        yield statement(len(chunk)), chunk


def statement(count: int) -> str:
    return f"INSERT INTO {TABLE} (event) VALUES {', '.join(['(%s)'] * count)}"  # noqa: S608  # a constant and a count


def insert_guarded(connection: BaseDatabaseWrapper, statements: Sequence[tuple[str, list[str]]]) -> None:
    """Insert into Postgres in one round trip with the savepoint, if parameters are bound by the client, as is usual."""
    parts = [(f"SAVEPOINT {SAVEPOINT}", []), *statements, (f"RELEASE SAVEPOINT {SAVEPOINT}", [])]
    if not getattr(connection.features, "uses_server_side_binding", False):
        parts = [("; ".join(sql for sql, _ in parts), [value for _, values in parts for value in values])]
    try:
        for sql, values in parts:
            execute(connection, sql, values)
    except BaseException:
        if is_in_error(connection):
            with connection.connection.cursor() as cursor:  # not the project's affair
                cursor.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}")
        raise


def insert_in_savepoint(connection: Any, statements: Sequence[tuple[str, list[str]]]) -> None:
    connection._savepoint(SAVEPOINT)
    try:
        for sql, values in statements:
            execute(connection, sql, values)
    except BaseException:
        connection._savepoint_rollback(SAVEPOINT)
        raise
    connection._savepoint_commit(SAVEPOINT)


def execute(connection: BaseDatabaseWrapper, sql: str, values: Sequence[str]) -> None:
    with at_work(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def is_in_error(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether Postgres will take no more but a rollback, and make one of a COMMIT."""
    info = getattr(connection.connection, "info", None)
    return connection.vendor == "postgresql" and getattr(info, "transaction_status", None) == IN_ERROR


def is_begun(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether the database has a transaction open; in SQLite and with autocommit off, one begins with a write."""
    if connection.vendor == "sqlite":
        return bool(connection.connection is not None and connection.connection.in_transaction)
    return is_open(connection)


def is_lost(connection: BaseDatabaseWrapper, error: Exception) -> bool:
    """Tell whether a failed statement has ended the transaction it was in."""
    if connection.vendor == "mysql":
        return error.args[:1] == (DEADLOCK,)
    return is_in_error(connection) or not is_begun(connection)
