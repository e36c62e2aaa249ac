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

from service.events.models import Arrival

KEPT = timedelta(hours=1)  # for which a tail that was cut off can go on where it was
FORM = re.compile(r"([0-9]{1,18})-([0-9a-f]{32})-([0-9]{1,4})-([0-9]{1,11})")
NONE = UUID(int=0)
MARGIN = timedelta(minutes=10)  # more than a transaction that stores events ever lasts, by `operations.LONGEST`

NOW = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, extract(epoch FROM now())::bigint"
# What is still being written may yet come before what is written already, so nothing after it is read.
SINCE = """
    SELECT tx::text, id, ids, extract(epoch FROM stored_at)::bigint
    FROM (
        SELECT tx, id, ids, stored_at, sum(cardinality(ids)) OVER (ORDER BY tx, id) - cardinality(ids) AS before
        FROM event_arrival
        WHERE project_id = %s AND (tx, id) >= (%s::xid8, %s) AND tx < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY tx, id
        LIMIT %s
    ) AS arrival
    WHERE before < %s
    ORDER BY tx, id
"""
COUNT = """
    SELECT coalesce(sum(cardinality(ids)), 0) FROM event_arrival
    WHERE project_id = %s AND (tx, id) >= (%s::xid8, %s) AND tx < %s::xid8
"""


class Place(NamedTuple):
    """After the first ``number`` events of the arrival (``tx``, ``id``), which was ``time`` seconds after 1970."""

    tx: int
    id: UUID
    number: int
    time: int

    def __str__(self) -> str:
        return f"{self.tx}-{self.id.hex}-{self.number}-{self.time}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the place that ``text`` names; None for text that names none."""
        found = FORM.fullmatch(text)
        return found and cls(int(found[1]), UUID(found[2]), int(found[3]), int(found[4]))

    def is_kept(self, now: "Place") -> bool:
        """Tell whether all that came between here and ``now`` is still there to be read.

        Not in a database that was restored from a dump, which counts its transactions anew.
        """
        return self.tx <= now.tx and now.time - self.time < KEPT.total_seconds()


class Arrived(NamedTuple):
    """An event that came, and the place after it."""

    id: UUID
    place: Place


def now() -> Place:
    """Return the place after all that can be read."""
    with connection.cursor() as cursor:
        cursor.execute(NOW)
        tx, time = cursor.fetchone()
        return Place(int(tx), NONE, 0, time)


def since(project_id: int, place: Place, limit: int) -> list[Arrived]:
    """Return the next events after ``place``, ``limit`` at the most, in the order in which they came."""
    with connection.cursor() as cursor:
        cursor.execute(SINCE, [project_id, str(place.tx), place.id, limit + 1, limit + place.number])
        return list(islice(after(place, cursor.fetchall()), limit))


def after(place: Place, rows: list[tuple[str, UUID, list[UUID], int]]) -> Iterator[Arrived]:
    for tx, arrival, ids, time in rows:
        done = place.number if (int(tx), arrival) == place[:2] else 0
        for number, event_id in enumerate(ids[done:], done + 1):
            yield Arrived(event_id, Place(int(tx), arrival, number, time))


def count(project_id: int, first: Place, last: Place) -> int:
    """Return how many events came between two places, of which ``last`` is one of `now`."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [project_id, str(first.tx), first.id, str(last.tx)])
        return int(cursor.fetchone()[0]) - first.number


def forget(moment: datetime) -> int:
    """Delete what arrived long before ``moment``; return how many arrivals that were."""
    long_before = moment - KEPT - MARGIN
    return Arrival.objects.filter(stored_at__lt=long_before)._raw_delete("default")
