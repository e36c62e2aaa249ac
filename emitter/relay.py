"""Send what waits in an outbox, batch by batch, and have it decided there what the service said.

Knows leases and a transport; not what an event is about. No transaction is open while it sends. Nothing is given up: a
row leaves when the service has taken its event, or as a dead letter when it has refused it. Where the service fails:

- Every failure is followed by a wait: exponential, with full jitter, and at least what Retry-After asked for.
- After each failure in a row half as many rows are tried, and after a success all again.
- Rows that failed come back apart from others, the least tried first, half as many at once after each failure: what
  the service fails on is alone at last. While others arrive it waits for itself, and holds up none of them.
"""

import threading
import time
from collections.abc import Callable, Mapping

from emitter import leases, outbox
from emitter.complaints import complain, logger
from emitter.exceptions import PermanentError, TemporaryError
from emitter.leases import Claim
from emitter.retry import RETRY, Retry
from emitter.rows import Transport, decoded, sent

POLL = 60.0  # seconds after which a relay looks for what others left: what its own process commits wakes it
IDLE = 5.0  # seconds after which its connection is closed
SLOWLY = 60.0  # seconds between attempts while the service refuses all, as it does with a wrong key
TOO_MANY = 429  # an answer to who sends, whatever it was


class Lane:
    """How often in a row rows of one kind have failed, and when the next of them may be tried."""

    def __init__(self) -> None:
        self.failures = 0
        self._due_at = 0.0

    @property
    def waits(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._due_at - time.monotonic())

    def rest(self, seconds: float) -> None:
        self._due_at = time.monotonic() + seconds

    def clear(self) -> None:
        self.failures, self._due_at = 0, 0.0


