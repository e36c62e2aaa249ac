"""Add up what is counted of events, and forget what isn't kept any more."""

from django.db import connection, transaction

from service.events import ids, partitions
from service.events.models import Delta, Hour
from service.stats.dimensions import DIMENSIONS, GROUPINGS, rolled
from service.stats.models import Series

CHUNK = 5_000  # deltas folded in one transaction, about 100 ms
LOCK = "heliograph.counts"

ROLLED = [rolled(kept) for kept in GROUPINGS]
COLUMNS = ", ".join(DIMENSIONS)
SETS = ", ".join(f"({', '.join(('hours', 'moment', *kept))})" for kept in GROUPINGS)
# One statement, so that a reader, whose statement has one snapshot too, sees a delta in one of both places.
FOLD = f"""
    WITH taken AS (
        DELETE FROM event_delta
        WHERE project_id = %(project)s
            AND id IN (SELECT id FROM event_delta WHERE project_id = %(project)s ORDER BY id LIMIT %(chunk)s)
        RETURNING *
    ), added AS (
        SELECT
            hours, moment, GROUPING({COLUMNS}) AS rolled, {COLUMNS},
            sum(count)::bigint AS count, min(oldest) AS oldest, max(newest) AS newest
        FROM taken CROSS JOIN LATERAL (VALUES (1, hour), (24, date_trunc('day', hour, 'UTC'))) AS span (hours, moment)
        GROUP BY GROUPING SETS ({SETS})
    ), named AS MATERIALIZED (
        SELECT
            *,
            encode(substring(sha256(convert_to(ROW(rolled, {COLUMNS})::text, 'UTF8')) FOR 16), 'hex')::uuid AS series
        FROM added
    ), described AS (
        INSERT INTO event_series (project_id, id, rolled, {COLUMNS}, count, oldest, newest)
        SELECT
            %(project)s, series, rolled, {COLUMNS}, sum(count), min(oldest), max(newest)
        FROM named
        WHERE hours = 24
        GROUP BY series, rolled, {COLUMNS}
        ON CONFLICT (project_id, id) DO UPDATE SET
            count = event_series.count + EXCLUDED.count,
            oldest = LEAST(event_series.oldest, EXCLUDED.oldest),
            newest = GREATEST(event_series.newest, EXCLUDED.newest)
    ), counted AS (
        INSERT INTO event_count (project_id, rolled, hours, moment, series_id, count, oldest)
        SELECT %(project)s, rolled, hours, moment, series, count, oldest FROM named
        ON CONFLICT (project_id, rolled, hours, moment, series_id) DO UPDATE SET
            count = event_count.count + EXCLUDED.count,
            oldest = LEAST(event_count.oldest, EXCLUDED.oldest)
    ), spanned AS (
        INSERT INTO event_hour (project_id, hour, first_id, last_id)
        SELECT
            %(project)s, hour, min(id::text COLLATE "C")::uuid, max(last_id::text COLLATE "C")::uuid
        FROM taken
        GROUP BY hour
        ON CONFLICT (project_id, hour) DO UPDATE SET
            first_id = LEAST(event_hour.first_id, EXCLUDED.first_id),
            last_id = GREATEST(event_hour.last_id, EXCLUDED.last_id)
    )
    SELECT count(*) FROM taken
"""  # noqa: S608  # names of columns
# Of the events that are left, the oldest is looked up among the days.
FORGET = """
    WITH gone AS (
        DELETE FROM event_count
        WHERE project_id = %(project)s AND rolled = ANY(%(rolled)s) AND hours IN (1, 24) AND moment < %(end)s
        RETURNING series_id, hours, count
    ), lost AS (
        SELECT series_id, sum(count) AS count FROM gone WHERE hours = 1 GROUP BY series_id
    ), kept AS (
        SELECT series_id, min(oldest) AS oldest
        FROM event_count
        WHERE project_id = %(project)s AND rolled = ANY(%(rolled)s) AND hours = 24 AND moment >= %(end)s
            AND EXISTS (SELECT 1 FROM lost)
        GROUP BY series_id
    )
    UPDATE event_series SET
        count = event_series.count - lost.count,
        oldest = COALESCE(kept.oldest, event_series.oldest)
    FROM lost LEFT JOIN kept USING (series_id)
    WHERE project_id = %(project)s AND id = lost.series_id
"""


def fold(project_id: int) -> None:
    """Add to the counts of a project what was committed before the call.

    Safe at any moment and from many processes: a delta goes where it is added, in one transaction, under a lock that
    those who write deltas never ask for.
    """
    while fold_some(project_id, CHUNK) == CHUNK:
        continue


def fold_some(project_id: int, chunk: int) -> int:
    """Fold ``chunk`` deltas at the most; return how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock(project_id)
        cursor.execute(FOLD, {"project": project_id, "chunk": chunk})
        (folded,) = cursor.fetchone()
    return int(folded)


def fold_all() -> None:
    """Fold the deltas of every project."""
    for project_id in Delta.objects.order_by().values_list("project_id", flat=True).distinct():
        fold(project_id)


def forget() -> None:
    """Take from the counts what no event in the table can be of: the days before its oldest partition.

    The day before is kept, since a late event in that partition may tell of it.
    """
    end = partitions.oldest() - ids.SKEW
    for project_id in Series.objects.filter(oldest__lt=end).order_by().values_list("project_id", flat=True).distinct():
        with transaction.atomic(), connection.cursor() as cursor:
            lock(project_id)
            cursor.execute(FORGET, {"project": project_id, "rolled": ROLLED, "end": end})
            Series.objects.filter(project_id=project_id, count=0).delete()
            Hour.objects.filter(project_id=project_id, hour__lt=end).delete()


def lock(project_id: int) -> None:
    """Wait until nobody else changes counts of the project, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", [LOCK, project_id])
