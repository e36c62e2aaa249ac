"""The thread that moves events to disk that should not wait in memory, while the one that sends waits for an answer."""

import threading

from emitter.delivery import Delivery
from emitter.event import Event
from emitter.spool import Spool
from emitter.stock import Stock

CHUNK = 10_000  # events that are written to disk at once: each write may wait for the interpreter, whatever its size
SPILL_EVERY = 1.0  # seconds, at the least, between two such while the service is away


class Spiller:
    """Moves events to the spool when the queue is half full, or the circuit is open."""

    def __init__(self, stock: Stock, spool: Spool, delivery: Delivery) -> None:
        self._stock = stock
        self._spool = spool
        self._delivery = delivery
        self._terms = stock.terms
        self._half = max(1, stock.terms.queue_size // 2)
        self._half_bytes = max(1, stock.terms.queue_bytes // 2)
        self._spill_at = stock.terms.clock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Have the thread run, if it doesn't yet and the process isn't about to end."""
        if self._stock.deadline is not None or self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="heliograph-spool", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None

    def _run(self) -> None:
        stock = self._stock
        stock.worked_on()
        while stock.deadline is None:
            try:
                with stock.lock:
                    stock.changed.wait_for(self.is_due, max(0.01, self._spool.waits or self._terms.interval))
                if stock.deadline is None and self.is_due():
                    self._spill()
            except Exception as error:  # noqa: BLE001 - the thread's edge
                stock.complaints.warn("fault", "There is a fault in the emitter's spool", error)
                with stock.lock:
                    stock.changed.wait_for(lambda: stock.deadline is not None, 1.0)

    def is_due(self) -> bool:
        """Whether there is something to do: to move what waits, or to end."""
        if self._stock.deadline is not None:
            return True
        backlog = self._stock.backlog
        if not backlog.length or not self._spool.is_ready:
            return False
        if backlog.length >= self._half or backlog.size >= self._half_bytes:
            return True
        is_batch = backlog.length >= self._terms.batch_size
        return self._delivery.is_open and (is_batch or self._terms.clock() >= self._spill_at)

    def _spill(self) -> None:
        """Move to disk what waits, in order, as far as there is room."""
        stock, moved = self._stock, True
        while moved and stock.backlog.length and stock.deadline is None:
            with stock.disk:
                with stock.lock:
                    items = stock.moving = stock.backlog.take(CHUNK, self._half_bytes)
                done = 0
                try:
                    done = self._spool.keep(items)
                finally:
                    self._moved(items[done:])
                moved = done == len(items)
        if (now := self._terms.clock()) >= self._spill_at:
            self._spill_at = now + SPILL_EVERY

    def _moved(self, rest: list[Event]) -> None:
        stock = self._stock
        with stock.lock:
            stock.moving = []
            if rest:
                stock.tally.lost[stock.full] += stock.backlog.put_back(rest)
            stock.tally.lost.update(self._spool.losses())
            stock.changed.notify_all()

    def stow(self) -> None:
        """Have the batch in hand wait on disk, if it came from memory."""
        stock, spool = self._stock, self._spool
        if stock.is_hand_on_disk or not spool.is_ready:
            return
        with stock.disk:
            done = spool.keep(stock.hand)
            with stock.lock:
                if not stock.gave_up:
                    stock.hand = stock.hand[done:]
                    stock.tally.lost.update(spool.losses())
                stock.changed.notify_all()
