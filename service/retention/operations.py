"""End what isn't kept any more, in every table that holds event data."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from service.events import ids, partitions, queries, removal
from service.projects import retention
from service.retention.pace import BATCH, Pace, in_turns, with_rests
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

    Projects take turns. Ends when ``pace`` does, and goes on from there at the next call. One process at a time, which
    nobody waits for.
    """
    with partitions.alone(removal.LOCK) as is_alone:
        works = retention.shorter().items() if is_alone else ()
        return in_turns([expire_project(each, days, now) for each, days in works], pace)


def expire_project(project_id: int, days: int, now: datetime) -> Iterator[int]:
    """Delete what a project doesn't keep any more, the oldest first; yield how much after each batch.

    Each is looked for after the last one, and not among what was just deleted, which indexes have yet.
    """
    end = retention.horizon(days, now) - partitions.GRACE
    telemetry.forget_before(project_id, end)
    old = queries.of_project(project_id).filter(id__lt=ids.floor(end)).order_by("id")
    after = FIRST
    while batch := list(old.filter(id__gt=after).values_list("id", flat=True)[:BATCH]):
        yield removal.remove(project_id, batch)
        after = batch[-1]
