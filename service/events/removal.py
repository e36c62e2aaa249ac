"""Take from the counts what is taken from the table, by deltas of less than nothing.

They are written in the transaction that takes the events, so that counts and deltas add up to the table at any moment,
and nobody who stores or asks waits. See docs/why/dropped-in-two-steps.md.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection
from psycopg import sql

from service.events import ids

LOCK = "heliograph.removal"  # whoever removes many; two would wait for each other's rows

# As `store_events` counts what comes, but that these have no first or last of anything: what is left has to be looked
# at for that. Their ids are the greatest, so that a fold never takes one before a delta of what went.
COUNT_OUT = """
    INSERT INTO event_delta (project_id, id, hour, type, source, sender, action, outcome, count)
    SELECT
        %(project)s, ('ffffffff-ffff-' || substr(gen_random_uuid()::text, 15))::uuid,
        date_trunc('hour', occurred_at, 'UTC') AS hour, type, source, sender, action, outcome, -count(*)
    FROM gone
    GROUP BY hour, type, source, sender, action, outcome
"""
REMOVE = f"""
    WITH gone AS (
        DELETE FROM event
        WHERE project_id = %(project)s AND id = ANY(%(ids)s)
        RETURNING occurred_at, type, source, sender, action, outcome
    ), counted_out AS ({COUNT_OUT})
    SELECT count(*) FROM gone
"""  # noqa: S608  # a constant
# The next project of a table, which is in their order: what is asked of all would be read whole.
NEXT = "SELECT project_id FROM {table} WHERE project_id > %(project)s ORDER BY project_id LIMIT 1"
# Those with ids near the end, and the strays.
BEYOND = f"""
    WITH gone AS (
        SELECT occurred_at, type, source, sender, action, outcome FROM {{table}}
        WHERE project_id = %(project)s AND id >= %(near)s AND occurred_at >= %(end)s
        UNION ALL
        SELECT occurred_at, type, source, sender, action, outcome FROM {{table}}
        WHERE project_id = %(project)s AND id >= %(far)s AND id < %(near)s
            AND event_is_stray(id, occurred_at) AND occurred_at >= %(end)s
    )
    {COUNT_OUT}
"""  # noqa: S608  # a constant


def count_out_beyond(table: str, end: datetime) -> None:
    """Count out the few events of a detached month that occurred after its ``end``."""
    near, far = ids.floor(end - ids.NEAR), ids.floor(end - ids.SKEW)
    beyond = sql.SQL(BEYOND).format(table=sql.Identifier(table))
    with connection.cursor() as cursor:
        for project_id in projects_of(table):
            cursor.execute(beyond, {"project": project_id, "near": near, "far": far, "end": end})


def projects_of(table: str) -> Iterator[int]:
    """Yield the projects that have events in a table."""
    following = sql.SQL(NEXT).format(table=sql.Identifier(table))
    found = (0,)
    while found:
        with connection.cursor() as cursor:
            cursor.execute(following, {"project": found[0]})
            if found := cursor.fetchone():
                yield found[0]


def remove(project_id: int, event_ids: Sequence[UUID]) -> int:
    """Delete events of a project and count them out, in one statement; return how many were there."""
    with connection.cursor() as cursor:
        cursor.execute(REMOVE, {"project": project_id, "ids": list(event_ids)})
        return int(cursor.fetchone()[0])
