"""Follow a project's events as they come, as server-sent events (WHATWG HTML §9.2).

One `Watch` a process has read what arrives, on one connection to Postgres, for all its tails. A tail is for who looks
at it: what is more than that is left out, and said to be. One that was cut off goes on where it was, leaving out
nothing, until it is up to date or has tried for long.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from django.db import Error

from service.api.problems import Unavailable
from service.api.renderers import encoder
from service.events import arrivals, looks
from service.events.arrivals import Place
from service.events.conditions import Criteria
from service.events.looks import Look, message

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
MOST = 1_000  # tails of a process
TICK = 0.5  # seconds between two looks
BEHIND = 4  # looks that a client may be late in reading
HELD = 64 * 1024 * 1024  # bytes that wait for the clients of a process
CATCH_UP = 120.0  # seconds in which a tail that was cut off leaves out nothing
HEARTBEAT = 15.0  # seconds
RETRY = 2_000  # milliseconds after which a client that was cut off comes back

Result = TypeVar("Result")


@dataclass(slots=True)
class Held:
    """How many bytes wait for clients."""

    size: int = 0


@dataclass(eq=False, slots=True)
class Tail:
    """One client that follows from ``place`` on. ``is_live`` once it has seen all that was there before."""

    project_id: int
    criteria: Criteria
    may_go_on: Callable[[], bool]
    place: Place
    is_live: bool = True
    dropped: int = 0
    is_unsure: bool = False  # more may be dropped than is known
    looked: float = 0.0
    patience: float = field(default_factory=lambda: monotonic() + CATCH_UP)
    held: Held = field(default_factory=Held)
    sending: int = 0
    written: "asyncio.Queue[Sequence[bytes] | None]" = field(default_factory=lambda: asyncio.Queue(BEHIND))

    @property
    def is_full(self) -> bool:
        """Whether nothing more is written for it now. Of what waits in a process, half is for who has read all."""
        return self.written.full() or self.held.size >= (HELD if self.written.empty() else HELD // 2)

    def show(self, look: "Look[Tail]") -> None:
        """Have what was found written, if the client reads; else count it, or while catching up wait for the client."""
        if self.is_full and not self.is_live:
            return
        found = look.found[self.criteria]
        first = bisect_right(found, self.place, key=lambda each: each.place)
        newest = [] if self.is_full else found[max(first, len(found) - looks.SHOWN) if self.is_live else first :]
        self.dropped += len(look.gone) - bisect_right(look.gone, self.place) + len(found) - first - len(newest)
        self.is_unsure = self.is_unsure or not look.is_whole
        texts = [*self.told(newest[0].place.before), *(each.text for each in newest)] if newest else []
        self.dropped += look.left_out
        self.place, self.is_live = max(self.place, look.end), self.is_live or look.is_all
        if not self.is_full:
            self.write([*texts, *self.told(self.place)])

    def told(self, place: Place) -> list[bytes]:
        """Return what says how many were left out up to ``place``, from which one that is cut off goes on then."""
        if not self.dropped and not self.is_unsure:
            return []
        count = None if self.is_unsure else self.dropped
        self.dropped, self.is_unsure = 0, False
        return [message(encoder.encode({"count": count}), event="dropped", place=place)]

    def write(self, texts: Sequence[bytes]) -> None:
        if texts:
            self.written.put_nowait(texts)
            self.held.size += sum(map(len, texts))

    async def read(self) -> Sequence[bytes] | None:
        """Return what is to be sent next; None at the end. Silence is filled with a comment, and the place so far."""
        self.let_go()
        try:
            texts = await asyncio.wait_for(self.written.get(), HEARTBEAT)
        except TimeoutError:
            if self.written.empty():
                return [*self.told(self.place), b":\n" + message(b"", place=self.place)]
            texts = self.written.get_nowait()  # came just then, and the place is the one after it
        self.sending = sum(map(len, texts or ()))
        return texts

    def let_go(self) -> None:
        self.held.size -= self.sending
        self.sending = 0

    def end(self) -> None:
        self.drain()
        self.written.put_nowait(None)

    def drain(self) -> None:
        self.let_go()
        while not self.written.empty():
            self.held.size -= sum(map(len, self.written.get_nowait() or ()))


class TooManyTails(Unavailable):
    def __init__(self) -> None:
        super().__init__("too_many_tails", f"{MOST} tails are open here already. Come back later, or ask GET events/.")


def begin(
    project_id: int, criteria: Criteria, *, after: Place | None, may_go_on: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    """Return the server-sent events from ``after`` on, or from now on where that is None or in another database.

    ``may_go_on`` is asked in a thread at each look. Raises `TooManyTails`.
    """
    if len(watch.tails) >= MOST:
        raise TooManyTails
    now = arrivals.now()
    if after is None or after.tx > now.tx:
        tail = Tail(project_id, criteria, may_go_on, now, is_unsure=after is not None)
    else:
        tail = Tail(project_id, criteria, may_go_on, after, is_live=False)
    return watch.follow(tail)


class Watch:
    """Looks for what arrived as long as there are tails. Belongs to one event loop."""

    def __init__(self) -> None:
        self.tails: set[Tail] = set()
        self.held = Held()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "heliograph-tails")

    async def follow(self, tail: Tail) -> AsyncGenerator[bytes]:
        """Yield server-sent events until the tail may not go on."""
        yield f"retry: {RETRY}\n".encode() + message(b"", place=tail.place) + b"".join(tail.told(tail.place))
        tail.held = self.held
        self._begin(tail)
        try:
            while (texts := await tail.read()) is not None:
                yield b"".join(texts)
            yield message(b"{}", event="end")
        finally:
            self.tails.discard(tail)
            tail.drain()

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
        """Look once for each tail. What one look found is let go before the next is taken."""
        tails = list(self.tails)
        for tail in await self._in_thread(lambda: looks.ended(tails)):
            tail.end()
            self.tails.discard(tail)
        taken = looks.take([tail for tail in tails if tail in self.tails])
        while (look := await self._in_thread(lambda: next(taken, None))) is not None:
            for tail in self.tails.intersection(look.tails):
                tail.show(look)

    async def _in_thread(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)


watch = Watch()
