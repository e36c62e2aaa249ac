"""Which events came, in the order of their commits: what a tail follows.

An event's id tells when its signal fired, which may be long before it comes here. A place is what lies between two
arrivals of a project, and is text to everybody else.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, Self
from uuid import UUID

from django.db import connection

KEPT = timedelta(hours=1)  # at least, after it could be read: a tail that was cut off can go on where it was
FORM = re.compile(r"([0-9]{1,18})-([0-9a-f]{32})-([0-9]{1,9})")
NONE = UUID(int=0)
MARKS = 0  # the project of none, whose arrivals tell until which transaction all could be read, at ``stored_at``

NOW = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
# What is still being written may yet come before what is written already, so nothing after it is read. The order is
# that of a table's column, as ``tx`` alone would be the text that is returned, and put 10 before 9.
SINCE = """
    SELECT tx::text, id, ids
    FROM (
        SELECT
            tx, id, ids,
            sum(cardinality(ids) - CASE WHEN (tx, id) = (%s::xid8, %s) THEN least(%s, cardinality(ids)) ELSE 0 END)
                OVER (ORDER BY tx, id ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS before
        FROM event_arrival
        WHERE project_id = %s AND (tx, id) >= (%s::xid8, %s) AND tx < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY tx, id
        LIMIT %s
    ) AS arrival
    WHERE coalesce(before, 0) < %s
    ORDER BY arrival.tx, id
"""
COUNT = """
    SELECT coalesce(sum(cardinality(ids)), 0) FROM event_arrival
    WHERE project_id = %s AND (tx, id) >= (%s::xid8, %s) AND tx < %s::xid8
"""
# The first mark forgets nothing.
MARK = """
    INSERT INTO event_arrival (project_id, tx, id, ids, stored_at)
    SELECT %(marks)s, mark.tx, %(none)s, '{}', %(moment)s
    FROM (
        SELECT pg_snapshot_xmin(pg_current_snapshot())
        UNION ALL
        SELECT '0'::xid8 WHERE NOT EXISTS (SELECT FROM event_arrival WHERE project_id = %(marks)s)
    ) AS mark (tx)
    ON CONFLICT DO NOTHING
"""
# A database that was restored from a dump counts its transactions anew, and may hold arrivals of some yet to come.
FORGET = """
    DELETE FROM event_arrival
    WHERE tx >= pg_snapshot_xmax(pg_current_snapshot()) OR tx < (
        SELECT tx FROM event_arrival
        WHERE project_id = %s AND stored_at <= %s AND tx <= pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY tx DESC
        LIMIT 1
    )
"""
FORGOTTEN = """
    SELECT tx::text FROM event_arrival
    WHERE project_id = %s AND tx <= pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY event_arrival.tx
    LIMIT 1
"""


class Place(NamedTuple):
    """After the first ``number`` events of the arrival (``tx``, ``id``)."""

    tx: int
    id: UUID
    number: int

    @property
    def before(self) -> "Place":
        """Return the place before the last of these."""
        return self._replace(number=self.number - 1)

    def __str__(self) -> str:
        return f"{self.tx}-{self.id.hex}-{self.number}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the place that ``text`` names; None for text that names none."""
        found = FORM.fullmatch(text)
        return found and cls(int(found[1]), UUID(found[2]), int(found[3]))


class Arrived(NamedTuple):
    """An event that came, and the place after it."""

    id: UUID
    place: Place


def now() -> Place:
    """Return the place after all that can be read."""
    with connection.cursor() as cursor:
        cursor.execute(NOW)
        return Place(int(cursor.fetchone()[0]), NONE, 0)


def since(project_id: int, place: Place, limit: int) -> list[Arrived]:
    """Return the next events after ``place``, ``limit`` at the most, in the order in which they came."""
    with connection.cursor() as cursor:
        first = str(place.tx), place.id
        cursor.execute(SINCE, [*first, place.number, project_id, *first, limit + 1, limit])
        return list(islice(after(place, cursor.fetchall()), limit))


def after(place: Place, rows: list[tuple[str, UUID, list[UUID]]]) -> Iterator[Arrived]:
    for tx, arrival, ids in rows:
        done = place.number if (int(tx), arrival) == place[:2] else 0
        for number, event_id in enumerate(ids[done:], done + 1):
            yield Arrived(event_id, Place(int(tx), arrival, number))


def count(project_id: int, first: Place, last: Place) -> int:
    """Return how many events came between two places, of which ``last`` is one of `now`."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [project_id, str(first.tx), first.id, str(last.tx)])
        return max(0, int(cursor.fetchone()[0]) - first.number)


def is_whole(place: Place) -> bool:
    """Tell whether nothing that came after ``place`` is forgotten. Asked after reading, it holds of what was read."""
    with connection.cursor() as cursor:
        cursor.execute(FORGOTTEN, [MARKS])
        found = cursor.fetchone()
        return found is None or int(found[0]) <= place.tx


def forget(moment: datetime) -> int:
    """Delete what could be read for `KEPT` at ``moment``, by the marks of earlier calls; return how many rows.

    Not by the time at which it was stored: any open transaction of the server holds up what can be read.
    """
    with connection.cursor() as cursor:
        cursor.execute(FORGET, [MARKS, moment - KEPT])
        forgotten = int(cursor.rowcount)
        cursor.execute(MARK, {"marks": MARKS, "none": NONE, "moment": moment})
        return forgotten
