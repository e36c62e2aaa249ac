"""What waits in memory to be sent: bounded by number and bytes, with classes that say what goes first when it is full.

Knows no thread: whoever uses it holds a lock. A put may interrupt any method in its own thread, by a signal handler or
a finalizer, so that nothing here is in two minds between two steps.
"""

from collections import deque
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import msgspec

from emitter.event import Event

# Bytes of memory that an event takes beside its data, where it shares no text with others; the events of one request
# share most of theirs and take 540, by tracemalloc.
OVERHEAD = 850

LOW, NORMAL, HIGH = 0, 1, 2
CLASSES = {"low": LOW, "normal": NORMAL, "high": HIGH}
PRIORITIES = {  # of what no pattern of the project's own matches
    "*.user_login_failed": "high",
    "*.post_delete": "high",
    "heliograph.*delete": "high",
    "*.request_started": "low",
    "*.request_finished": "low",
}


def classify(patterns: Mapping[str, str]) -> Callable[[str], int]:
    """Return a function that gives the class of a type: that of the first pattern that matches, else "normal"."""
    rules = [(pattern, CLASSES[name]) for pattern, name in (*patterns.items(), *PRIORITIES.items())]

    def class_of(kind: str) -> int:
        return next((found for pattern, found in rules if fnmatchcase(kind, pattern)), NORMAL)

    return class_of


def number_of(event: Event) -> int:
    return int(event.sequence or 0)


def size_of(event: Event) -> int:
    """Return the bytes of memory that it takes, roughly."""
    data = event.data
    return OVERHEAD + len(data) if data.__class__ is msgspec.Raw else OVERHEAD


class Backlog:
    """Events in their order, at most `longest` of them and `largest` bytes.

    When it is full, the oldest of the lowest class that isn't above the new event's makes room; where those below and
    beside it don't take enough, the new one isn't taken.
    """

    __slots__ = ("_class_of", "_classes", "_known", "_sizes", "largest", "length", "longest", "size")

    def __init__(self, longest: int, largest: int, class_of: Callable[[str], int]) -> None:
        self.longest = longest
        self.largest = largest
        self.length = 0
        self.size = 0
        self._class_of = class_of
        self._known: dict[str, int] = {}
        self._classes: tuple[deque[Event], ...] = (deque(), deque(), deque())
        self._sizes = [0, 0, 0]

    def __len__(self) -> int:
        return self.length

    @property
    def first(self) -> int | None:
        """The lowest number that waits."""
        return min((number_of(queue[0]) for queue in self._classes if queue), default=None)

    def put(self, event: Event) -> int:
        """Take the event, and return how many others were dropped for it; -1 when it isn't taken itself."""
        kind, data = event.type, event.data
        size = OVERHEAD + len(data) if data.__class__ is msgspec.Raw else OVERHEAD
        rank = self._known.get(kind)
        if rank is None:
            rank = self._known[kind] = self._class_of(kind)
        dropped = 0
        if self.length >= self.longest or self.size + size > self.largest:
            if not self._can_make_room(rank, size):
                return -1
            dropped = self._make_room(rank, 1, size)
        self._classes[rank].append(event)
        self._sizes[rank] += size
        self.length += 1
        self.size += size
        return dropped

    def _can_make_room(self, rank: int, size: int) -> bool:
        lower = sum(self._sizes[: rank + 1])
        return self.size + size - lower <= self.largest and (
            self.length < self.longest or any(self._classes[: rank + 1])
        )

    def _make_room(self, rank: int, number: int, size: int) -> int:
        dropped = 0
        while self.length + number > self.longest or self.size + size > self.largest:
            lowest = next((each for each in range(rank + 1) if self._classes[each]), None)
            if lowest is None:
                break
            self._leave(lowest)
            dropped += 1
        return dropped

    def take(self, number: int, size: int) -> list[Event]:
        """Take off up to so many of the oldest, of up to so many bytes; one at least, if there is one."""
        taken: list[Event] = []
        while self.length and len(taken) < number:
            rank = self._oldest()
            size -= size_of(self._classes[rank][0])
            if size < 0 and taken:
                break
            taken.append(self._leave(rank))
        return taken

    def put_back(self, events: list[Event]) -> int:
        """Have these, the oldest, wait again; return how many must be dropped since others took their place."""
        for event in reversed(events):
            rank, size = self._known.get(event.type, NORMAL), size_of(event)
            self._classes[rank].appendleft(event)
            self._sizes[rank] += size
            self.length += 1
            self.size += size
        return self._make_room(HIGH, 0, 0)

    def _oldest(self) -> int:
        """Return the class whose first event is the oldest."""
        filled = [rank for rank, queue in enumerate(self._classes) if queue]
        return filled[0] if len(filled) == 1 else min(filled, key=lambda rank: number_of(self._classes[rank][0]))

    def _leave(self, rank: int) -> Event:
        event = self._classes[rank].popleft()
        size = size_of(event)
        self._sizes[rank] -= size
        self.length -= 1
        self.size -= size
        return event
