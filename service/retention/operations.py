"""End what isn't kept any more, in every table that holds event data."""

from datetime import datetime
from uuid import UUID

from service.events import ids, partitions, queries, removal
from service.projects import retention
from service.retention.pace import BATCH, Pace, with_rests
from service.stats import operations as stats
from service.telemetry import operations as telemetry

FIRST = UUID(int=0)


def expire(now: datetime) -> list[str]:
    """Drop the months that expired, with what is counted of them and the emitters that nothing is left of.

    Goes on where an earlier run ended or was killed. Returns the names of the months.
    """
    with_rests(partitions.free())  # what an earlier run left, whose names are needed
    dropped = partitions.drop_expired(now)
    with_rests(partitions.free())
    with_rests(stats.forget())
    telemetry.forget(now)
    return dropped


def expire_early(now: datetime, pace: Pace) -> int:
    """Delete what projects keep for less long than the service does; return how many events.

    Ends when ``pace`` does, and goes on from there at the next call. One process at a time, which nobody waits for.
    """
    with partitions.alone(removal.LOCK) as is_alone:
        if not is_alone:
            return 0
        return sum(expire_project(each, days, now, pace) for each, days in retention.shorter().items())


def expire_project(project_id: int, days: int, now: datetime, pace: Pace) -> int:
    end = retention.horizon(days, now) - partitions.GRACE
    removed = remove_before(project_id, ids.floor(end), pace)
    telemetry.forget_before(project_id, end)
    return removed


def remove_before(project_id: int, end: UUID, pace: Pace) -> int:
    """Delete the events of a project with smaller ids than ``end``, the oldest first.

    Each batch is looked for after the last one, and not among what was just deleted, which indexes have yet.
    """
    removed, after = 0, FIRST
    while pace.goes_on:
        old = queries.of_project(project_id).filter(id__gt=after, id__lt=end)
        with pace.batch():
            batch = list(old.order_by("id").values_list("id", flat=True)[:BATCH])
            removed += removal.remove(project_id, batch) if batch else 0
        if len(batch) < BATCH:
            break
        after = batch[-1]
    return removed
