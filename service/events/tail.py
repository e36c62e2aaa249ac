"""Follow a project's events as they come, as server-sent events (WHATWG HTML §9.2).

One `Watch` a process reads what arrives, on one connection to Postgres, for all its tails; whether an event is a tail's
is asked in Python. A tail is for who looks at it: what is more than that is left out, and said to be.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import msgspec
from django.db import Error, close_old_connections

from service.api.problems import Unavailable
from service.events import arrivals, queries
from service.events.arrivals import Place
from service.events.conditions import Criteria
from service.events.models import Event
from service.events.serializers import represent

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
MOST = 1_000  # tails of a process
TICK = 0.5  # seconds between two looks
LOOKED_AT = 1_000  # events of a project in one look
MATCHED = 50_000  # events times different criteria in one look, about 50 ms
SHOWN = 100  # events of one tail in one look
BEHIND = 4  # looks that a client may be late in reading
HEARTBEAT = 15.0  # seconds
RETRY = 2_000  # milliseconds after which a client that was cut off comes back

Result = TypeVar("Result")

encode = msgspec.json.Encoder().encode


@dataclass(eq=False, slots=True)
class Tail:
    """One client that follows from ``place`` on. ``is_live`` once it has seen all that was there before."""

    project_id: int
    criteria: Criteria
    may_go_on: Callable[[], bool]
    place: Place
    is_live: bool = True
    dropped: int = 0
    written: "asyncio.Queue[bytes | None]" = field(default_factory=lambda: asyncio.Queue(BEHIND))

    def show(self, seen: "Seen", found: "Found") -> None:
        """Have these written, if the client reads; count what is left out."""
        self.place, self.is_live = seen.end, self.is_live or seen.is_all
        self.dropped += seen.left_out + found.number
        if self.written.full():
            return
        self.dropped -= len(found.newest)
        told = [message(encode({"count": self.dropped}), event="dropped")] if self.dropped else []
        self.dropped = 0
        if told or found.newest:
            self.written.put_nowait(b"".join([*told, *found.newest]))

    def end(self) -> None:
        while self.written.full():
            self.written.get_nowait()
        self.written.put_nowait(None)


class TooManyTails(Unavailable):
    def __init__(self) -> None:
        super().__init__("too_many_tails", f"{MOST} tails are open here already. Come back later, or ask GET events/.")


class Seen(NamedTuple):
    """What came after a place: these events, up to ``end``; ``left_out`` is how many more weren't looked at."""

    events: Sequence[tuple[Place, Event]]
    end: Place
    left_out: int
    is_all: bool


class Found(NamedTuple):
    """What of it is a tail's: how many events, and the newest of them as messages."""

    number: int
    newest: Sequence[bytes]


def begin(
    project_id: int, criteria: Criteria, *, after: Place | None, may_go_on: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    """Return the server-sent events from ``after`` on, or from now on where that is None or too long ago.

    ``may_go_on`` is asked in a thread at each look. Raises `TooManyTails`.
    """
    if len(watch.tails) >= MOST:
        raise TooManyTails
    now = arrivals.now()
    if after is not None and after.is_kept(now):
        return watch.follow(Tail(project_id, criteria, may_go_on, after, is_live=False), is_cut_off=False)
    return watch.follow(Tail(project_id, criteria, may_go_on, now), is_cut_off=after is not None)


class Watch:
    """Looks for what arrived as long as there are tails. Belongs to one event loop."""

    def __init__(self) -> None:
        self.tails: set[Tail] = set()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "heliograph-tails")

    async def follow(self, tail: Tail, *, is_cut_off: bool) -> AsyncGenerator[bytes]:
        """Yield server-sent events until the tail may not go on; ``is_cut_off`` from what came before its place."""
        yield f"retry: {RETRY}\n".encode() + message(b"", place=tail.place)
        if is_cut_off:
            yield message(b'{"count":null}', event="dropped")
        self._begin(tail)
        try:
            while (text := await next_of(tail)) is not None:
                yield text
            yield message(b"{}", event="end")
        finally:
            self.tails.discard(tail)

    def _begin(self, tail: Tail) -> None:
        self.tails.add(tail)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self.tails:
            try:
                await self._look()
            except Error as error:
                logger.warning("What arrived can't be read for the tails: %s", error)
            except Exception:
                logger.exception("What arrived can't be shown to the tails")
            await asyncio.sleep(TICK)

    async def _look(self) -> None:
        tails = list(self.tails)
        ended, shown = await self._in_thread(lambda: look(tails))
        for tail in ended:
            tail.end()
        for tail, seen, found in shown:
            tail.show(seen, found)

    async def _in_thread(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)


watch = Watch()


async def next_of(tail: Tail) -> bytes | None:
    """Return what is to be written next; None at the end. Silence is filled with a comment, and the place so far."""
    try:
        return await asyncio.wait_for(tail.written.get(), HEARTBEAT)
    except TimeoutError:
        return b":\n" + message(b"", place=tail.place)


def look(tails: Collection[Tail]) -> tuple[list[Tail], list[tuple[Tail, Seen, Found]]]:
    """Return which tails may not go on, and what there is to show to the others."""
    close_old_connections()
    ended = [tail for tail in tails if not tail.may_go_on()]
    groups = defaultdict(list)
    for tail in set(tails).difference(ended):
        groups[tail.project_id, tail.place, tail.is_live].append(tail)
    now = arrivals.now()
    shown = []
    for (project_id, place, is_live), group in groups.items():
        kinds = {tail.criteria for tail in group}
        seen = see(project_id, place, now, min(LOOKED_AT, max(1, MATCHED // len(kinds))), is_live=is_live)
        found = matched(seen, kinds)
        shown += [(tail, seen, found[tail.criteria]) for tail in group]
    return ended, shown


def see(project_id: int, place: Place, now: Place, limit: int, *, is_live: bool) -> Seen:
    """Read what came after ``place``. Who is live and has more than ``limit`` to look at goes on from ``now``."""
    arrived = arrivals.since(project_id, place, limit)
    last = arrived[-1].place if arrived else place
    is_all = len(arrived) < limit
    left_out = arrivals.count(project_id, last, now) if is_live and not is_all and last < now else 0
    rows = queries.of_project(project_id).filter(id__in=[each.id for each in arrived])
    events = {event.id: event for event in rows}
    there = [(each.place, events[each.id]) for each in arrived if each.id in events]
    return Seen(there, max(last, now) if is_all or left_out else last, left_out, is_all)


def matched(seen: Seen, kinds: Collection[Criteria]) -> Mapping[Criteria, Found]:
    texts: dict[Place, bytes] = {}
    found = {}
    for criteria in kinds:
        mine = [(place, event) for place, event in seen.events if criteria.matches(event)]
        for place, event in mine[-SHOWN:]:
            if place not in texts:
                texts[place] = message(encode(represent(event)), place=place)
        found[criteria] = Found(len(mine), [texts[place] for place, _ in mine[-SHOWN:]])
    return found


def message(data: bytes, *, event: str = "", place: Place | None = None) -> bytes:
    """Return one server-sent event; without ``data`` it only tells the client its place."""
    lines = [f"event: {event}\n".encode()] if event else []
    lines += [f"id: {place}\n".encode()] if place is not None else []
    lines += [b"data: " + data + b"\n"] if data else []
    return b"".join([*lines, b"\n"])
