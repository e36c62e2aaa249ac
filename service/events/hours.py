"""From a range of time to the range of ids that its events have.

An event's time may be 24 h from its id's, so a range of time alone would have two days of events more read. What each
hour's ids really are is written beside them: in `Delta`, then in `Hour`, both of which are read in the statement that
asks for the events, so that the range holds each event that the statement sees.
"""

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet, Subquery, Value
from django.db.models.functions import Greatest, Least

from service.events import ids
from service.events.models import Delta, Hour

HOUR = timedelta(hours=1)
FAR = 2 * ids.SKEW  # what occurred this long after a moment has an id that is `SKEW` after it


def within(project_id: int, since: datetime | None, until: datetime | None) -> Q:
    """Return what keeps the ids of the events that occurred from ``since`` on and before ``until``, and few others."""
    condition = Q()
    if since is not None:
        near = since + FAR if until is None else min(until, since + FAR)
        beyond = [] if near == until else [Value(ids.floor(since + ids.SKEW))]
        first = hours(project_id, since, near, "first_id", "id")
        condition &= Q(id__gte=Least(*first, *beyond))
    if until is not None:
        near = until - FAR if since is None else max(since, until - FAR)
        beyond = [] if near == since else [Value(ids.floor(until - ids.SKEW + ids.MILLISECOND))]
        last = hours(project_id, near, until, "-last_id", "-last_id")
        condition &= Q(id__lte=Greatest(*last, *beyond))
    return condition


def hours(project_id: int, since: datetime, until: datetime, order: str, order_of_deltas: str) -> list[Subquery]:
    """Return the first id of these hours in each of both tables, null without; both are null without events."""
    in_hours = Q(project_id=project_id, hour__gt=since - HOUR, hour__lt=until)
    return [
        first(Hour.objects.filter(in_hours), order),
        first(Delta.objects.filter(in_hours), order_of_deltas),
    ]


def first(rows: QuerySet[Hour] | QuerySet[Delta], order: str) -> Subquery:
    return Subquery(rows.order_by(order).values(order.removeprefix("-"))[:1])
