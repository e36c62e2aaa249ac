"""A budget of bytes for what all requests of a process hold: bodies that come in, large answers that go out.

When it is spent, the slowest client pays: whoever has held bytes for a while and moved the fewest a second is cut
off. Only if nobody is slow is the newcomer refused, and not with a small body.
"""

import asyncio
import time

from service.api.problems import Unavailable

GRACE = 2.0  # seconds in which nobody is called slow
SMALL = 64 * 1024  # bytes that nobody is refused: as many connections as a process has can't do much with them


class Overloaded(Unavailable):
    title = "The service has more to do than it can take"

    def __init__(self) -> None:
        super().__init__("overloaded", "Too much is under way at once. Send the same again, a little later.")


class Share:
    """What one request holds of the budget."""

    __slots__ = ("begun", "deadline", "held", "is_evicted", "memory", "moved")

    def __init__(self, memory: "Memory") -> None:
        self.memory = memory
        self.begun = time.monotonic()
        self.held = 0
        self.moved = 0
        self.deadline: asyncio.Timeout | None = None
        self.is_evicted = False

    def take(self, size: int) -> None:
        """Hold ``size`` more bytes. Raises `Overloaded` when the budget has no room and nobody slow could make some."""
        self.hold(size)
        if self.is_evicted or (not self.memory.make_room(self) and self.held > SMALL):
            raise Overloaded

    def hold(self, size: int) -> None:
        """Hold ``size`` more bytes, whatever the budget: of an answer that is there already."""
        self.held += size
        self.memory.held += size
        self.memory.shares.add(self)

    def restart(self) -> None:
        """Judge the client anew: what was moved so far was of something else."""
        self.begun, self.moved = time.monotonic(), 0

    def give_back(self, size: int) -> None:
        self.held -= size
        self.memory.held -= size

    def evict(self) -> None:
        """Let whatever the client of this share is waited for end now."""
        self.is_evicted = True
        if self.deadline is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time())
        self.give_back(self.held)

    def close(self) -> None:
        self.give_back(self.held)
        self.memory.shares.discard(self)


class Memory:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.shares: set[Share] = set()

    def make_room(self, newcomer: Share) -> bool:
        """Evict slow clients, the slowest first, until the budget is kept; return whether it is."""
        if self.held <= self.limit:
            return True
        now = time.monotonic()
        slow = [
            share
            for share in self.shares
            if share is not newcomer and share.deadline is not None and share.held and now - share.begun > GRACE
        ]
        for share in sorted(slow, key=lambda share: share.moved / (now - share.begun)):
            share.evict()
            if self.held <= self.limit:
                return True
        return False
