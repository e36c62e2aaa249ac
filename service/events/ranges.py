"""From a range of time to the ranges of ids that its events have.

An event's time may be 24 h from its id's, so one range of ids would have two days of events more read. It seldom is:
where it is more than five minutes, the event is a stray, and the index `event_stray` has those few alone.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from service.events import ids, partitions
from service.events.models import STRAY

HOUR = timedelta(hours=1)


def of_all(project_id: int) -> Q:
    """Return what keeps the ids of all events that the project has now.

    For questions that Postgres plans longer than it answers them, mostly for partitions with nothing of the project:
    those ahead, and those before its first event. By one statement, of one look-up.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM event WHERE project_id = %s ORDER BY id LIMIT 1", [project_id])
        (first,) = cursor.fetchone() or (UUID(int=0),)
    return Q(id__gte=first, id__lt=ids.floor(timezone.now() + partitions.FUTURE + HOUR))


def within(since: datetime | None, until: datetime | None) -> list[Q]:
    """Return what parts the events that occurred from ``since`` on and before ``until`` by their ids, in one to three.

    Those near the range of time, and the strays on either side of it. The bounds are constants, so that Postgres leaves
    out partitions when it plans.
    """
    near, beside = Q(), []
    if since is not None:
        near &= Q(id__gte=ids.floor(since - ids.NEAR))
        beside.append(Q(STRAY, id__gte=ids.floor(since - ids.SKEW), id__lt=ids.floor(since - ids.NEAR)))
    if until is not None:
        near &= Q(id__lt=after(until + ids.NEAR))
        beside.append(Q(STRAY, id__gte=after(until + ids.NEAR), id__lt=after(until + ids.SKEW)))
    return [near, *beside]


def after(moment: datetime) -> UUID:
    """Return the smallest id after those of ``moment``, which may be later in its millisecond."""
    return ids.floor(moment + ids.MILLISECOND)
