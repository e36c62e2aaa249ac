"""Monthly partitions of the event table, made ahead of time by the service itself."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from psycopg import sql

from service.events import ids

logger = logging.getLogger(__name__)

TABLE = "event"
AHEAD = timedelta(days=62)  # made this early; two months in which a dead worker does no harm
FUTURE = timedelta(hours=24)  # how far ahead of the service's clock an id may be
NEEDED = timedelta(days=7)  # readyz fails when less than this is left
LOCK = "heliograph.partitions"


@dataclass(frozen=True, slots=True)
class Month:
    year: int
    month: int

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def next(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def table(self) -> str:
        return f"{TABLE}_{self.year:04}_{self.month:02}"


def horizon(now: datetime) -> datetime:
    """Return the time of the oldest id that is accepted."""
    return now - timedelta(days=settings.RETENTION_DAYS)


def months(first: datetime, last: datetime) -> list[Month]:
    """Return the months that hold the moments from ``first`` to ``last``, both included."""
    found = [Month(first.year, first.month)]
    while found[-1].next.start <= last:
        found.append(found[-1].next)
    return found


def ensure(now: datetime) -> list[str]:
    """Make the partitions that ids accepted from ``now`` on can need, and return the names of the new ones.

    Safe to call from many processes at once: an advisory lock lets one do it. Never blocks ingest: a table is
    made alone and then attached, which needs only a SHARE UPDATE EXCLUSIVE lock on the parent.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [LOCK])
        present = existing()
        missing = [month for month in months(horizon(now), now + FUTURE + AHEAD) if month.table not in present]
        for month in missing:
            for statement in statements(month):
                cursor.execute(statement)
    if missing:
        logger.info("Made the partitions %s", ", ".join(month.table for month in missing))
    return [month.table for month in missing]


def statements(month: Month) -> list[sql.Composed]:
    table, parent = sql.Identifier(month.table), sql.Identifier(TABLE)
    lower, upper = ids.floor(month.start), ids.floor(month.next.start)
    return [
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(table, parent),
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, table, sql.Literal(str(lower)), sql.Literal(str(upper))
        ),
    ]


def table_of(event_id: str) -> str:
    """Return the name of the partition that the event of this id belongs to, made or not."""
    moment = ids.time_of(event_id)
    return Month(moment.year, moment.month).table


def existing() -> frozenset[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [TABLE])
        return frozenset(name for (name,) in cursor.fetchall())


def oldest() -> datetime:
    """Return when the oldest month begins that has a partition. There is one, as `ensure` was run."""
    year, month = min(existing()).removeprefix(f"{TABLE}_").split("_")
    return Month(int(year), int(month)).start


def ready(now: datetime) -> bool:
    """Tell whether ids can be stored for the next `NEEDED` days."""
    present = existing()
    return all(month.table in present for month in months(now, now + NEEDED))