class Relay:
    """Empties one database's outbox until it is stopped. Several may do so at once, in one process or in many.

    Times are seconds. ``lease`` is how long a batch is this relay's: if it died meanwhile, another sends that again.
    ``poll`` is how often it looks when nobody wakes it, ``interval`` how long a batch may gather when somebody does.
    """

    def __init__(
        self,
        using: str,
        transport: Transport,
        *,
        batch_size: int = 500,
        lease: float = 60.0,
        interval: float = 1.0,
        poll: float = 1.0,
        retry: Retry = RETRY,
    ) -> None:
        self.using = using
        self._transport = transport
        self._batch_size = batch_size
        self._lease = lease
        self._interval = interval
        self._poll = poll
        self._retry = retry
        self._changed = threading.Condition()  # reentrant: a handler of SIGTERM may stop a relay that is in here
        self._is_woken = self._is_stopped = False
        self._asked = self._emptied = 0  # how often flush() was called, and which of these calls have been answered
        self._deadline: float | None = None  # when a stopped relay stops trying to send the rest
        self._fresh, self._failing = Lane(), Lane()  # rows that never failed, and those that did
        self._owes = False  # whether something that couldn't be sent may still wait
        self._is_back = False  # whether the service was away, and what failed meanwhile needn't wait for its time
        self.pause = 0.0  # seconds, after a failure

    def wake(self) -> None:
        """Say that there may be something to send."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def stop(self, patience: float = 0.0) -> None:
        """Have `run` end after the batch at hand, or up to ``patience`` seconds later if it was woken meanwhile."""
        with self._changed:
            if not self._is_stopped:
                self._is_stopped = True
                self._deadline = time.monotonic() + patience
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Send what is in the outbox now; False when ``timeout`` seconds didn't do."""
        with self._changed:
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._emptied >= asked, timeout)

    def run(self) -> None:
        """Relay until stopped. Never raises what a database or the service may bring about: it tries again."""
        with leases.connected(self.using) as connection, outbox.at_work():
            while not self._is_over():
                asked = self._begin()
                is_more = self.step()
                if self._fresh.waits:
                    connection.close()  # the next attempt has a new one, should this one be to blame
                    self._wait(self._fresh.waits, asked)
                elif not is_more:
                    self._idle(asked, connection.close)

    def drain(self) -> bool:
        """Relay all that no other relay has, at once, up to the first failure; False when there was one."""
        self._fresh, self._failing, self._owes = Lane(), Lane(), False
        with leases.connected(self.using), outbox.at_work():
            for lane in (self._fresh, self._failing):
                while not self._owes and not self._is_stopped and self._take(lane, is_early=True):
                    pass
            return not self._owes

    def step(self) -> bool:
        """Relay a batch that never failed, and one that did, of what is due; say whether there may be more at once."""
        is_more = self._take(self._fresh)
        return self._take(self._failing) or is_more

    def _take(self, lane: Lane, *, is_early: bool = False) -> bool:
        """Relay a batch of a lane, if one is due, and say whether there may be more of it at once."""
        if lane.waits and not is_early:
            return False
        is_retry = lane is self._failing
        size = self._batch_size if is_retry else max(1, self._batch_size >> lane.failures)
        is_early = is_early or self._is_back
        try:
            claimed = leases.claim(self.using, size, self._lease, is_retry=is_retry, is_early=is_early)
            if claimed.events:
                return self._relay(claimed, lane) and (is_retry or len(claimed.events) == size)
            if is_retry:
                self._find_none()
        except Exception as error:  # noqa: BLE001  # of the database: a relay has nobody to raise it to
            self._failed(self._fresh, "relay", f"The outbox of the database {self.using!r} can't be relayed", error)
            self._rest(self._fresh, self._failing)
        return False

    def _find_none(self) -> None:
        """Look again soon for what this relay gave back, as clocks differ; else for what others did."""
        self._failing.failures = 0
        self._failing.rest(IDLE if self._owes else POLL)
        self._owes = self._is_back = False

    def _relay(self, claimed: Claim, lane: Lane) -> bool:
        is_about_all = lane is self._fresh
        try:
            events, refused = decoded(claimed)
            refused |= sent(events, self._transport)
        except TemporaryError as error:
            is_about_all |= error.retry_after is not None or error.status == TOO_MANY
            self._failed(lane, *self._complaint(claimed, error, is_about_all), after=error.retry_after)
        except PermanentError as error:
            is_about_all = True
            message = f"Events wait in the outbox, the service refuses all: {error}"
            self._failed(lane, "rejected", message, at_least=SLOWLY)
        except Exception as error:  # noqa: BLE001  # a fault of ours must not cost the events
            self._failed(lane, "fault", "Events wait in the outbox for a fault in the emitter to be mended", error)
        else:
            self._settle(claimed, refused)
            self._arrived(lane)
            return True
        leases.give_back(claimed, self.pause)
        self._rest(*((self._fresh, self._failing) if is_about_all else (lane,)))
        return False

    def _settle(self, claimed: Claim, refused: Mapping[int, tuple[str, str]]) -> None:
        late = leases.settle(claimed, refused)
        outbox.counts["dead_letters"] += len(refused)
        if refused:
            codes = ", ".join(sorted({code for code, _ in refused.values()}))
            complain("refused", f"{len(refused)} events are dead letters ({codes}): see manage.py heliograph_outbox")
        if late:
            complain("lease", f"{late} events were sent twice, as HELIOGRAPH_OUTBOX_LEASE ended before the answer came")

    def _arrived(self, lane: Lane) -> None:
        if self._fresh.failures:
            logger.info("Events of the outbox are arriving again.")
            self._is_back = True
            self._failing.clear()
            self._fresh.clear()
        lane.clear()

    def _complaint(self, claimed: Claim, error: TemporaryError, is_about_all: bool) -> tuple[str, str]:
        if is_about_all or self._fresh.failures or len(claimed.events) > 1:
            return "unreachable", f"Events wait in the outbox for the service: {error}"
        told = f"An event waits in the outbox: the service fails on it, and takes others. {error}"
        return "poison", f"{told} See manage.py heliograph_outbox failing"

    def _failed(
        self,
        lane: Lane,
        problem: str,
        message: str,
        error: Exception | None = None,
        *,
        after: float | None = None,
        at_least: float = 0,
    ) -> None:
        complain(problem, message, error)
        self.pause = max(at_least, self._retry.delay(lane.failures, after))
        self._owes, self._is_back = True, False
        lane.failures += 1

    def _rest(self, *lanes: Lane) -> None:
        for each in lanes:
            each.rest(self.pause)

    def _begin(self) -> int:
        with self._changed:
            self._is_woken = False
            return self._asked

    def _is_over(self) -> bool:
        with self._changed:
            late = self._deadline is None or time.monotonic() >= self._deadline
            return self._is_stopped and (late or not self._is_woken or self._fresh.failures > 0)

    def _idle(self, asked: int, close: Callable[[], None]) -> None:
        """Wait until woken, for as long as ``poll``, or until what failed is due; then let a batch gather."""
        with self._changed:
            self._emptied = self._emptied if self._owes else asked
            self._changed.notify_all()
        seconds = min(self._poll, self._failing.waits)
        brief = min(seconds, IDLE)
        if not self._wait(brief, asked, is_wakeful=True) and seconds > brief:
            close()
            self._wait(seconds - brief, asked, is_wakeful=True)
        if self._is_woken:
            self._wait(self._interval, asked)

    def _wait(self, seconds: float, asked: int, *, is_wakeful: bool = False) -> bool:
        """Wait, and return whether it was for less: stopped, asked to flush again, or woken if that counts."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (is_wakeful and self._is_woken) or self._is_stopped or self._asked > asked, timeout=seconds
            )
