"""Write events."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg.errors import CheckViolation

from service.api.problems import Unavailable
from service.events import partitions

STORE = "store_events(%s, %s::jsonb)"  # its SQL: migrations/0003_delta_arrival.py
# Else a server, database or role that is set so would lose what was acknowledged. A stricter setting stays.
DURABLY = "CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END"
LONGEST = 30  # seconds
LIMIT = "SELECT set_config('statement_timeout', %s, false) WHERE current_setting('statement_timeout') = '0'"
FIND = """
    SELECT event.id::text
    FROM jsonb_to_recordset(%s::jsonb) AS row (id uuid) JOIN event ON event.project_id = %s AND event.id = row.id
"""


class NoPartition(Unavailable):
    """The month of an event has no table: `partitions.ensure` wasn't run for long, or the retention was raised."""

    def __init__(self) -> None:
        super().__init__("partition_missing", "The table of this event's month isn't made yet. Send the same again.")


class Row(msgspec.Struct, kw_only=True, omit_defaults=True, eq=False):
    """An event as the table takes it. ``data`` is JSON that was checked but never decoded. Equal to itself only."""

    id: str
    type: str
    source: str
    occurred_at: datetime
    sender: str | None = None
    object_id: str | None = None
    action: str | None = None
    actor: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    trace_id: UUID | None = None
    emitter_id: UUID | None = None
    sequence: int | None = None
    outcome: str | None = None
    data: msgspec.Raw | None = None
    extensions: dict[str, object] | None = None


def store(project_id: int, rows: Sequence[Row]) -> set[str]:
    """Store ``rows`` and return the ids that were new; the others are there already. See `store_all`."""
    return store_all({project_id: rows})[project_id] if rows else set()


def store_all(rows: Mapping[int, Sequence[Row]]) -> dict[int, set[str]]:
    """Store the rows of each project in one statement, and return the ids that were new.

    With them goes a `Tally` for each emitter, of the numbers that were new, a `Delta` for each hour and kind, and one
    `Arrival`. Committed on return, unless the caller holds a transaction. All rows of a project go as one JSON
    document in one parameter, which was the fastest of the ways measured (benchmarks/ingest.py). They are sorted by
    project and id, so that two writers of the same ids wait for each other instead of deadlocking.

    Raises DataError when Postgres can't hold one of the rows, `NoPartition` when one has none; then none is stored.
    """
    projects = sorted(rows)
    parameters = [each for project_id in projects for each in (project_id, document(rows[project_id]))]
    try:
        [(_, *stored)] = ask(f"SELECT {DURABLY}, {', '.join([STORE] * len(projects))}", parameters)
    except IntegrityError as error:
        if isinstance(error.__cause__, CheckViolation):  # of the partitions, which is the table's only one
            raise NoPartition from error
        raise
    return {project_id: set(ids) for project_id, ids in zip(projects, stored, strict=True)}


def ask(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement that may run twice, and return its rows.

    A connection that was kept may have ended unseen, as when Postgres was restarted. Then it runs again, on a new one.
    """
    try:
        return run(statement, parameters)
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block or connection.connection is None or not connection.connection.closed:
            raise
    connection.close()
    return run(statement, parameters)


def run(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with binding_cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def binding_cursor() -> CursorWrapper:
    """Return a cursor that sends parameters beside the statement.

    Django's writes them into it: a batch as a literal takes client and Postgres a third more processor time.
    """
    connection.ensure_connection()
    wrap = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    return wrap(psycopg.Cursor(connection.connection))  # type: ignore[arg-type]  # the stubs want a wrapped one


def end_late_statements(connection: BaseDatabaseWrapper, **_signal: object) -> None:
    """Have Postgres end each statement on a new connection within `LONGEST`, unless it has a limit already.

    A receiver of Django's `connection_created`, in web processes: one that stored would otherwise wait without end for
    another that holds the same id.
    """
    with connection.cursor() as cursor:
        cursor.execute(LIMIT, [f"{LONGEST}s"])


def would_store(project_id: int, rows: Sequence[Row]) -> set[str]:
    """Return the ids that `store` would find new now; store nothing. Raises DataError and `NoPartition` as it does."""
    if not rows:
        return set()
    found = ask(FIND, [document(rows), project_id])
    if len(with_partition(rows)) < len(rows):
        raise NoPartition
    return {row.id for row in rows} - {stored for (stored,) in found}


def document(rows: Sequence[Row]) -> str:
    return msgspec.json.encode(sorted(rows, key=attrgetter("id"))).decode()


def store_each(
    project_id: int, rows: Sequence[Row], store: Callable[[int, Sequence[Row]], set[str]] = store
) -> tuple[set[str], set[Row]]:
    """Store ``rows`` and return the ids that were new and the rows that Postgres can't hold.

    One statement as long as all is well; else the rows are halved until the bad ones stand alone. Raises `NoPartition`
    when the others are stored: to who sends the same again, they are duplicates.
    """
    try:
        return store_halves(project_id, rows, store)
    except NoPartition:
        storable = with_partition(rows)
        if len(storable) < len(rows):
            store_halves(project_id, storable, store)
        raise


def with_partition(rows: Sequence[Row]) -> list[Row]:
    present = partitions.existing()
    return [row for row in rows if partitions.table_of(row.id) in present]


def store_halves(
    project_id: int, rows: Sequence[Row], store: Callable[[int, Sequence[Row]], set[str]]
) -> tuple[set[str], set[Row]]:
    try:
        return store(project_id, rows), set()
    except DataError:
        if len(rows) == 1:
            return set(), {rows[0]}
    middle = len(rows) // 2
    stored, refused = store_halves(project_id, rows[:middle], store)
    more_stored, more_refused = store_halves(project_id, rows[middle:], store)
    return stored | more_stored, refused | more_refused
