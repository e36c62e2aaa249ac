"""Read what arrived for many tails at once: each event is decoded once for all that stand at about the same place.

Whether an event is a tail's is asked in Python. A look is bounded in events, in bytes, and in what it compares.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from time import monotonic
from typing import Generic, NamedTuple, Protocol, TypeVar

from django.db import close_old_connections

from service.api.renderers import encoder
from service.events import arrivals, pages
from service.events.arrivals import Arrived, Place
from service.events.conditions import Criteria, Is
from service.events.models import Event
from service.events.serializers import represent

SHOWN = 100  # events of one live tail in one look
LOOKED_AT = 1_000  # events of a project in one look
MATCHED = 50_000  # events times different criteria in one look, about 50 ms where none of them names a value
READ = 4 * 1024 * 1024  # bytes of data in one look, and one event at least
DECODED = 512 * 1024  # bytes of data at a time, about ten times that in memory
LATE = 0.5  # seconds for those that catch up, before those that are live are looked for again


class Follower(Protocol):
    """What a look knows of a tail."""

    project_id: int
    criteria: Criteria
    place: Place
    is_live: bool
    looked: float
    patience: float

    @property
    def may_go_on(self) -> Callable[[], bool]: ...

    @property
    def is_full(self) -> bool: ...


OfTail = TypeVar("OfTail", bound=Follower)


class Found(NamedTuple):
    """An event that is a tail's, and the place after it; its message, unless it is too old to be shown."""

    place: Place
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(Generic[OfTail]):
    """What came for ``tails`` up to ``end``. ``gone`` are the places of what isn't there any more.

    ``left_out`` is how many came after what was looked at.

    ``is_all`` that could be read; not ``is_whole`` where some was forgotten before.
    """

    tails: Sequence[OfTail]
    found: Mapping[Criteria, Sequence[Found]]
    end: Place
    gone: Sequence[Place]
    left_out: int
    is_all: bool
    is_whole: bool


def ended(tails: Collection[OfTail]) -> list[OfTail]:
    """Return which tails may not go on."""
    close_old_connections()
    return [tail for tail in tails if not tail.may_go_on()]


def take(tails: Collection[OfTail]) -> Iterator[Look[OfTail]]:
    """Look for each live tail, then as long as there is time for those that catch up and whose client reads.

    Who catches up for too long is live from here on, so that what it hasn't seen is counted.
    """
    now = arrivals.now()
    begun = monotonic()
    for tail in tails:
        tail.is_live = tail.is_live or begun >= tail.patience
    for group in by_project(sorted((tail for tail in tails if tail.is_live), key=lambda tail: tail.place)):
        yield from take_each(group, now)
    late = [tail for tail in tails if not tail.is_live and not tail.is_full]
    for group in by_project(sorted(late, key=lambda tail: (tail.looked, tail.place))):
        for look in take_each(group, now):
            yield look
            if monotonic() - begun > LATE:
                return


def by_project(tails: Collection[OfTail]) -> list[list[OfTail]]:
    groups = defaultdict(list)
    for tail in tails:
        groups[tail.project_id].append(tail)
    return list(groups.values())


def take_each(tails: Sequence[OfTail], now: Place) -> Iterator[Look[OfTail]]:
    """Look from the place of the first for all that stand within what is read; then for the first of the others."""
    while tails:
        look = take_one(tails, now)
        yield look
        done = set(map(id, look.tails))
        tails = [tail for tail in tails if id(tail) not in done]


def take_one(tails: Sequence[OfTail], now: Place) -> Look[OfTail]:
    first = tails[0]
    kinds = {tail.criteria for tail in tails}
    limit = min(LOOKED_AT, max(1, MATCHED // len(kinds)))
    arrived = arrivals.since(first.project_id, first.place, limit) if first.place < now else []
    read = readable(first.project_id, arrived)
    last = read[-1][-1].place if read else first.place
    is_all = len(arrived) < limit and (not arrived or last == arrived[-1].place)
    within = [each for each in tails if each is first or (first.place <= each.place and (is_all or each.place < last))]
    most = SHOWN if first.is_live else len(arrived)
    found, gone = matched(first.project_id, read, {tail.criteria for tail in within}, most)
    left_out = arrivals.count(first.project_id, last, now) if first.is_live and not is_all and last < now else 0
    for tail in within:
        tail.looked = monotonic()
    return Look(
        tails=within,
        found=found,
        end=max(last, now) if is_all or left_out else last,
        gone=gone,
        left_out=left_out,
        is_all=is_all,
        is_whole=first.place >= now or arrivals.is_whole(first.place),
    )


def readable(project_id: int, arrived: Sequence[Arrived]) -> list[list[Arrived]]:
    """Return the first of ``arrived`` that may be read in one look, in parts that may be decoded at a time."""
    sizes = pages.sizes_of(project_id, [each.id for each in arrived]) if arrived else {}
    parts: list[list[Arrived]] = []
    whole = part = 0
    for each in arrived:
        size = sizes.get(each.id, 0)
        if parts and whole + size > READ:
            break
        if not parts or part + size > DECODED:
            parts.append([])
            part = 0
        parts[-1].append(each)
        whole += size
        part += size
    return parts


def matched(
    project_id: int, parts: Sequence[Sequence[Arrived]], kinds: Collection[Criteria], most: int
) -> tuple[Mapping[Criteria, Sequence[Found]], Sequence[Place]]:
    """Return what is found of each kind, with texts of the newest ``most``, and the places of what is gone."""
    found: dict[Criteria, list[Found]] = {criteria: [] for criteria in kinds}
    index = Kinds(kinds)
    gone: list[Place] = []
    for part in parts:
        events = pages.by_ids(project_id, [each.id for each in part])
        gone += [each.place for each in part if each.id not in events]
        there = [(each.place, events[each.id]) for each in part if each.id in events]
        mine: dict[Criteria, list[tuple[Place, Event]]] = defaultdict(list)
        for place, event in there:
            for criteria in index.of(event):
                mine[criteria].append((place, event))
        texts: dict[Place, bytes] = {}
        for criteria, its in mine.items():
            for place, event in its[-most:]:
                if place not in texts:
                    texts[place] = as_message(event, place)
            found[criteria] += [Found(place, texts.get(place, b"")) for place, _ in its]
    return found, gone


class Kinds:
    """Criteria, most of which name values of columns: they are found by what an event has there."""

    def __init__(self, kinds: Collection[Criteria]) -> None:
        self.by_values: dict[tuple[str, ...], dict[tuple[object, ...], list[Criteria]]] = {}
        for criteria in kinds:
            asked = {each.column: each.value for each in criteria.conditions if isinstance(each, Is)}
            of_columns = self.by_values.setdefault(tuple(asked), {})
            of_columns.setdefault(tuple(asked.values()), []).append(criteria)

    def of(self, event: Event) -> list[Criteria]:
        """Return those that ``event`` matches."""
        possible = (
            of_columns.get(tuple(getattr(event, column) for column in columns), ())
            for columns, of_columns in self.by_values.items()
        )
        return [criteria for criteria in chain.from_iterable(possible) if criteria.matches(event)]


def as_message(event: Event, place: Place) -> bytes:
    return message(encoder.encode(represent(event)), place=place)


def message(data: bytes, *, event: str = "", place: Place | None = None) -> bytes:
    """Return one server-sent event; without ``data`` it only tells the client its place."""
    lines = [f"event: {event}\n".encode()] if event else []
    lines += [f"id: {place}\n".encode()] if place is not None else []
    lines += [b"data: " + data + b"\n"] if data else []
    return b"".join([*lines, b"\n"])
