"""Read what is about one object: its own events, and those of others that name it.

Bulk calls and changes of relations name objects by their keys, in no column. The indexes `event_named_one` and
`event_named_many` find them: by one number that stands for model and key, by another for those that don't name all rows
which they wrote. Each source is read in the order of ids from an index of its own, as far as a page needs it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, BooleanField, ExpressionWrapper, Func, Q, Value

from service.events import ids, queries, ranges
from service.events.models import NAMED_MANY, NAMED_ONE, NAMES_OBJECTS
from service.events.objects_state import Gap, Reason, Related, State
from service.events.objects_told import Ref
from service.events.unions import Union

MOST = 10_000  # events that one state is made of; as many bulk calls that don't name their rows
AT_ONCE = 200  # events in memory, each of 256 KiB at the most
RELATED = 1_000  # objects of one relation that are looked at

BEGINS = ExpressionWrapper(
    Q(action="created") | (Q(action="bulk_create") & ~Q(data__has_any_keys=["ignore_conflicts", "update_conflicts"])),
    BooleanField(),
)
NUMBERS = ArrayField(BigIntegerField())
# Signals of Django that tell of an object, and of nothing that happened to it.
FORETOLD = [f"django.db.models.signals.{name}" for name in ("pre_init", "post_init", "pre_save", "pre_delete")]
NOT_ROLLED_BACK = Q(outcome__isnull=True) | ~Q(outcome="rolledback")


def about(project_id: int, ref: Ref, *, possible: bool = False) -> Union:
    """Return the events that are about an object or name it; with ``possible``, also calls that may have written it."""
    events = queries.of_project(project_id).filter(ranges.of_all(project_id)).alias(one=NAMED_ONE, many=NAMED_MANY)
    own = Q(sender=ref.sender, object_id=ref.object_id)
    number = named(project_id, f"{ref.sender}/{ref.object_id}")
    among = Func(number, function="ARRAY", template="%(function)s[%(expressions)s]", output_field=NUMBERS)
    parts = [
        own & ~Q(action=None, type__in=FORETOLD),
        NAMES_OBJECTS & ~own & Q(one=number),
        # Said twice: of calls that are rare Postgres has no statistics, and what is said once it takes for true of a
        # 200th of all events, for which it would rather read all of them in their order.
        NAMES_OBJECTS & ~own & Q(many__contains=among, many__overlap=among),
    ]
    if possible:
        parts.append(unnamed(project_id, ref) & ~Q(many__contains=among))
    return Union(events, *parts)


def unnamed(project_id: int, ref: Ref) -> Q:
    """Return what keeps the calls that wrote to rows of the object's model without naming them all."""
    return NAMES_OBJECTS & Q(one=named(project_id, f"{ref.sender}/"))


def named(project_id: int, name: str) -> Func:
    """Return the number that stands for an object, as migrations/0005_objects.py makes it."""
    return Func(Value(name), Value(project_id), function="hashtextextended", output_field=BigIntegerField())


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """A moment: that of a time, which events before and at it belong to, or just after one event."""

    event_id: UUID | None = None
    time: datetime | None = None

    @property
    def reached(self) -> Q:
        if self.event_id is not None:
            return Q(id__lte=self.event_id)
        if self.time is None:
            return Q()
        return Q(occurred_at__lte=self.time, id__lt=ids.floor(self.time + ids.SKEW + ids.MILLISECOND))


def state(project_id: int, ref: Ref, as_of: AsOf) -> State | None:
    """Return the object as its events tell that it was; None if none tells, at any time.

    Begins with the last event that created it, else with the `MOST` newest. Events are read some at a time.
    """
    rebuilt = State(ref=ref)
    found = about(project_id, ref).filter(NOT_ROLLED_BACK, action__isnull=False)
    newest = ids_since_creation(found.filter(as_of.reached))
    if not newest:
        return state_before(rebuilt, found)
    bulk = queries.of_project(project_id).alias(one=NAMED_ONE).filter(unnamed(project_id, ref), NOT_ROLLED_BACK)
    calls = list(bulk.filter(as_of.reached, id__gt=newest[-1]).order_by("-id").values_list("id", flat=True)[: MOST + 1])
    for some in batched(sorted({*newest[:MOST], *calls[:MOST]}), AT_ONCE):
        within = queries.of_project(project_id).filter(id__range=(some[0], some[-1]))  # which leaves out partitions
        rebuilt.apply(within.filter(id__in=some).order_by("id"))
    if len(newest) > MOST or len(calls) > MOST:
        rebuilt.gaps.append(Gap(reason=Reason.TOO_MANY))
    for (name, _), related in rebuilt.relations.items():
        forget_deleted(project_id, name, related, as_of)
    return rebuilt


def ids_since_creation(found: Union) -> list[UUID]:
    """Return the ids, newest first, back to the event that last created the object; at the most one over `MOST`."""
    newest = []
    for event_id, begins in found.first(MOST + 1, "lt", begins=BEGINS):
        newest.append(event_id)
        if begins:
            break
    return newest


def state_before(nothing: State, found: Union) -> State | None:
    """Return what an object's first event says of the time before: that it wasn't there, or nothing."""
    first = found.first(1, "gt", begins=BEGINS)
    nothing.exists = False if first and first[0][1] else None
    return nothing if first else None


def forget_deleted(project_id: int, name: str, related: Related, as_of: AsOf) -> None:
    """Leave out of a relation the objects that were deleted since they were added, which no event of it tells."""
    if related.model is None or len(related.added) > RELATED:
        related.gap = related.gap or Gap(reason=Reason.RELATION, field=name)
        return
    deleted = queries.of_project(project_id).filter(
        as_of.reached, NOT_ROLLED_BACK, sender=related.model, object_id__in=list(related.added), action="deleted"
    )
    for object_id, event_id in deleted.values_list("object_id", "id"):
        if object_id in related.added and event_id > related.added[object_id]:
            del related.added[object_id]


def batched(items: Sequence[UUID], size: int) -> Iterator[list[UUID]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
