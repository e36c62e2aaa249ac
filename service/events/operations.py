"""Write events."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import msgspec
from django.db import DataError, IntegrityError, connection

from service.api.problems import Unavailable

STORE = "SELECT store_events(%s, %s::jsonb)"  # its SQL: migrations/0003_delta_arrival.py


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
    """Store ``rows`` in one statement and return the ids that were new; the others are there already.

    With them goes a `Tally` for each emitter, of the numbers that were new, a `Delta` for each hour and kind, and one
    `Arrival`. Committed on return, unless the caller holds a transaction. All rows go as one JSON document in one
    parameter, which was the fastest of the ways measured (benchmarks/ingest.py). They are sorted by id, so that two
    writers of the same ids wait for each other instead of deadlocking.

    Raises DataError when Postgres can't hold one of the rows, `NoPartition` when one has none; then none is stored.
    """
    if not rows:
        return set()
    document = msgspec.json.encode(sorted(rows, key=attrgetter("id"))).decode()
    with connection.cursor() as cursor:
        try:
            cursor.execute(STORE, [project_id, document])
        except IntegrityError as error:  # no other constraint can be broken here
            raise NoPartition from error
        (stored,) = cursor.fetchone()
        return set(stored)


def store_each(project_id: int, rows: Sequence[Row]) -> tuple[set[str], set[Row]]:
    """Store ``rows`` and return the ids that were new and the rows that Postgres can't hold.

    One statement as long as all is well; else the rows are halved until the bad ones stand alone.
    """
    try:
        return store(project_id, rows), set()
    except DataError:
        if len(rows) == 1:
            return set(), {rows[0]}
    middle = len(rows) // 2
    stored, refused = store_each(project_id, rows[:middle])
    more_stored, more_refused = store_each(project_id, rows[middle:])
    return stored | more_stored, refused | more_refused
