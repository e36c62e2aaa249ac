"""What one request may hold: what the service told, less where its refusals taught so, and when to ask it again.

Knows no network: who asks is the transport.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from emitter.event import Limits
from emitter.retry import by_chance

HOUR = 3_600.0  # seconds between two looks at the limits, and until what a refusal taught is forgotten
MINUTE = 60.0  # seconds until they are asked for again, at the earliest
LEAST_BODY = 16 * 1024  # bytes; a smaller batch is not made smaller in advance, only once it is refused
CREDIBLE = {  # what limits may be; beyond, the nearest of these
    "events": (1, 10_000),
    "body": (64 * 1024, 64 * 1024 * 1024),
    "inflated": (64 * 1024, 256 * 1024 * 1024),
    "event": (16 * 1024, 16 * 1024 * 1024),
}


class Allowance:
    """The limits in force."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told = Limits()
        self._taught: dict[str, int] = {}
        self._forget_at = self._asked_at = self._ask_at = float("-inf")

    @property
    def limits(self) -> Limits:
        if not self._taught:
            return self._told
        return replace(
            self._told, **{name: min(getattr(self._told, name), limit) for name, limit in self._taught.items()}
        )

    def due(self) -> bool:
        """Tell whether the service is to be asked now, which whoever calls this will do."""
        now = self._clock()
        if now >= self._forget_at:
            self._taught.clear()
        if now < self._ask_at:
            return False
        self._asked_at, self._ask_at = now, now + MINUTE
        return True

    def told(self, limits: Mapping[str, Any]) -> None:
        """Take the service's word: what can't be a limit is as by default, what can't be true is bounded."""
        self._told = credible(limits)
        # Not all processes at once.
        self._ask_at = self._clock() + HOUR * by_chance.uniform(0.9, 1.1)

    def refused(self, events: int, body: int, code: str) -> None:
        """Keep what comes below a batch of `events`, of `body` bytes on the wire, that was just found too large."""
        now = self._clock()
        self._forget_at = now + HOUR
        self._ask_at = min(self._ask_at, self._asked_at + MINUTE)
        if code == "too_many_events":
            self._taught["events"] = max(1, min(events - 1, self.limits.events))
        else:  # most likely the limit of a proxy, which a quarter less each time finds soon enough
            self._taught["body"] = min(max(LEAST_BODY, body * 3 // 4), self.limits.body)


def credible(told: Mapping[str, Any]) -> Limits:
    return Limits(
        **{
            name: min(max(told[name], low), high)
            for name, (low, high) in CREDIBLE.items()
            if type(told.get(name)) is int and told[name] > 0
        }
    )
