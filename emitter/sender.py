"""The thread that sends: what waits in memory and on disk, what dead processes have left there, and the counters."""

import threading
from collections import Counter
from collections.abc import Callable

from emitter.delivery import PROBE, Delivery, Transport, Verdict
from emitter.event import Event
from emitter.reporter import Reporter
from emitter.retry import Retry
from emitter.segments import Folder
from emitter.spiller import Spiller
from emitter.stock import Stock


class Sender:
    """Sends one batch after the other, until the stock has a deadline; then what is in memory, until that."""

    def __init__(self, stock: Stock, transport: Transport, retry: Retry, gather: Callable[[], None]) -> None:
        self.thread: threading.Thread | None = None
        self._stock = stock
        self._gather = gather
        self._terms = stock.terms
        self._clock = stock.terms.clock
        self._partial_at = self._clock() + stock.terms.interval
        self._told_dropped = 0
        self._others_turn = False
        self._delivery = Delivery(
            transport, retry, stock.complaints, keeps=stock.spool is not None, clock=stock.terms.clock
        )
        self._reporter = Reporter(stock, transport)
        self._spiller = None if stock.spool is None else Spiller(stock, stock.spool, self._delivery)

    def start(self) -> None:
        self.thread = threading.Thread(target=self.run, name="heliograph", daemon=True)
        try:
            self.thread.start()
        except RuntimeError:  # the interpreter is leaving, or there are too many; the next event tries again
            self.thread = None

    def run(self) -> None:
        stock = self._stock
        stock.worked_on()
        try:
            if self._spiller is not None:
                self._spiller.start()
            while stock.deadline is None:
                self._step()
            self._send_last()
        except Exception as error:  # noqa: BLE001 - the thread's edge
            stock.complaints.warn("fault", "There is a fault in the emitter", error)
        finally:
            self.thread = None  # should anything end it, the next event starts another

    def _step(self) -> None:
        stock = self._stock
        try:
            with stock.lock:
                stock.changed.wait_for(self._is_due, self._patience())
            self._gather()
            if stock.deadline is None:
                if not self._delivery.waits and self._pick():
                    self._deliver()
                self._keep_books()
        except Exception as error:  # noqa: BLE001 - the thread's edge: a fault of ours ends a step, not the thread
            stock.complaints.warn("fault", "There is a fault in the emitter", error)
            with stock.lock:
                stock.changed.wait_for(lambda: stock.deadline is not None, 1.0)

    def _keep_books(self) -> None:
        self._tell_dropped()
        self._stock.save()
        if self._stock.spool is not None:
            self._stock.spool.sync()
        if not self._delivery.waits and self._stock.deadline is None:
            self._reporter.report()

    def _tell_dropped(self) -> None:  # here, not in put(), which must not wait for a log
        lost = self._stock.tally.lost
        dropped = lost["queue_full"] + lost["spool_full"]
        if dropped > self._told_dropped:
            self._told_dropped = dropped
            self._stock.complaints.warn("queue_full", f"The queue was full: {dropped} events dropped until now")

    # When

    def _is_due(self) -> bool:
        if self._stock.deadline is not None:
            return True
        if self._delivery.waits:
            return False
        return bool(self._stock.hand) or self._is_batch_due() or self._is_disk_due()

    def _is_disk_due(self) -> bool:
        spool, estate = self._stock.spool, self._stock.estate
        return (spool is not None and spool.is_readable) or (estate is not None and estate.folder is not None)

    def _is_batch_due(self) -> bool:
        backlog, awaited = self._stock.backlog, self._stock.awaited
        if not backlog.length:
            return False
        full = backlog.length >= self._terms.batch_size or backlog.size >= self._terms.batch_bytes
        return full or (awaited > 0 and (backlog.first or 0) <= awaited)

    def _patience(self) -> float:
        """Seconds until there may be something to do without anybody telling."""
        if paused := self._delivery.waits:
            return max(0.001, min(paused, self._terms.interval))  # for the counters, if nothing else
        waits = [self._terms.interval, self._partial_at - self._clock(), self._reporter.waits]
        if self._stock.spool is not None:
            waits.append(self._stock.spool.looks_in)
        return max(0.001, min(waits))

    # What

    def _pick(self) -> bool:
        """Have a batch in hand; False when none is due. Ours and that of the dead take turns."""
        hand = self._stock.hand
        if hand:
            if self._delivery.is_stuck(hand):
                self._compare()
            return bool(self._stock.hand)
        ours = [self._read_ours, self._take_waiting]
        for source in [self._read_orphans, *ours] if self._others_turn else [*ours, self._read_orphans]:
            if source():
                self._others_turn = source != self._read_orphans
                return True
        return False

    def _compare(self) -> None:
        """Have other events in hand too, where the service fails on all that are: it may be their fault, or its own."""
        stock, folder = self._stock, self._stock.hand_from
        most = min(self._portion(), max(0, max(self._terms.batch_size, PROBE) - len(stock.hand)))
        with stock.disk:
            if stock.estate is not None and folder is not None and folder is stock.estate.folder:
                stock.estate.leave(remove=False)  # it is tried again after some of ours
                stock.take([], None)
            elif stock.spool is not None and folder is not None and folder is stock.spool.mine:
                others = stock.spool.read(folder, most, self._terms.batch_bytes, further=True)
                stock.take([*stock.hand, *(others or [])], folder)
            else:
                with stock.lock:
                    stock.hand = [*stock.hand, *stock.backlog.take(most, self._terms.batch_bytes)]

    def _portion(self) -> int:
        return min(self._terms.batch_size, self._delivery.portion)

    def _take_waiting(self) -> bool:
        stock = self._stock
        with stock.lock:
            partial = self._clock() >= self._partial_at
            if partial:
                self._partial_at = self._clock() + self._terms.interval
            if partial or self._is_batch_due():
                stock.take(stock.backlog.take(self._portion(), self._terms.batch_bytes), None)
            return bool(stock.hand)

    def _read_ours(self) -> bool:
        stock = self._stock
        if stock.spool is None:
            return False
        with stock.disk:
            folder = stock.spool.mine
            if folder is None or not stock.spool.is_readable:
                return False
            events = stock.spool.read(folder, self._portion(), self._terms.batch_bytes)
            if events == []:
                self._advance(folder)
                stock.save_again()
            return stock.take(events or [], folder)

    def _read_orphans(self) -> bool:
        stock = self._stock
        if stock.estate is None:
            return False
        with stock.disk:
            events = stock.estate.read(self._portion(), self._terms.batch_bytes)
            if events:
                return stock.take(events, stock.estate.folder)
            folder = stock.estate.folder
        if folder is not None:
            self._reporter.bury(folder, stock.estate)
        return False

    # What becomes of it

    def _deliver(self, timeout: float | None = None) -> bool:
        """Try to have the batch in hand sent; False when it must wait."""
        hand = list(self._stock.hand)
        verdict: Verdict | None = Verdict(lost=Counter(failed_permanently=len(hand)))
        left: list[Event] = []
        try:
            verdict = self._delivery.attempt(hand, timeout)
            left = hand
        except Exception as error:  # noqa: BLE001 - a fault of ours costs a batch, not the thread
            self._stock.complaints.warn("fault", f"{len(hand)} events are lost to a fault in the emitter", error)
        finally:
            self._settle(verdict, left)
        return verdict is not None

    def _settle(self, verdict: Verdict | None, left: list[Event]) -> None:
        stock, folder = self._stock, self._stock.hand_from
        if stock.gave_up:  # close() has counted these
            return
        if verdict is not None:
            self._park(verdict)
            if folder is not None and not left:
                with stock.disk:
                    self._advance(folder)
        with stock.lock:
            if stock.gave_up:
                return
            stock.hand = left
            if verdict is not None:
                stock.lose(verdict.lost, folder)
            stock.changed.notify_all()
        if verdict is None:
            if self._delivery.is_open and self._spiller is not None:
                self._spiller.stow()
        elif folder is not None and not left:
            self._save_progress(folder)

    def _park(self, verdict: Verdict) -> None:
        if not verdict.parked:
            return
        self._stock.parked.extend(verdict.parked)
        if self._stock.spool is not None:
            self._stock.spool.park(verdict.parked)  # a file with a lock of its own, which others may hold for a while

    def _advance(self, folder: Folder) -> None:
        stock = self._stock
        corrupt = 0 if stock.spool is None else stock.spool.advance(folder)
        with stock.lock:
            stock.lose({"spool_corrupt": corrupt}, folder)

    def _save_progress(self, folder: Folder) -> None:
        stock = self._stock
        if stock.estate is not None and folder is stock.estate.folder:
            with stock.disk:
                stock.estate.save()
        else:
            stock.save_again()  # the step ends with it

    # The end

    def _seconds_left(self) -> float:
        deadline = self._stock.deadline
        return 0.0 if deadline is None else max(0.0, deadline - self._clock())

    def _send_last(self) -> None:
        """Try once more with each batch in memory, then tell the counters; what isn't sent is left to `close()`."""
        stock = self._stock
        if stock.is_hand_on_disk:
            stock.take([], None)
        if stock.spool is not None and (stock.spool.has_more or self._delivery.is_open):
            return  # what is in memory belongs behind that
        while (left := self._seconds_left()) and self._take_any():
            if not self._deliver(left):
                if stock.spool is not None:
                    return
                self._abandon()
        if (left := self._seconds_left()) and not stock.hand:
            self._reporter.report_end(left)

    def _take_any(self) -> bool:
        stock = self._stock
        with stock.lock:
            if not stock.hand and not stock.gave_up:
                stock.hand = stock.backlog.take(self._terms.batch_size, self._terms.batch_bytes)
            return bool(stock.hand)

    def _abandon(self) -> None:
        stock = self._stock
        with stock.lock:
            if not stock.gave_up:
                stock.tally.lost["shutdown"] += len(stock.hand)
                stock.hand = []
                stock.changed.notify_all()
