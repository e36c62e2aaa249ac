"""Read events a page at a time: so many of them, and no more bytes than limits.PAGE_BYTES with the last one.

One event may be a thousand times another. So Postgres adds up what it would write of each, and leaves out what comes
after the page is full; only the rest is sent and decoded.
"""

from collections.abc import Iterator, Sequence
from json import JSONDecoder
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import JSONField

from service.api import limits
from service.api.pagination import IdPagination, Towards
from service.events.models import Event
from service.events.unions import DIRECTIONS, Union

# Bytes of what has no other limit of its own.
SIZE = "coalesce(octet_length(data::text), 0) + coalesce(octet_length(extensions::text), 0)"
FIELDS = Event._meta.concrete_fields
DECODERS = [(place, field.decoder or JSONDecoder) for place, field in enumerate(FIELDS) if isinstance(field, JSONField)]
COLUMNS = ", ".join(str(field.column) for field in FIELDS)
# What is asked has its own LIMIT, so that Postgres finds its rows as it would for themselves.
PAGE = """SELECT {columns}, is_followed
FROM (
    SELECT asked.*, lead(id) OVER found IS NOT NULL AS is_followed, sum({size}) OVER before AS before
    FROM ({asked}) AS asked ({columns})
    WINDOW found AS (ORDER BY id {direction}), before AS (found ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS measured
WHERE before IS NULL OR before < %s
ORDER BY id {direction}
"""
# By the primary key, which the limit makes Postgres use: of a partition that is too new to have statistics it would
# rather read all that the project has there.
LOOK_UP = """SELECT {columns}
FROM unnest(%s::uuid[]) AS wanted (event_id) CROSS JOIN LATERAL (
    SELECT * FROM event WHERE project_id = %s AND id = wanted.event_id LIMIT 1
) AS event
"""


class Page(NamedTuple):
    """Events, and whether there are more beyond them."""

    events: list[Event]
    has_more: bool


NOTHING = Page([], False)


def read(events: Union, towards: Towards, most: int) -> Page:
    """Return the first of ``events``: ``most``, or fewer where they are large. By one statement."""
    asked, parameters = events.statement(most + 1, towards)
    statement = PAGE.format(columns=COLUMNS, size=SIZE, direction=DIRECTIONS[towards], asked=asked)
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, limits.PAGE_BYTES])
        rows = cursor.fetchall()[:most]
    return Page(list(events_of(rows)), bool(rows) and rows[-1][-1])


def events_of(rows: list[tuple[Any, ...]]) -> Iterator[Event]:
    """Yield the events of rows that have `FIELDS` first, and in that order."""
    names = [field.attname for field in FIELDS]
    decoders = [(place, decoder().decode) for place, decoder in DECODERS]
    for row in rows:
        values = list(row[: len(FIELDS)])
        for place, decode in decoders:
            if values[place] is not None:
                values[place] = decode(values[place])
        yield Event.from_db(connection.alias, names, values)


def by_ids(project_id: int, ids: Sequence[UUID]) -> dict[UUID, Event]:
    """Return those of the events that are there."""
    return {event.id: event for event in events_of(look_up(COLUMNS, project_id, ids))}


def sizes_of(project_id: int, ids: Sequence[UUID]) -> dict[UUID, int]:
    return {row[0]: row[1] for row in look_up(f"id, {SIZE}", project_id, ids)}


def look_up(columns: str, project_id: int, ids: Sequence[UUID]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(LOOK_UP.format(columns=columns), [list(ids), project_id])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


class EventPagination(IdPagination):
    """Pages of events, which end early where their events are large."""

    rows_are = "events at the most"

    def read(self, queryset: Union, towards: Towards, size: int) -> tuple[list[Event], bool]:
        return read(queryset, towards, size)
