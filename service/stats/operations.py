"""Add up what is counted of events, and forget what isn't kept any more."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from service.events import ids, partitions, ranges
from service.events.models import Delta
from service.stats.dimensions import DIMENSIONS, GROUPINGS, rolled
from service.stats.models import Count, Series

CHUNK = 5_000  # deltas folded in one transaction, about 100 ms
LOCK = "heliograph.counts"

ROLLED = [rolled(kept) for kept in GROUPINGS]
COLUMNS = ", ".join(DIMENSIONS)
SIGNALS = rolled(("type", "sender"))
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
            sum(count)::bigint AS count, min(oldest) AS oldest, max(newest) AS newest, bool_or(count < 0) AS has_less
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
            %(project)s, series, rolled, {COLUMNS}, sum(count),
            CASE WHEN rolled = {SIGNALS} THEN min(oldest) END, CASE WHEN rolled = {SIGNALS} THEN max(newest) END
        FROM named
        WHERE hours = 24
        GROUP BY series, rolled, {COLUMNS}
        ON CONFLICT (project_id, id) DO UPDATE SET
            count = event_series.count + EXCLUDED.count,
            oldest = LEAST(event_series.oldest, EXCLUDED.oldest),
            newest = GREATEST(event_series.newest, EXCLUDED.newest)
    ), counted AS (
        INSERT INTO event_count (project_id, rolled, hours, moment, series_id, count)
        SELECT %(project)s, rolled, hours, moment, series, count FROM named
        ON CONFLICT (project_id, rolled, hours, moment, series_id) DO UPDATE SET
            count = event_count.count + EXCLUDED.count
    )
    SELECT
        (SELECT count(*) FROM taken),
        ARRAY(SELECT DISTINCT hour FROM taken WHERE count < 0),
        ARRAY(SELECT DISTINCT series FROM named WHERE rolled = {SIGNALS} AND has_less)
"""  # noqa: S608  # names of columns
FORGET = """
    WITH gone AS (
        DELETE FROM event_count
        WHERE project_id = %(project)s AND rolled = ANY(%(rolled)s) AND hours IN (1, 24)
            AND moment >= %(day)s AND moment < %(day)s + interval '1 day'
        RETURNING series_id, hours, count
    ), lost AS (
        SELECT series_id, sum(count) AS count FROM gone WHERE hours = 1 GROUP BY series_id
    )
    UPDATE event_series SET count = event_series.count - lost.count
    FROM lost
    WHERE project_id = %(project)s AND id = lost.series_id
"""
# What occurred before the oldest month and is in it by its id, near its beginning or a stray, in place of all that
# waits to be counted of that time. One statement, so that what is stored meanwhile is seen with its delta, or not.
RECOUNT = f"""
    WITH undone AS (
        DELETE FROM event_delta WHERE project_id = %(project)s AND hour < %(end)s
    ), late AS (
        SELECT occurred_at, {COLUMNS} FROM event
        WHERE project_id = %(project)s AND id >= %(first)s AND id < %(near)s AND occurred_at < %(end)s
        UNION ALL
        SELECT occurred_at, {COLUMNS} FROM event
        WHERE project_id = %(project)s AND id >= %(near)s AND id < %(far)s AND event_is_stray(id, occurred_at)
            AND occurred_at < %(end)s
    )
    INSERT INTO event_delta (project_id, id, hour, {COLUMNS}, count, oldest, newest)
    SELECT
        %(project)s, ('ffffffff-fffe-' || substr(gen_random_uuid()::text, 15))::uuid,
        date_trunc('hour', occurred_at, 'UTC') AS hour, {COLUMNS}, count(*), min(occurred_at), max(occurred_at)
    FROM late
    GROUP BY hour, {COLUMNS}
"""  # noqa: S608  # names of columns
# What is left of the hours and days of which events were taken away.
CLEAR = """
    DELETE FROM event_count
    WHERE project_id = %(project)s AND rolled = ANY(%(rolled)s) AND count = 0 AND (
        hours = 1 AND moment = ANY(%(hours)s)
        OR hours = 24 AND moment = ANY(ARRAY(SELECT date_trunc('day', hour, 'UTC') FROM unnest(%(hours)s) AS hour))
    )
"""
# The first and the last hour of a type and its sender; of all hours, found by way of the days.
EDGES = """
    SELECT series_id, oldest, newest, first, last
    FROM (
        SELECT series_id, min(moment) AS first_day, max(moment) AS last_day
        FROM event_count
        WHERE project_id = %(project)s AND rolled = %(signals)s AND hours = 24 AND series_id = ANY(%(series)s)
        GROUP BY series_id
    ) AS days CROSS JOIN LATERAL (
        SELECT min(moment) AS first, max(moment) AS last
        FROM event_count
        WHERE project_id = %(project)s AND rolled = %(signals)s AND hours = 1 AND event_count.series_id = days.series_id
            AND (
                moment >= first_day AND moment < first_day + interval '1 day'
                OR moment >= last_day AND moment < last_day + interval '1 day'
            )
    ) AS hours JOIN event_series ON event_series.project_id = %(project)s AND event_series.id = series_id
"""
# The first or the last event of each of these types and senders in an hour: near it by its id, or among the strays.
MEND = """
    WITH found AS (
        SELECT id, is_first, moment
        FROM unnest(
            %(series)s::uuid[], %(hours)s::timestamptz[], %(firsts)s::boolean[],
            %(after)s::uuid[], %(before)s::uuid[], %(long_after)s::uuid[], %(long_before)s::uuid[]
        ) AS edge (series, hour, is_first, after, before, long_after, long_before)
        JOIN event_series ON project_id = %(project)s AND id = series
        CROSS JOIN LATERAL (
            SELECT CASE WHEN is_first THEN min(occurred_at) ELSE max(occurred_at) END AS moment
            FROM (
                SELECT occurred_at FROM event
                WHERE event.project_id = %(project)s AND event.type = event_series.type COLLATE "C"
                    AND event.sender IS NOT DISTINCT FROM event_series.sender
                    AND event.id >= after AND event.id < before
                    AND occurred_at >= hour AND occurred_at < hour + interval '1 hour'
                UNION ALL
                SELECT occurred_at FROM event
                WHERE event.project_id = %(project)s AND event.type = event_series.type COLLATE "C"
                    AND event.sender IS NOT DISTINCT FROM event_series.sender
                    AND event.id >= long_after AND event.id < long_before AND event_is_stray(event.id, occurred_at)
                    AND occurred_at >= hour AND occurred_at < hour + interval '1 hour'
            ) AS alike
        ) AS span
    ), edges AS (
        SELECT
            id, max(moment) FILTER (WHERE is_first) AS oldest, max(moment) FILTER (WHERE NOT is_first) AS newest
        FROM found
        GROUP BY id
    )
    UPDATE event_series SET
        oldest = coalesce(edges.oldest, event_series.oldest), newest = coalesce(edges.newest, event_series.newest)
    FROM edges
    WHERE project_id = %(project)s AND event_series.id = edges.id
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
        folded, hours, series = cursor.fetchone()
        if hours:
            cursor.execute(CLEAR, {"project": project_id, "hours": hours, "rolled": ROLLED})
            mend(project_id, series, hours)
    return int(folded)


def mend(project_id: int, series: list[UUID], hours: Collection[datetime] = ()) -> None:
    """Leave no series without events, and look up when the first and the last occurred of these types and senders.

    Only where that may have changed: in hours of which some of the project's were taken away, and where another hour is
    the first or the last now. Under the lock of the project: a fold that came between would add an older one in vain.
    """
    Series.objects.filter(project_id=project_id, count=0).delete()
    with connection.cursor() as cursor:
        cursor.execute(EDGES, {"project": project_id, "signals": SIGNALS, "series": series})
        touched = [
            (each, hour, is_first)
            for each, oldest, newest, first, last in cursor.fetchall()
            for edge, hour, is_first in ((oldest, first, True), (newest, last, False))
            if is_touched(edge, hour, hours)
        ]
        cursor.execute(MEND, {"project": project_id, **columns(touched)})


def columns(touched: list[tuple[UUID, datetime, bool]]) -> dict[str, list[Any]]:
    """Return the edges of `MEND` by column, with the bounds on ids of events near each hour, and of strays."""
    moments = [hour for _, hour, _ in touched]
    return {
        "series": [each for each, _, _ in touched],
        "hours": moments,
        "firsts": [is_first for _, _, is_first in touched],
        "after": [ids.floor(hour - ids.NEAR) for hour in moments],
        "before": [ids.floor(hour + ranges.HOUR + 2 * ids.NEAR) for hour in moments],
        "long_after": [ids.floor(hour - ids.SKEW) for hour in moments],
        "long_before": [ids.floor(hour + ids.SKEW + 2 * ranges.HOUR) for hour in moments],
    }


def is_touched(edge: datetime | None, hour: datetime, hours: Collection[datetime]) -> bool:
    return edge is None or not hour <= edge < hour + ranges.HOUR or hour in hours


def fold_all() -> None:
    """Fold the deltas of every project."""
    for project_id in Delta.objects.order_by().values_list("project_id", flat=True).distinct():
        fold(project_id)


def forget() -> Iterator[None]:
    """Take from the counts what occurred before the oldest partition, but for what is in that by its id.

    Yields after each short transaction, for the caller to rest. Goes on where an earlier call ended. Does nothing while
    a month is on its way out, which may come back.
    """
    if not partitions.are_settled():
        return
    end = partitions.oldest()
    for project_id in counted_before(end):
        fold(project_id)  # or what was removed of a day would be taken from it when that has gone
        for day in days_before(project_id, end - ids.SKEW):
            with transaction.atomic():
                lock(project_id)
                forget_day(project_id, day)
            yield
        with transaction.atomic():
            lock(project_id)
            forget_day(project_id, end - ids.SKEW)
            recount_before(project_id, end)
            mend(project_id, outdated(project_id, end))
        yield


def days_before(project_id: int, end: datetime) -> list[datetime]:
    days = Count.objects.filter(project_id=project_id, rolled=rolled(()), hours=24, moment__lt=end).order_by("moment")
    return list(days.values_list("moment", flat=True).distinct())


def forget_day(project_id: int, day: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FORGET, {"project": project_id, "rolled": ROLLED, "day": day})


def recount_before(project_id: int, end: datetime) -> None:
    bounds = {"first": ids.floor(end), "near": ranges.after(end + ids.NEAR), "far": ranges.after(end + ids.SKEW)}
    with connection.cursor() as cursor:
        cursor.execute(RECOUNT, {"project": project_id, "end": end, **bounds})


def outdated(project_id: int, end: datetime) -> list[UUID]:
    return list(Series.objects.filter(project_id=project_id, oldest__lt=end).values_list("id", flat=True))


def counted_before(end: datetime) -> set[int]:
    """Return the projects of which anything is counted that occurred before ``end``."""
    found = Series.objects.filter(oldest__lt=end).order_by().values_list("project_id", flat=True).distinct()
    waiting = Delta.objects.filter(hour__lt=end).order_by().values_list("project_id", flat=True).distinct()
    return {*found, *waiting}


def lock(project_id: int) -> None:
    """Wait until nobody else changes counts of the project, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", [LOCK, project_id])
