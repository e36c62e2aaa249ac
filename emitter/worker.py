"""Keeps events in memory, in order and within bounds, and has one background thread send them.

Knows no Django and no HTTP: the transport is given. What is lost here is counted by reason and told, never raised.
"""

import itertools
import logging
import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from emitter.complaints import Complaints
from emitter.event import Event, Result, uuid7
from emitter.exceptions import PermanentError, TemporaryError
from emitter.retry import RETRY, Retry

logger = logging.getLogger("heliograph")

REASONS = ("queue_full", "refused", "failed_permanently", "unencodable", "shutdown")


class Transport(Protocol):
    """What the worker needs of `HttpTransport`."""

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result: ...

    def reset(self) -> None: ...


class Worker:
    """Queues events and sends them in batches; every method is thread-safe.

    The queue holds `queue_size` events beside the one batch being sent; when it is full, the new event is dropped.
    A batch leaves when it has `batch_size` events or `interval` seconds have passed. The thread starts with the
    first event, or with `start()`. ``gather`` is to put what is kept elsewhere, and is called before anything is taken.
    A forked child starts empty, as a new emitter: what was queued is the parent's to send.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        retry: Retry = RETRY,
        queue_size: int = 10_000,
        batch_size: int = 500,
        interval: float = 1.0,
        shutdown_timeout: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        gather: Callable[[], None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._gather = gather
        self._retry = retry
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._interval = interval
        self._shutdown_timeout = shutdown_timeout
        self._clock = clock
        self._begin()
        _call_after_fork(self._begin_in_child)

    def _begin(self) -> None:
        self.emitter_id = uuid7()
        self._pid = os.getpid()
        self._captured = 0
        # Reentrant: a signal handler or a finalizer may put an event while its own thread is in here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[Event] = deque()
        self._thread: threading.Thread | None = None
        self._taken = self._settled = self._awaited = 0  # events since the start: off the queue, done, flushed
        self._deadline: float | None = None  # when close() gives up
        self._gave_up = False
        self._lost = Counter(dict.fromkeys(REASONS, 0))
        self._told_dropped = 0
        self._complaints = Complaints(self._clock)
        self._courier = _Courier(self._transport, self._retry, self._complaints)

    def _begin_in_child(self) -> None:
        self._begin()
        self._transport.reset()

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():  # uWSGI forks without calling Python's hooks, unless told to
            self._begin_in_child()

    @property
    def captured(self) -> int:
        """How many events were put since this process began, lost ones included: the last sequence number."""
        return self._captured

    @property
    def counts(self) -> dict[str, int]:
        """How many events were lost since this process began, for each of `REASONS`."""
        with self._lock:
            return dict(self._lost)

    def start(self) -> None:
        """Have the thread run, should nothing be put for now."""
        self._notice_fork()
        with self._lock:
            if self._thread is None and self._deadline is None:
                self._start()

    def put(self, event: Event) -> bool:
        """Number the event and queue it; False when it was dropped. Never raises nor waits for the network.

        A dropped event has taken its number, so that the gap tells the service of the loss.
        """
        if self._pid != os.getpid():
            self._notice_fork()
        with self._lock:
            event.emitterid = self.emitter_id
            self._captured += 1
            event.sequence = str(self._captured)
            if self._deadline is not None:
                return self._drop("shutdown")
            if len(self._queue) >= self._queue_size:
                return self._drop("queue_full")
            self._queue.append(event)
            if self._thread is None:
                self._start()
            if len(self._queue) == self._batch_size:
                self._changed.notify_all()
            return True

    def flush(self, timeout: float) -> bool:
        """Send what was put until now; False when `timeout` seconds didn't do for all to be taken or dropped."""
        self._notice_fork()
        self._gather()
        with self._lock:
            target = self._awaited = self._taken + len(self._queue)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._settled >= target, timeout)

    def close(self, timeout: float | None = None) -> None:
        """Take no more events, try once more to send the rest, and give up after `timeout` seconds.

        None means `shutdown_timeout`. What is left is counted and told. Works at interpreter exit; idempotent.
        """
        self._notice_fork()
        seconds = self._shutdown_timeout if timeout is None else timeout
        self._gather()
        with self._lock:
            if self._deadline is not None:
                return
            self._deadline = self._clock() + seconds
            thread = self._thread
            self._changed.notify_all()
        if thread is None:
            self._run()  # with no thread to be had, from here
        else:
            thread.join(seconds)
        self._give_up()

    def _drop(self, reason: str) -> bool:
        self._lost[reason] += 1
        return False

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="heliograph", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is leaving, or there are too many; the next event tries again
            self._thread = None

    def _give_up(self) -> None:
        with self._lock:
            self._lost["shutdown"] += self._taken - self._settled + len(self._queue)
            self._queue.clear()
            self._settled = self._taken
            self._gave_up = True
            lost = self._lost["shutdown"]
        if lost:
            logger.warning("Closed before all was sent: %d events may be lost.", lost)

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._deliver(batch)
                self._tell_dropped()
        finally:
            self._thread = None  # should anything end it, the next event starts another

    def _take(self) -> list[Event]:
        """Wait for a batch that is due and take it off the queue; none when closed."""
        is_due = False
        while not is_due:
            with self._lock:
                is_due = self._changed.wait_for(self._is_due, self._interval)
            self._gather()
            is_due = is_due or bool(self._queue)  # else it was an idle interval
        with self._lock:
            if self._seconds_left() == 0:
                return []
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_size))]
            self._taken += len(batch)
            return batch

    def _is_due(self) -> bool:
        full = len(self._queue) >= self._batch_size
        return full or self._settled < self._awaited or self._deadline is not None

    def _deliver(self, batch: list[Event]) -> None:
        lost: Mapping[str, int] = {"failed_permanently": len(batch)}
        try:
            lost = self._courier.deliver(batch, self._seconds_left, self._pause)
        except Exception as error:  # noqa: BLE001 - the thread's edge: a fault of ours costs a batch, not the thread
            self._complaints.warn("fault", f"{len(batch)} events are lost to a fault in the emitter", error)
        finally:
            self._settle(len(batch), lost)

    def _settle(self, size: int, lost: Mapping[str, int]) -> None:
        with self._lock:
            if not self._gave_up:  # else close() has counted these
                self._settled += size
                self._lost.update(lost)
                self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; close() ends it."""
        self._tell_dropped()
        with self._lock:
            self._changed.wait_for(lambda: self._deadline is not None, seconds)

    def _tell_dropped(self) -> None:  # here, not in put(), which must not wait for a log
        dropped = self._lost["queue_full"]
        if dropped > self._told_dropped:
            self._told_dropped = dropped
            self._complaints.warn("queue_full", f"The queue was full: {dropped} events dropped until now")

    def _seconds_left(self) -> float | None:
        """Return how long close() still waits; None while open."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock())


