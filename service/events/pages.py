"""Read events a page at a time: so many of them, and no more bytes than limits.PAGE_BYTES with the last one.

One event may be a thousand times another. So Postgres adds up what it would write of each, and leaves out what comes
after the page is full; only the rest is sent and decoded.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, Self

from django.db import connection
from django.db.models import IntegerField, QuerySet
from django.db.models.expressions import RawSQL

from service.api import limits
from service.api.pagination import IdPagination, Towards, sorting
from service.events.models import Event

# Bytes of what has no other limit of its own.
SIZE = "coalesce(octet_length(data::text), 0) + coalesce(octet_length(extensions::text), 0)"
SIZE_OF = RawSQL(SIZE, (), IntegerField())  # noqa: S611  # a constant
FIELDS = Event._meta.concrete_fields
COLUMNS = ", ".join(str(field.column) for field in FIELDS)
DIRECTIONS: dict[Towards, str] = {"lt": "DESC", "gt": "ASC"}
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


class Source(Protocol):
    """A queryset of events, or several that are read as one."""

    def order_by(self, *order: str) -> Self: ...

    def __getitem__(self, part: slice) -> QuerySet[Event]: ...


class Page(NamedTuple):
    """Events, and whether there are more beyond them."""

    events: list[Event]
    has_more: bool


NOTHING = Page([], False)


def read(source: Source, towards: Towards, most: int) -> Page:
    """Return the first events of ``source``: ``most``, or fewer where they are large. By one statement."""
    asked, parameters = source.order_by(*sorting(("id",), towards))[: most + 1].query.sql_with_params()
    statement = PAGE.format(columns=COLUMNS, size=SIZE, direction=DIRECTIONS[towards], asked=asked)
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, limits.PAGE_BYTES])
        rows = cursor.fetchall()[:most]
    return Page(list(events_of(rows)), bool(rows) and rows[-1][-1])


def events_of(rows: list[tuple[Any, ...]]) -> Iterator[Event]:
    """Yield the events of rows that have `FIELDS` first, and in that order."""
    converters = [(place, field.from_db_value) for place, field in enumerate(FIELDS) if hasattr(field, "from_db_value")]
    names = [field.attname for field in FIELDS]
    for row in rows:
        values = list(row[: len(FIELDS)])
        for place, convert in converters:
            values[place] = convert(values[place], None, connection)
        yield Event.from_db(connection.alias, names, values)


class EventPagination(IdPagination):
    """Pages of events, which end early where their events are large."""

    rows_are = "events at the most"

    def read(self, queryset: Source, towards: Towards, size: int) -> tuple[list[Event], bool]:
        return read(queryset, towards, size)
