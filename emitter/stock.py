"""What one emitter has captured and not yet seen decided: in memory, in hand, on its way to disk, or there.

Shared by the threads that work on it, see `emitter.worker`. Locks are taken in one order: `disk`, for whoever uses the
spool, before `lock`, which no disk ever holds up.
"""

import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emitter.backlog import Backlog, number_of
from emitter.complaints import Complaints
from emitter.estate import Estate
from emitter.event import Event, Telemetry
from emitter.parking import ParkedInMemory
from emitter.segments import Folder
from emitter.spool import Spool
from emitter.tally import About, Tally, is_empty

BATCH_BYTES = 4 * 1024 * 1024  # of events in memory, which a request of 5 MiB surely holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a `Worker` was told, and what follows from that."""

    queue_size: int
    queue_bytes: int
    class_of: Callable[[str], int]
    batch_size: int
    interval: float
    shutdown_timeout: float
    spool: str | Path
    spool_bytes: int
    telemetry_interval: float
    about: About
    clock: Callable[[], float]

    @property
    def batch_bytes(self) -> int:
        return min(BATCH_BYTES, max(1, self.queue_bytes // 2))


class Stock:
    """The events of one emitter, its counters, and the locks of both."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.tally = Tally(terms.about)
        self.captured = 0  # the last sequence number given
        # Reentrant: a signal handler or a finalizer may put an event while its own thread is in here.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.disk = threading.RLock()
        self.backlog = Backlog(terms.queue_size, terms.queue_bytes, terms.class_of)
        self.hand: list[Event] = []  # the batch being sent
        self.hand_from: Folder | None = None  # where it still is on disk
        self.moving: list[Event] = []  # on their way to disk
        self.awaited = 0  # the last number that somebody flushes
        self.deadline: float | None = None  # when close() gives up
        self.gave_up = False  # whether what is left is counted already
        self.complaints = Complaints(terms.clock)
        self.parked = ParkedInMemory()
        self.spool: Spool | None = None
        self.estate: Estate | None = None
        self._saved: Telemetry | None = None
        self._greenlets: list[Any] = []
        if terms.spool:
            self.spool = Spool(
                terms.spool,
                terms.spool_bytes,
                emitter_id=self.tally.emitter_id,
                complaints=self.complaints,
                clock=terms.clock,
            )
            self.estate = Estate(self.spool)

    # Whose it is

    def worked_on(self) -> None:
        """Note who works on this, where that is a greenlet: a forked child goes on with its parent's."""
        gevent = sys.modules.get("gevent")
        current = None if gevent is None else gevent.getcurrent()
        if hasattr(current, "kill"):
            self._greenlets.append(current)

    def disown(self) -> None:
        """Have nobody work on this any more: it is the parent's, and this is a child."""
        self.deadline, self.gave_up = float("-inf"), True
        for greenlet in self._greenlets:
            with suppress(Exception):  # in whatever state its loop was forked
                greenlet.kill(block=False)
        if self.spool is not None:
            self.spool.forget()
        if self.estate is not None:
            self.estate.forget()

    # What there is

    @property
    def full(self) -> str:
        """Why there is no room."""
        return "spool_full" if self.spool is not None and self.spool.is_full else "queue_full"

    @property
    def is_hand_on_disk(self) -> bool:
        """Whether the batch in hand needn't be kept elsewhere; a folder may have been removed by somebody."""
        folder = self.hand_from
        if folder is None or self.spool is None or self.estate is None:
            return False
        return folder is self.spool.mine or folder is self.estate.folder

    def is_done(self, target: int) -> bool:
        """Whether nothing up to this number waits, is being sent, or is on disk."""
        return self.gave_up or not any(number <= target for number in self._lowest_numbers())

    def _lowest_numbers(self) -> list[int]:
        numbers = [number_of(event) for event in self.moving[:1]]
        if (first := self.backlog.first) is not None:
            numbers.append(first)
        if not self.is_hand_on_disk:
            numbers.extend(map(number_of, self.hand))
        if self.spool is not None and (lowest := self.spool.lowest) is not None:
            numbers.append(lowest)
        return numbers

    def take(self, events: list[Event], folder: Folder | None) -> bool:
        """Have these in hand, from where on disk they were read; None is memory."""
        with self.lock:
            self.hand, self.hand_from = events, folder
        return bool(events)

    def lose(self, lost: Mapping[str, int], folder: Folder | None) -> None:
        """Count losses for the emitter whose events they were."""
        if self.estate is not None and folder is not None and folder is self.estate.folder:
            self.estate.lose(lost)
        else:
            self.tally.lost.update(lost)

    # What is told of it

    def telemetry(self, *, ended: bool = False) -> Telemetry:
        with self.lock:
            in_hand = 0 if self.is_hand_on_disk else len(self.hand)
            return self.tally.telemetry(
                captured=self.captured,
                queued=self.backlog.length + len(self.moving) + in_hand,
                spooled=0 if self.spool is None else self.spool.pending,
                ended=ended,
            )

    def save(self) -> None:
        """Keep the counters, and up to where the spool is done, where there is a spool and they changed."""
        if self.spool is None:
            return
        with self.disk:
            telemetry = self.telemetry()
            if not is_empty(telemetry) and not _is_same(telemetry, self._saved):
                self._saved = telemetry
                self.spool.save(telemetry)

    def save_again(self) -> None:
        """Have the next `save()` write, whatever changed."""
        self._saved = None


def _is_same(telemetry: Telemetry, other: Telemetry | None) -> bool:
    return other is not None and _without_time(telemetry) == _without_time(other)


def _without_time(telemetry: Telemetry) -> Any:
    return {name: getattr(telemetry, name) for name in telemetry.__struct_fields__ if name != "time"}