class _Courier:
    """Has one batch sent until the service has decided about it, and tells what goes wrong."""

    def __init__(self, transport: Transport, retry: Retry, complaints: Complaints) -> None:
        self._transport = transport
        self._retry = retry
        self._complaints = complaints
        self._failing = False

    def deliver(
        self,
        batch: list[Event],
        seconds_left: Callable[[], float | None],
        pause: Callable[[float], None],
    ) -> Mapping[str, int]:
        """Return what was lost of the batch, by reason. The first try with a limit on its seconds is the last."""
        for attempt in itertools.count():
            left = seconds_left()
            try:
                result = self._transport.send(batch, timeout=left)
            except PermanentError as error:
                self._failed("rejected", f"{len(batch)} events are lost: {error}")
                return {"failed_permanently": len(batch)}
            except TemporaryError as error:
                self._failed("unreachable", f"Events wait for the service: {error}")
                if left is not None:
                    break
                pause(self._retry.delay(attempt, error.retry_after))
            else:
                return self._arrived(result)
        return {"shutdown": len(batch)}

    def _failed(self, problem: str, message: str) -> None:
        self._failing |= self._complaints.warn(problem, message)

    def _arrived(self, result: Result) -> Mapping[str, int]:
        if self._failing:
            self._failing = False
            logger.info("Events are arriving again.")
        if result.rejected:
            reasons = ", ".join(sorted({refusal.code for refusal in result.errors})) or "no reason given"
            self._complaints.warn("refused", f"The service refused {result.rejected} events: {reasons}")
        if result.unencodable:
            self._complaints.warn("unencodable", f"{result.unencodable} events can't be written as JSON")
        return {"refused": result.rejected, "unencodable": result.unencodable}


def _call_after_fork(method: Callable[[], None]) -> None:
    """Call a bound method in each forked child, for as long as its object lives."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if alive := reference():
            alive()

    if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
        os.register_at_fork(after_in_child=call)
