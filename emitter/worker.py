"""Keeps events in memory, in order and within bounds, and has background threads send them, or move them to disk.

Knows no Django and no HTTP: the transport is given. What is lost here is counted by reason and told, never raised.
"""

import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from emitter import forks
from emitter.backlog import classify
from emitter.delivery import Transport
from emitter.event import Event
from emitter.parking import ParkedInMemory
from emitter.retry import RETRY, Retry
from emitter.sender import Sender
from emitter.spool import Spool
from emitter.stock import Stock, Terms
from emitter.tally import REASONS, About

__all__ = ["REASONS", "About", "Transport", "Worker"]

logger = logging.getLogger("heliograph")

GIVE_WAY = 0.001  # seconds that a capture waits for the disk where the queue is all but full, and would lose events
RESERVE = 0.5  # seconds of an exit, or a quarter of it, that are for the disk


class Worker:
    """Queues events and sends them in batches; every method is thread-safe.

    The queue holds `queue_size` events of `queue_bytes`, beside the one batch being sent; when it is full, the oldest
    of the lowest class goes, see `Backlog`. A batch leaves when it has `batch_size` events or `interval` seconds have
    passed. The threads start with the first event, or with `start()`. ``gather`` is to put what is kept elsewhere, and
    is called before anything is taken. With `spool`, a directory, events go there when the queue is half
    full, or the service is away, and at the end. A forked child starts empty, as a new emitter: what was queued or
    spooled is the parent's to send.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        retry: Retry = RETRY,
        queue_size: int = 10_000,
        queue_bytes: int = 16 * 1024 * 1024,
        priorities: Mapping[str, str] | None = None,
        batch_size: int = 500,
        interval: float = 1.0,
        shutdown_timeout: float = 2.0,
        spool: str | Path = "",
        spool_bytes: int = 256 * 1024 * 1024,
        telemetry_interval: float = 60.0,
        about: About | None = None,
        clock: Callable[[], float] = time.monotonic,
        gather: Callable[[], None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._retry = retry
        self._gather = gather
        self._terms = Terms(
            queue_size=queue_size,
            queue_bytes=queue_bytes,
            class_of=classify(priorities or {}),
            batch_size=batch_size,
            interval=interval,
            shutdown_timeout=shutdown_timeout,
            spool=spool,
            spool_bytes=spool_bytes,
            telemetry_interval=telemetry_interval,
            about=about or About(),
            clock=clock,
        )
        self._marks = (batch_size, max(1, queue_size // 2))
        self._batch_bytes, self._half_bytes = self._terms.batch_bytes, max(1, queue_bytes // 2)
        self._crowded, self._crowded_bytes = queue_size * 3 // 4, queue_bytes * 3 // 4
        self._begin()
        forks.in_child(self._begin_in_child)

    def _begin(self) -> None:
        self._numbers = itertools.count(1)
        self._stock = Stock(self._terms)
        self.emitter_id: UUID = self._stock.tally.emitter_id
        self._sender = Sender(self._stock, self._transport, self._retry, self._gather)

    def _begin_in_child(self) -> None:
        parents = self._stock
        self._begin()
        parents.disown()
        self._transport.reset()

    @property
    def captured(self) -> int:
        """How many events were put since this process began, lost ones included: the last sequence number."""
        return self._stock.captured

    @property
    def counts(self) -> dict[str, int]:
        """How many events were lost since this process began, for each of `REASONS`."""
        with self._stock.lock:
            return {reason: self._stock.tally.lost[reason] for reason in REASONS}

    @property
    def parked(self) -> ParkedInMemory:
        """The last few events that the service refused."""
        return self._stock.parked

    def start(self) -> None:
        """Have the thread run, should nothing be put for now."""
        forks.notice()
        with self._stock.lock:
            if self._sender.thread is None and self._stock.deadline is None:
                self._sender.start()

    # Events come

    def put(self, event: Event) -> bool:
        """Number the event and queue it; False when it was dropped. Never raises, nor waits for the network.

        With a spool, it waits a millisecond where the queue is three quarters full: the thread that writes to disk
        gets the interpreter then. A dropped event has taken its number, so that the gap tells the service of the loss.
        """
        if forks.pid != os.getpid():
            forks.notice()
        stock = self._stock
        with stock.lock:
            event.emitterid = self.emitter_id
            stock.captured = number = next(self._numbers)
            event.sequence = str(number)
            if stock.deadline is not None:
                return self._drop("shutdown")
            backlog = stock.backlog
            before = backlog.size
            dropped = backlog.put(event)
            if self._sender.thread is None:
                self._sender.start()
            if dropped:
                return self._drop(stock.full, dropped)
            length, size = backlog.length, backlog.size
            if length in self._marks or before < self._batch_bytes <= size or before < self._half_bytes <= size:
                stock.changed.notify_all()
        if length >= self._crowded or size >= self._crowded_bytes:
            self._give_way()
        return True

    def _drop(self, reason: str, dropped: int = -1) -> bool:
        """Count what was dropped: so many for a new event, or -1 for the new one itself."""
        self._stock.tally.lost[reason] += abs(dropped)
        return dropped > 0

    def _give_way(self) -> None:
        """Leave the interpreter to the thread that writes to disk, which may hardly get it from one that is busy."""
        spool = self._stock.spool
        if spool is not None and spool.is_ready:
            with suppress(Exception):  # gevent's sleep in a callback of its loop
                time.sleep(GIVE_WAY)

    # The end

    def flush(self, timeout: float) -> bool:
        """Send what was put until now; False when `timeout` seconds didn't do for all to be taken or dropped."""
        forks.notice()
        self._gather()
        stock = self._stock
        with stock.lock:
            target = stock.awaited = stock.captured
            stock.changed.notify_all()
            return stock.changed.wait_for(lambda: stock.is_done(target), timeout)

    def close(self, timeout: float | None = None) -> None:
        """Take no more events, try once more to send the rest, and give up after `timeout` seconds.

        None means `shutdown_timeout`. What is left goes to the spool, or is counted and told. Works at interpreter
        exit; idempotent.
        """
        forks.notice()
        stock = self._stock
        seconds = self._terms.shutdown_timeout if timeout is None else timeout
        reserve = 0.0 if stock.spool is None else min(RESERVE, seconds / 4)
        self._gather()
        with stock.lock:
            if stock.deadline is not None:
                return
            stock.deadline = self._terms.clock() + seconds - reserve
            thread = self._sender.thread
            stock.changed.notify_all()
        if thread is None:
            self._sender.run()  # with no thread to be had, from here
        else:
            thread.join(seconds - reserve)
        try:
            self._finish(reserve)
        except Exception as error:  # noqa: BLE001 - the host's exit is none of our faults' business
            stock.gave_up = True
            stock.complaints.warn("fault", "There is a fault in the emitter", error)

    def _finish(self, seconds: float) -> None:
        """Have the spool keep what is left, within so many seconds; count and tell what it can't."""
        stock = self._stock
        has_disk = stock.spool is not None and stock.disk.acquire(timeout=seconds)
        with stock.lock:
            hand = [] if stock.is_hand_on_disk else stock.hand
            left = [*hand, *stock.moving, *stock.backlog.take(stock.backlog.length, sys.maxsize)]
            stock.hand, stock.moving = [], []
            stock.gave_up = True
        try:
            done = self._leave(stock.spool, left) if has_disk and stock.spool is not None else 0
        finally:
            if has_disk:
                stock.disk.release()
        with stock.lock:
            stock.tally.lost["shutdown"] += len(left) - done
            stock.changed.notify_all()
            lost = stock.tally.lost["shutdown"]
        if lost:
            logger.warning("Closed before all was sent: %d events may be lost.", lost)

    def _leave(self, spool: Spool, left: list[Event]) -> int:
        """Write what is left, and the counters; return how many events are kept or counted."""
        stock = self._stock
        done = spool.keep(left) if left else 0
        stock.tally.lost.update(spool.losses())
        if spool.is_full:
            stock.tally.lost["spool_full"] += len(left) - done
            done = len(left)
        if stock.estate is not None:
            stock.estate.leave(remove=False)
        telemetry = stock.telemetry(ended=True)
        if done < len(left) or stock.tally.is_news(telemetry) or spool.has_more:
            spool.save(telemetry, sync=True)
            spool.close(remove=False)
        else:
            spool.close(remove=True)
        return done
