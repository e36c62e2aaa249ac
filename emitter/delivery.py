"""Sends what the worker hands it, and decides what an answer means: done, parked, later, or in smaller parts.

Knows the transport and no thread, queue or file. Where the service fails:

- Every failure is followed by a wait: exponential, with full jitter, and at least what Retry-After asked for.
- After `BREAKER` failures in a row the circuit is open: each try is a probe of a few events, until one succeeds.
- Then batches grow from that again, each twice as large as the one before.
- A batch that is answered 500 `STRIKES` times is halved, until one event is left that is answered so alone. The next
  one is tried before it: if that is taken, and the first still is not, it is parked. If none is, they all wait.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from emitter.complaints import Complaints
from emitter.event import EncodingErrors, Event, Limits, Result, Telemetry, encode
from emitter.exceptions import PermanentError, TemporaryError
from emitter.parking import Parked, parked
from emitter.retry import Retry

logger = logging.getLogger("heliograph")

BREAKER = 3  # failures in a row: a restart of the service is over by then
PROBE = 10  # events
STRIKES = 5  # answers of 500, which a service that fails at random hardly gives in a row


class Transport(Protocol):
    """What is needed of `HttpTransport`."""

    @property
    def limits(self) -> Limits: ...

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result: ...

    def report(self, telemetry: Telemetry, *, timeout: float | None = None) -> None: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of events that are decided: what of them is lost, by reason, and what is worth keeping of that."""

    lost: Counter[str] = field(default_factory=Counter)
    parked: Sequence[Parked] = ()


class Delivery:
    """Has events sent until the service has decided about them, and tells what goes wrong."""

    def __init__(
        self,
        transport: Transport,
        retry: Retry,
        complaints: Complaints,
        *,
        keeps: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fate = "parked" if keeps else "lost"  # of what isn't taken
        self._transport = transport
        self._retry = retry
        self._complaints = complaints
        self._clock = clock
        self._told = False
        self._failures = 0
        self._paused_until = clock()
        self._part: int | None = None  # at most so many events at once, for now
        self._strikes = 0  # answers of 500 in a row, to what is being tried
        self._suspects: dict[UUID, bool] = {}  # events answered so alone, and whether others were taken since
        self._rounds = 0  # of such, in which nothing was taken

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open: the service has failed so often that nothing should wait in memory for it."""
        return self._failures >= BREAKER

    @property
    def waits(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._paused_until - self._clock())

    @property
    def portion(self) -> int:
        """How many events the next try takes at the most."""
        most = min(self._transport.limits.events, PROBE) if self.is_open else self._transport.limits.events
        return most if self._part is None else min(self._part, most)

    def is_stuck(self, hand: Sequence[Event]) -> bool:
        """Whether each event in hand was answered 500 alone, so that only others can tell whose fault it is."""
        return self._rounds >= len(hand) > 0

    def attempt(self, hand: list[Event], timeout: float | None = None) -> Verdict | None:
        """Send the first events of `hand`, and take those off that are decided. None when they are not; then wait.

        With a `timeout` it is the last try before the end: in full. Raises what the transport raises by a fault.
        """
        batch = list(hand if timeout is not None else hand[: self.portion])
        try:
            result = self._transport.send(batch, timeout=timeout)
        except PermanentError as error:
            verdict = self._refused(batch, error)
        except TemporaryError as error:
            self._failed(error)
            if timeout is not None or error.status != 500 or not self._is_to_blame(hand, len(batch)):
                return None
            verdict = self._condemned(batch, error)
        else:
            verdict = self._arrived(batch, result)
        del hand[: len(batch)]
        return verdict

    # Not taken

    def _failed(self, error: TemporaryError) -> None:
        self._told |= self._complaints.warn("unreachable", f"Events wait for the service: {error}")
        self._paused_until = self._clock() + self._retry.delay(self._failures, error.retry_after)
        self._failures += 1

    def _is_to_blame(self, hand: list[Event], size: int) -> bool:
        """Note that the first so many were answered 500; True when it is the fault of the first one."""
        self._strikes += 1
        if size > 1:
            if self._part is not None or self._strikes >= STRIKES:
                self._part, self._strikes = size // 2, 0
            return False
        if self._strikes < STRIKES:
            return False
        self._strikes = 0
        if self._suspects.get(hand[0].id):
            return True
        self._suspects[hand[0].id] = False
        self._part = 1
        self._rounds += 1
        hand.append(hand.pop(0))
        return False

    def _condemned(self, batch: Sequence[Event], error: TemporaryError) -> Verdict:
        self._suspects.pop(batch[0].id, None)
        self._told |= self._complaints.warn("poison", f"An event is {self._fate}: the service fails on it. {error}")
        return Verdict(
            lost=Counter(failed_permanently=len(batch)), parked=_all_parked(batch, "failed", str(error), 500)
        )

    def _refused(self, batch: Sequence[Event], error: PermanentError) -> Verdict:
        self._failures = 0
        self._told |= self._complaints.warn("rejected", f"{len(batch)} events are {self._fate}: {error}")
        return Verdict(
            lost=Counter(failed_permanently=len(batch)),
            parked=_all_parked(batch, "failed", error.detail or str(error), error.status),
        )

    # Taken

    def _arrived(self, batch: Sequence[Event], result: Result) -> Verdict:
        self._recover(batch)
        too_large = sum(refusal.code == "too_large" for refusal in result.errors)
        if result.rejected:
            reasons = ", ".join(sorted({refusal.code for refusal in result.errors})) or "no reason given"
            self._complaints.warn("refused", f"The service refused {result.rejected} events: {reasons}")
        if result.unencodable:
            self._complaints.warn("unencodable", f"{result.unencodable} events can't be written as JSON")
        lost = Counter(refused=max(0, result.rejected - too_large), too_large=too_large, unencodable=result.unencodable)
        return Verdict(lost=lost, parked=_refused_items(batch, result))

    def _recover(self, batch: Sequence[Event]) -> None:
        if self._told:
            self._told = False
            logger.info("Events are arriving again.")
        if self.is_open and self._part is None:
            self._part = len(batch)
        if self._part is not None:
            self._part = max(self._part, len(batch) * 2)
            self._part = None if self._part >= self._transport.limits.events else self._part
        sound = {event.id for event in batch} if self._suspects else set()
        self._suspects = {suspect: True for suspect in self._suspects if suspect not in sound}
        self._failures = self._strikes = self._rounds = 0
        self._paused_until = self._clock()


def _refused_items(batch: Sequence[Event], result: Result) -> list[Parked]:
    by_id = {str(event.id): event for event in batch} if result.errors else {}
    items = []
    for refusal in result.errors:
        at = refusal.index
        event = batch[at] if at is not None and 0 <= at < len(batch) else by_id.get(refusal.id or "")
        if event is not None:
            items.extend(_all_parked([event], refusal.code, refusal.detail))
    return items


def _all_parked(batch: Sequence[Event], code: str, detail: str, status: int | None = None) -> list[Parked]:
    return [parked(text, code, detail, status) for event in batch if (text := _text(event)) is not None]


def _text(event: Event) -> bytes | None:
    try:
        return encode(event)
    except EncodingErrors:
        return None
