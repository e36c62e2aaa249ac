"""Keeps events in memory, in order and within bounds, and has one background thread send them.

Knows no Django and no HTTP: the transport is given. What is lost here is counted by reason and told, never raised.
With a spool, a second thread moves to disk what should not wait in memory: it works on while the first one waits for an
answer. Locks are taken in one order: `_disk`, for whoever uses the spool, before `_lock`, which no disk ever holds up.
"""

import itertools
import logging
import os
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from emitter.backlog import Backlog, classify, number_of
from emitter.complaints import Complaints
from emitter.delivery import PROBE, Delivery, Transport, Verdict
from emitter.estate import Estate
from emitter.event import Event, Telemetry
from emitter.exceptions import PermanentError, TemporaryError
from emitter.parking import ParkedInMemory
from emitter.retry import RETRY, Retry
from emitter.segments import Folder
from emitter.spool import Spool
from emitter.tally import REASONS, About, Tally

__all__ = ["REASONS", "About", "Transport", "Worker"]

logger = logging.getLogger("heliograph")

BATCH_BYTES = 4 * 1024 * 1024  # of events in memory, which a request of 5 MiB surely holds
CHUNK = 10_000  # events that are written to disk at once: each write may wait for the interpreter, whatever its size
SPILL_EVERY = 1.0  # seconds, at the least, between two such while the service is away
GIVE_WAY = 0.001  # seconds that a capture waits for the disk where the queue is all but full, and would lose events
RESERVE = 0.5  # seconds of an exit, or a quarter of it, that are for the disk
REPORT_TIMEOUT = 3.0  # seconds that events wait for telemetry at the most


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
        self._gather = gather
        self._retry = retry
        self._queue_size = queue_size
        self._queue_bytes = queue_bytes
        self._class_of = classify(priorities or {})
        self._batch_size = batch_size
        self._interval = interval
        self._shutdown_timeout = shutdown_timeout
        self._spool_path = spool
        self._spool_bytes = spool_bytes
        self._telemetry_interval = telemetry_interval
        self._about = about or About()
        self._clock = clock
        self._spool: Spool | None = None
        self._estate: Estate | None = None
        self._begin()
        _call_after_fork(self._begin_in_child)

    def _begin(self) -> None:
        self._tally = Tally(self._about)
        self.emitter_id = self._tally.emitter_id
        self._pid = os.getpid()
        self._numbers = itertools.count(1)
        self._captured = 0
        # Reentrant: a signal handler or a finalizer may put an event while its own thread is in here.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._disk = threading.RLock()
        self._backlog = Backlog(self._queue_size, self._queue_bytes, self._class_of)
        self._batch_bytes = min(BATCH_BYTES, max(1, self._queue_bytes // 2))
        self._half = max(1, self._queue_size // 2)
        self._marks = (self._batch_size, self._half)
        self._half_bytes = max(1, self._queue_bytes // 2)
        self._crowded, self._crowded_bytes = self._queue_size * 3 // 4, self._queue_bytes * 3 // 4
        self._thread: threading.Thread | None = None
        self._spiller: threading.Thread | None = None
        self._hand: list[Event] = []  # the batch being sent
        self._hand_from: Folder | None = None  # where it still is on disk
        self._moving: list[Event] = []  # on their way to disk
        self._awaited = 0  # the last number that somebody flushes
        self._deadline: float | None = None  # when close() gives up
        self._gave_up = False
        self._told_dropped = 0
        now = self._clock()
        self._partial_at = now + self._interval
        self._spill_at = now
        self._report_at = now + self._telemetry_interval
        self._saved: Telemetry | None = None
        self._others_turn = False
        self._complaints = Complaints(self._clock)
        self.parked = ParkedInMemory()
        self._begin_spool()
        self._delivery = Delivery(
            self._transport, self._retry, self._complaints, keeps=self._spool is not None, clock=self._clock
        )

    def _begin_spool(self) -> None:
        if self._spool_path:
            self._spool = Spool(
                self._spool_path,
                self._spool_bytes,
                emitter_id=self.emitter_id,
                complaints=self._complaints,
                clock=self._clock,
            )
            self._estate = Estate(self._spool)

    def _begin_in_child(self) -> None:
        spool, estate = self._spool, self._estate
        self._begin()
        if spool is not None and estate is not None:
            spool.forget()
            estate.forget()
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
            return {reason: self._tally.lost[reason] for reason in REASONS}

    # For everybody

    def start(self) -> None:
        """Have the thread run, should nothing be put for now."""
        self._notice_fork()
        with self._lock:
            if self._thread is None and self._deadline is None:
                self._start()

    def put(self, event: Event) -> bool:
        """Number the event and queue it; False when it was dropped. Never raises, nor waits for the network.

        With a spool, it waits a millisecond where the queue is three quarters full: the thread that writes to disk
        gets the interpreter then. A dropped event has taken its number, so that the gap tells the service of the loss.
        """
        if self._pid != os.getpid():
            self._notice_fork()
        with self._lock:
            event.emitterid = self.emitter_id
            self._captured = number = next(self._numbers)
            event.sequence = str(number)
            if self._deadline is not None:
                return self._drop("shutdown")
            backlog = self._backlog
            before = backlog.size
            dropped = backlog.put(event)
            if self._thread is None:
                self._start()
            if dropped:
                return self._drop(self._full, dropped)
            length, size = backlog.length, backlog.size
            if length in self._marks or before < self._batch_bytes <= size or before < self._half_bytes <= size:
                self._changed.notify_all()
        if length >= self._crowded or size >= self._crowded_bytes:
            self._give_way()
        return True

    def flush(self, timeout: float) -> bool:
        """Send what was put until now; False when `timeout` seconds didn't do for all to be taken or dropped."""
        self._notice_fork()
        self._gather()
        with self._lock:
            target = self._awaited = self._captured
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._is_done(target), timeout)

    def close(self, timeout: float | None = None) -> None:
        """Take no more events, try once more to send the rest, and give up after `timeout` seconds.

        None means `shutdown_timeout`. What is left goes to the spool, or is counted and told. Works at interpreter
        exit; idempotent.
        """
        self._notice_fork()
        seconds = self._shutdown_timeout if timeout is None else timeout
        reserve = 0.0 if self._spool is None else min(RESERVE, seconds / 4)
        self._gather()
        with self._lock:
            if self._deadline is not None:
                return
            self._deadline = self._clock() + seconds - reserve
            thread = self._thread
            self._changed.notify_all()
        if thread is None:
            self._run()  # with no thread to be had, from here
        else:
            thread.join(seconds - reserve)
        try:
            self._finish(reserve)
        except Exception as error:  # noqa: BLE001 - the host's exit is none of our faults' business
            self._gave_up = True
            self._complaints.warn("fault", "There is a fault in the emitter", error)

    def _give_way(self) -> None:
        """Leave the interpreter to the thread that writes to disk, which may hardly get it from one that is busy."""
        if self._spool is not None and self._spool.is_ready:
            with suppress(Exception):  # gevent's sleep in a callback of its loop
                time.sleep(GIVE_WAY)

    @property
    def _full(self) -> str:
        """Why there is no room."""
        return "spool_full" if self._spool is not None and self._spool.is_full else "queue_full"

    def _drop(self, reason: str, dropped: int = -1) -> bool:
        """Count what was dropped: so many for a new event, or -1 for the new one itself."""
        self._tally.lost[reason] += abs(dropped)
        return dropped > 0

    def _is_done(self, target: int) -> bool:
        """Whether nothing up to this number waits, is being sent, or is on disk."""
        return self._gave_up or not any(number <= target for number in self._lowest_numbers())

    def _lowest_numbers(self) -> list[int]:
        numbers = [number_of(event) for event in self._moving[:1]]
        if (first := self._backlog.first) is not None:
            numbers.append(first)
        if not self._is_hand_on_disk():
            numbers.extend(map(number_of, self._hand))
        if self._spool is not None and (lowest := self._spool.lowest) is not None:
            numbers.append(lowest)
        return numbers

    # The thread

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="heliograph", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is leaving, or there are too many; the next event tries again
            self._thread = None

    def _run(self) -> None:
        try:
            self._start_spiller()
            while self._deadline is None:
                self._step()
            self._send_last()
        except Exception as error:  # noqa: BLE001 - the thread's edge
            self._complaints.warn("fault", "There is a fault in the emitter", error)
        finally:
            self._thread = None  # should anything end it, the next event starts another

    def _step(self) -> None:
        try:
            with self._lock:
                self._changed.wait_for(self._is_due, self._patience())
            self._gather()
            if self._deadline is None:
                if not self._delivery.waits and self._pick():
                    self._deliver()
                self._tell_dropped()
                self._save()
                if self._spool is not None:
                    self._spool.sync()
                self._report()
        except Exception as error:  # noqa: BLE001 - the thread's edge: a fault of ours ends a step, not the thread
            self._complaints.warn("fault", "There is a fault in the emitter", error)
            with self._lock:
                self._changed.wait_for(lambda: self._deadline is not None, 1.0)

    def _is_due(self) -> bool:
        if self._deadline is not None:
            return True
        if self._delivery.waits:
            return False
        return bool(self._hand) or self._is_batch_due() or self._is_disk_due()

    def _is_disk_due(self) -> bool:
        is_ours = self._spool is not None and self._spool.is_readable
        return is_ours or (self._estate is not None and self._estate.folder is not None)

    def _is_batch_due(self) -> bool:
        backlog = self._backlog
        if not backlog.length:
            return False
        full = backlog.length >= self._batch_size or backlog.size >= self._batch_bytes
        return full or (self._awaited > 0 and (backlog.first or 0) <= self._awaited)

    def _patience(self) -> float:
        """Seconds until there may be something to do without anybody telling."""
        if paused := self._delivery.waits:
            return max(0.001, min(paused, self._interval))  # for the counters, if nothing else
        now = self._clock()
        waits = [self._interval, self._partial_at - now]
        if self._telemetry_interval:
            waits.append(self._report_at - now)
        if self._spool is not None:
            waits.append(self._spool.looks_in)
        return max(0.001, min(waits))

    # What is sent next

    def _pick(self) -> bool:
        """Have a batch in hand; False when none is due. Ours and that of the dead take turns."""
        if self._hand:
            if self._delivery.is_stuck(self._hand):
                self._compare()
            return bool(self._hand)
        ours = [self._read_ours, self._take_waiting]
        for source in [self._read_orphans, *ours] if self._others_turn else [*ours, self._read_orphans]:
            if source():
                self._others_turn = source != self._read_orphans
                return True
        return False

    def _compare(self) -> None:
        """Have other events in hand too, where the service fails on all that are: it may be their fault, or its own."""
        folder, most = self._hand_from, max(0, max(self._batch_size, PROBE) - len(self._hand))
        with self._disk:
            if self._estate is not None and folder is not None and folder is self._estate.folder:
                self._estate.leave(remove=False)  # it is tried again after some of ours
                self._take([], None)
            elif self._spool is not None and folder is not None and folder is self._spool.mine:
                others = self._spool.read(folder, min(most, self._portion()), self._batch_bytes, further=True)
                self._take([*self._hand, *(others or [])], folder)
            else:
                with self._lock:
                    others = self._backlog.take(min(most, self._portion()), self._batch_bytes)
                    self._hand = [*self._hand, *others]

    def _portion(self) -> int:
        return min(self._batch_size, self._delivery.portion)

    def _take_waiting(self) -> bool:
        with self._lock:
            partial = self._clock() >= self._partial_at
            if partial:
                self._partial_at = self._clock() + self._interval
            if partial or self._is_batch_due():
                self._hand = self._backlog.take(self._portion(), self._batch_bytes)
                self._hand_from = None
            return bool(self._hand)

    def _read_ours(self) -> bool:
        if self._spool is None:
            return False
        with self._disk:
            folder = self._spool.mine
            if folder is None or not self._spool.is_readable:
                return False
            events = self._spool.read(folder, self._portion(), self._batch_bytes)
            if events == []:
                self._advance(folder)
                self._saved = None
            return self._take(events or [], folder)

    def _read_orphans(self) -> bool:
        if self._estate is None:
            return False
        with self._disk:
            events = self._estate.read(self._portion(), self._batch_bytes)
            if events:
                return self._take(events, self._estate.folder)
            folder = self._estate.folder
        if folder is not None:
            self._bury(folder, self._estate)
        return False

    def _is_hand_on_disk(self) -> bool:
        """Whether the batch in hand needn't be kept elsewhere; a folder may have been removed by somebody."""
        folder = self._hand_from
        if folder is None or self._spool is None or self._estate is None:
            return False
        return folder is self._spool.mine or folder is self._estate.folder

    def _take(self, events: list[Event], folder: Folder | None) -> bool:
        with self._lock:
            self._hand, self._hand_from = events, folder
        return bool(events)

    # Sending it

    def _deliver(self, timeout: float | None = None) -> bool:
        """Try to have the batch in hand sent; False when it must wait."""
        hand = list(self._hand)
        verdict: Verdict | None = Verdict(lost=Counter(failed_permanently=len(hand)))
        left: list[Event] = []
        try:
            verdict = self._delivery.attempt(hand, timeout)
            left = hand
        except Exception as error:  # noqa: BLE001 - a fault of ours costs a batch, not the thread
            self._complaints.warn("fault", f"{len(hand)} events are lost to a fault in the emitter", error)
        finally:
            self._settle(verdict, left)
        return verdict is not None

    def _settle(self, verdict: Verdict | None, left: list[Event]) -> None:
        folder = self._hand_from
        if self._gave_up:  # close() has counted these
            return
        if verdict is not None:
            self._park(verdict)
            if folder is not None and not left:
                with self._disk:
                    self._advance(folder)
        with self._lock:
            if self._gave_up:
                return
            self._hand = left
            if verdict is not None:
                self._lose(verdict.lost, folder)
            self._changed.notify_all()
        if verdict is None:
            if self._delivery.is_open:
                self._stow()
        elif folder is not None and not left:
            self._save_progress(folder)

    def _park(self, verdict: Verdict) -> None:
        if not verdict.parked:
            return
        self.parked.extend(verdict.parked)
        if self._spool is not None:
            self._spool.park(verdict.parked)  # a file with a lock of its own, which others may hold for a while

    def _advance(self, folder: Folder) -> None:
        corrupt = 0 if self._spool is None else self._spool.advance(folder)
        with self._lock:
            self._lose({"spool_corrupt": corrupt}, folder)

    def _save_progress(self, folder: Folder) -> None:
        if self._estate is not None and folder is self._estate.folder:
            with self._disk:
                self._estate.save()
        else:
            self._saved = None  # the step ends with it

    def _lose(self, lost: Mapping[str, int], folder: Folder | None) -> None:
        """Count losses for the emitter whose events they were."""
        if self._estate is not None and folder is not None and folder is self._estate.folder:
            self._estate.lose(lost)
        else:
            self._tally.lost.update(lost)

    def _tell_dropped(self) -> None:  # here, not in put(), which must not wait for a log
        dropped = self._tally.lost["queue_full"] + self._tally.lost["spool_full"]
        if dropped > self._told_dropped:
            self._told_dropped = dropped
            self._complaints.warn("queue_full", f"The queue was full: {dropped} events dropped until now")

    # The disk

    def _start_spiller(self) -> None:
        spool = self._spool
        if spool is None or self._deadline is not None or self._spiller is not None:
            return
        self._spiller = threading.Thread(target=self._run_spiller, args=(spool,), name="heliograph-spool", daemon=True)
        try:
            self._spiller.start()
        except RuntimeError:
            self._spiller = None

    def _run_spiller(self, spool: Spool) -> None:
        while self._deadline is None:
            try:
                with self._lock:
                    self._changed.wait_for(self._should_spill, max(0.01, spool.waits or self._interval))
                if self._deadline is None and self._should_spill():
                    self._spill(spool)
            except Exception as error:  # noqa: BLE001 - the thread's edge
                self._complaints.warn("fault", "There is a fault in the emitter's spool", error)
                with self._lock:
                    self._changed.wait_for(lambda: self._deadline is not None, 1.0)

    def _should_spill(self) -> bool:
        if self._deadline is not None:
            return True
        backlog, spool = self._backlog, self._spool
        if not backlog.length or spool is None or not spool.is_ready:
            return False
        if backlog.length >= self._half or backlog.size >= self._half_bytes:
            return True
        return self._delivery.is_open and (backlog.length >= self._batch_size or self._clock() >= self._spill_at)

    def _spill(self, spool: Spool) -> None:
        """Move to disk what waits, in order, as far as there is room."""
        moved = True
        while moved and self._backlog.length and self._deadline is None:
            with self._disk:
                with self._lock:
                    items = self._moving = self._backlog.take(CHUNK, self._half_bytes)
                done = 0
                try:
                    done = spool.keep(items)
                finally:
                    self._moved(items[done:], spool)
                moved = done == len(items)
        if self._clock() >= self._spill_at:
            self._spill_at = self._clock() + SPILL_EVERY

    def _moved(self, rest: list[Event], spool: Spool) -> None:
        with self._lock:
            self._moving = []
            if rest:
                self._tally.lost[self._full] += self._backlog.put_back(rest)
            self._tally.lost.update(spool.losses())
            self._changed.notify_all()

    def _stow(self) -> None:
        """Have the batch in hand wait on disk, if it came from memory."""
        spool = self._spool
        if spool is None or self._is_hand_on_disk() or not spool.is_ready:
            return
        with self._disk:
            done = spool.keep(self._hand)
            with self._lock:
                if not self._gave_up:
                    self._hand = self._hand[done:]
                    self._tally.lost.update(spool.losses())
                self._changed.notify_all()

    def _telemetry(self, *, ended: bool = False) -> Telemetry:
        with self._lock:
            in_hand = 0 if self._is_hand_on_disk() else len(self._hand)
            return self._tally.telemetry(
                captured=self.captured,
                queued=self._backlog.length + len(self._moving) + in_hand,
                spooled=0 if self._spool is None else self._spool.pending,
                ended=ended,
            )

    def _save(self) -> None:
        """Keep the counters, and up to where the spool is done, where there is a spool and they changed."""
        spool = self._spool
        if spool is None:
            return
        with self._disk:
            telemetry = self._telemetry()
            if telemetry.captured and not _is_same(telemetry, self._saved):
                self._saved = telemetry
                spool.save(telemetry)

    # Telemetry

    def _report(self) -> None:
        if self._telemetry_interval and self._clock() >= self._report_at and not self._delivery.waits:
            telemetry = self._telemetry()
            if self._tally.is_news(telemetry):
                self._tell(telemetry, REPORT_TIMEOUT)
            self._report_at = self._clock() + self._telemetry_interval

    def _tell(self, telemetry: Telemetry, timeout: float) -> bool | None:
        """Send telemetry: True when it was taken, False when it never will be, None when it may be later."""
        try:
            self._transport.report(telemetry, timeout=timeout)
        except TemporaryError as error:  # an outage is told once, whatever it is met with
            self._complaints.warn("unreachable", f"The service didn't take the emitter's counters: {error}")
            return None
        except PermanentError as error:
            self._complaints.warn("telemetry", f"The service didn't take the emitter's counters: {error}")
            return None if error.status in {0, 401, 403} else False
        except Exception as error:  # noqa: BLE001 - a fault of ours delays no event
            self._complaints.warn("fault", "The emitter's counters could not be told", error)
            return False
        if telemetry.emitterid == self.emitter_id:
            self._tally.told(telemetry)
        return True

    def _bury(self, folder: Folder, estate: Estate) -> None:
        """Tell what a dead emitter had counted, and remove its folder once that was heard."""
        telemetry = folder.telemetry
        heard: bool | None = True
        if telemetry is not None and self._telemetry_interval:
            heard = self._tell(telemetry, REPORT_TIMEOUT) if estate.may_report(self._clock()) else None
            if heard is None:
                estate.report_later(self._clock() + self._telemetry_interval)
        with self._disk:
            estate.leave(remove=heard is not None)

    # The end

    def _seconds_left(self) -> float:
        return 0.0 if self._deadline is None else max(0.0, self._deadline - self._clock())

    def _send_last(self) -> None:
        """Try once more with each batch in memory, then tell the counters; what isn't sent is left to `_finish()`."""
        if self._is_hand_on_disk():
            self._take([], None)
        spool = self._spool
        if spool is not None and (spool.has_more or self._delivery.is_open):
            return  # what is in memory belongs behind that
        while (left := self._seconds_left()) and self._take_any():
            if not self._deliver(left):
                if spool is not None:
                    return
                self._abandon()
        if (left := self._seconds_left()) and not self._hand and self._telemetry_interval:
            telemetry = self._telemetry(ended=True)
            if self._tally.is_news(telemetry):
                self._tell(telemetry, left)

    def _take_any(self) -> bool:
        with self._lock:
            if not self._hand and not self._gave_up:
                self._hand = self._backlog.take(self._batch_size, self._batch_bytes)
            return bool(self._hand)

    def _abandon(self) -> None:
        with self._lock:
            if not self._gave_up:
                self._tally.lost["shutdown"] += len(self._hand)
                self._hand = []
                self._changed.notify_all()

    def _finish(self, seconds: float) -> None:
        """Have the spool keep what is left, within so many seconds; count and tell what it can't."""
        has_disk = self._spool is not None and self._disk.acquire(timeout=seconds)
        with self._lock:
            hand = [] if self._is_hand_on_disk() else self._hand
            left = [*hand, *self._moving, *self._backlog.take(self._backlog.length, sys.maxsize)]
            self._hand, self._moving = [], []
            self._gave_up = True
        try:
            done = self._leave(self._spool, left) if has_disk and self._spool is not None else 0
        finally:
            if has_disk:
                self._disk.release()
        with self._lock:
            self._tally.lost["shutdown"] += len(left) - done
            self._changed.notify_all()
            lost = self._tally.lost["shutdown"]
        if lost:
            logger.warning("Closed before all was sent: %d events may be lost.", lost)

    def _leave(self, spool: Spool, left: list[Event]) -> int:
        """Write what is left, and the counters; return how many events are kept or counted."""
        done = spool.keep(left) if left else 0
        self._tally.lost.update(spool.losses())
        if spool.is_full:
            self._tally.lost["spool_full"] += len(left) - done
            done = len(left)
        if self._estate is not None:
            self._estate.leave(remove=False)
        telemetry = self._telemetry(ended=True)
        if telemetry.captured and (done < len(left) or self._tally.is_news(telemetry) or spool.has_more):
            spool.save(telemetry, sync=True)
            spool.close(remove=False)
        else:
            spool.close(remove=True)
        return done


def _is_same(telemetry: Telemetry, other: Telemetry | None) -> bool:
    return other is not None and _without_time(telemetry) == _without_time(other)


def _without_time(telemetry: Telemetry) -> Any:
    return {name: getattr(telemetry, name) for name in telemetry.__struct_fields__ if name != "time"}


def _call_after_fork(method: Callable[[], None]) -> None:
    """Call a bound method in each forked child, for as long as its object lives."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if alive := reference():
            alive()

    if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
        os.register_at_fork(after_in_child=call)
