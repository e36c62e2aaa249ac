"""Take from the counts what is taken from the table, by deltas of less than nothing.

They are written in the transaction that takes the events, so that counts and deltas add up to the table at any moment,
and nobody who stores or asks waits. See docs/why/dropped-in-two-steps.md.
"""

from collections.abc import Sequence
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
        project_id, ('ffffffff-ffff-' || substr(gen_random_uuid()::text, 15))::uuid,
        date_trunc('hour', occurred_at, 'UTC') AS hour, type, source, sender, action, outcome, -count(*)
    FROM gone
    GROUP BY project_id, hour, type, source, sender, action, outcome
"""
REMOVE = f"""
    WITH gone AS (
        DELETE FROM event
        WHERE project_id = %(project)s AND id = ANY(%(ids)s)
        RETURNING project_id, occurred_at, type, source, sender, action, outcome
    ), counted_out AS ({COUNT_OUT})
    SELECT count(*) FROM gone
"""  # noqa: S608  # a constant
# By one project after the other, since a table is in the order of their ids: those near the end, and the strays.
BEYOND = f"""
    WITH RECURSIVE projects AS (
        SELECT min(project_id) AS project_id FROM {{table}}
        UNION ALL
        SELECT (SELECT min(project_id) FROM {{table}} AS other WHERE other.project_id > projects.project_id)
        FROM projects
        WHERE project_id IS NOT NULL
    ), gone AS (
        SELECT event.* FROM projects CROSS JOIN LATERAL (
            SELECT project_id, occurred_at, type, source, sender, action, outcome FROM {{table}} AS event
            WHERE event.project_id = projects.project_id AND id >= %(near)s AND occurred_at >= %(end)s
            UNION ALL
            SELECT project_id, occurred_at, type, source, sender, action, outcome FROM {{table}} AS event
            WHERE event.project_id = projects.project_id AND id >= %(far)s AND id < %(near)s
                AND event_is_stray(id, occurred_at) AND occurred_at >= %(end)s
        ) AS event
    )
    {COUNT_OUT}
"""  # noqa: S608  # a constant


def count_out_beyond(table: str, end: datetime) -> None:
    """Count out the few events of a detached month that occurred after its ``end``."""
    bounds = {"near": ids.floor(end - ids.NEAR), "far": ids.floor(end - ids.SKEW)}
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(BEYOND).format(table=sql.Identifier(table)), {"end": end, **bounds})


def remove(project_id: int, event_ids: Sequence[UUID]) -> int:
    """Delete events of a project and count them out, in one statement; return how many were there."""
    with connection.cursor() as cursor:
        cursor.execute(REMOVE, {"project": project_id, "ids": list(event_ids)})
        return int(cursor.fetchone()[0])
