"""Requests that wait in Postgres for as long as a test wants."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests import live

BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@contextmanager
def locked(table: str = "event") -> Iterator[Callable[[int], bool]]:
    """Keep Postgres from reading or storing any event for as long as the block lasts, or from another table.

    Yields what tells whether so many wait.
    """
    address = live.database_address()
    with psycopg.connect(address) as holder, psycopg.connect(address, autocommit=True) as observer:
        holder.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)))
        yield lambda count: observer.execute(BLOCKED).fetchone() == (count,)
        holder.rollback()
