"""Monthly partitions of the event table: made ahead of time, and dropped when they expire, by the service itself.

See docs/why/dropped-in-two-steps.md for how a month goes without anybody waiting.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg import sql
from psycopg.errors import LockNotAvailable

from service.events import ids, removal

logger = logging.getLogger(__name__)

TABLE = "event"
AHEAD = timedelta(days=62)  # made this early; two months in which a dead worker does no harm
FUTURE = timedelta(hours=24)  # how far ahead of the service's clock an id may be
NEEDED = timedelta(days=7)  # readyz fails when less than this is left
GRACE = timedelta(hours=1)  # after its last id is refused, until a month goes: what was accepted before is stored
PATIENCE = "15s"  # for those who read a month that goes, beyond QUERY_TIMEOUT; else the next run goes on with it
BRIEF = "1s"  # for them on a cluster, where all others wait meanwhile
LOCK = "heliograph.partitions"
DROPPING = "heliograph.partitions.dropping"
GONE = "_gone"  # what is appended to the name of a month whose space is to be freed

PRESENT = """
    SELECT relname, coalesce(inhdetachpending, false), inhparent IS NOT NULL
    FROM pg_class LEFT JOIN pg_inherits ON inhrelid = oid AND inhparent = %(table)s::regclass
    WHERE relkind = 'r' AND relname ~ %(named)s
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = %(table)s::regclass)
"""
INDEXES = """
    SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid
    WHERE indrelid = %s::regclass AND NOT indisprimary ORDER BY indexrelid
"""


@dataclass(frozen=True, slots=True)
class Month:
    year: int
    month: int

    @classmethod
    def of(cls, table: str) -> Self:
        year, month = table.removeprefix(f"{TABLE}_").split("_")
        return cls(int(year), int(month))

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
    """Return the time of the oldest id that is accepted in any project."""
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
    made alone and then attached, which needs only a SHARE UPDATE EXCLUSIVE lock on the parent. A month that was
    detached to be dropped, and is accepted again since the retention was raised, is attached as it is.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        lock()
        tables = present()
        there = tables.attached | tables.leaving
        missing = [month for month in months(horizon(now), now + FUTURE + AHEAD) if month.table not in there]
        for month in missing:
            for statement in statements(month)[month.table in tables.loose :]:
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


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of months: part of the event table, about to leave it, or apart from it."""

    attached: frozenset[str]
    leaving: frozenset[str]
    loose: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.attached | self.leaving | self.loose


def present() -> Tables:
    with connection.cursor() as cursor:
        cursor.execute(PRESENT, {"table": TABLE, "named": f"^{TABLE}_[0-9]{{4}}_[0-9]{{2}}$"})
        found = cursor.fetchall()
    return Tables(
        attached=frozenset(name for name, is_leaving, has_parent in found if has_parent and not is_leaving),
        leaving=frozenset(name for name, is_leaving, _ in found if is_leaving),
        loose=frozenset(name for name, _, has_parent in found if not has_parent),
    )


def existing() -> frozenset[str]:
    """Return the partitions that events can be stored in and read from."""
    return present().attached


def oldest() -> datetime:
    """Return when the oldest month begins that events can be stored in. There is one, as `ensure` was run."""
    return Month.of(min(existing())).start


def are_settled() -> bool:
    """Tell whether no month is on its way out; one that was detached may come back until it is dropped."""
    tables = present()
    return not tables.leaving | tables.loose


def ready(now: datetime) -> bool:
    """Tell whether ids can be stored for the next `NEEDED` days."""
    tables = existing()
    return all(month.table in tables for month in months(now, now + NEEDED))


def overdue(now: datetime) -> list[str]:
    """Return the months that should have been dropped `NEEDED` ago, and are there, if only on disk."""
    left = frozenset(table.removesuffix(GONE) for table in gone())
    return expired(present().all | left, now - NEEDED)


def drop_expired(now: datetime) -> list[str]:
    """Drop the months of which no id is accepted at ``now``, and return their names; `free` frees their space.

    Blocks neither ingest nor reads. Ends early, and is to be called again, while somebody still reads what goes. Safe
    to call from many processes at once, of which one does it; and after one was killed in it, wherever that was.
    Outside of a transaction only.
    """
    dropped: list[str] = []
    with connection.cursor() as cursor, alone(DROPPING) as is_alone, patient():
        if not is_alone:
            return dropped
        for table in present().leaving:
            cursor.execute(statement("ALTER TABLE {} DETACH PARTITION {} FINALIZE", TABLE, table))
        for table in expired(present().attached, now):
            detach_on_cluster(table) if is_cluster() else detach(table)
        for table in expired(present().loose, now):
            dropped += [table] if drop(table) else []
    return dropped


def detach(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement("ALTER TABLE {} DETACH PARTITION {} CONCURRENTLY", TABLE, table))


def detach_on_cluster(table: str) -> None:
    """Detach a month as Citus can: who stores or reads waits for that, and it for those who do, `BRIEF` at the most."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [BRIEF])
        cursor.execute(statement("ALTER TABLE {} DETACH PARTITION {}", TABLE, table))


def is_cluster() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")
        return bool(cursor.fetchone()[0])


def expired(tables: frozenset[str], now: datetime) -> list[str]:
    return sorted(table for table in tables if Month.of(table).next.start <= horizon(now) - GRACE)


def drop(table: str) -> bool:
    """Put the table of a month away, and count out what it has of the time after it, in one transaction.

    So nothing waits for the file system. What occurred in the month is left to the app that counts, which knows it by
    its hour. Return whether that was done: not while there is no such table, or an earlier one of its month is away.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        lock()
        if table not in present().loose or table + GONE in gone():
            return False
        removal.count_out_beyond(table, Month.of(table).next.start)
        cursor.execute(statement("ALTER TABLE {} RENAME TO {}", table, table + GONE))
    logger.info("Dropped the partition %s", table)
    return True


def free() -> Iterator[None]:
    """Free the space of the months that were dropped: index by index, each in a transaction, then the table.

    Yields after each, for the caller to rest. Goes on with what an earlier call left, and ends early as `drop_expired`.
    """
    with connection.cursor() as cursor, alone(DROPPING) as is_alone, patient():
        for table in gone() if is_alone else ():
            cursor.execute(INDEXES, [table])
            for (index,) in cursor.fetchall():
                cursor.execute(statement("DROP INDEX {}", index))
                yield
            cursor.execute(statement("DROP TABLE {}", table))
            yield


def gone() -> list[str]:
    """Return the tables of months that were dropped and still take space."""
    with connection.cursor() as cursor:
        cursor.execute(PRESENT, {"table": TABLE, "named": f"^{TABLE}_[0-9]{{4}}_[0-9]{{2}}{GONE}$"})
        return sorted(name for name, *_ in cursor.fetchall())


def statement(text: str, *tables: str) -> sql.Composed:
    return sql.SQL(text).format(*map(sql.Identifier, tables))


def lock() -> None:
    """Wait until nobody else makes or drops tables of months, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [LOCK])


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """Tell whether nobody else is here, and keep others out until the end or that of the connection.

    Never waits for them: who waits has a snapshot, which a detachment would wait for.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name])
        (is_alone,) = cursor.fetchone()
        try:
            yield is_alone
        finally:
            if is_alone:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])


@contextmanager
def patient() -> Iterator[None]:
    """Wait `PATIENCE` for a lock at the longest, and leave the rest to the next run where that isn't enough."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [PATIENCE])
        try:
            yield
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            logger.info("A month that is to be dropped is still read; the next run goes on with it")
        finally:
            cursor.execute("RESET lock_timeout")
