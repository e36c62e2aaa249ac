"""When a failed batch is sent again. Pure: knows no clock, no network and no thread."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom

by_chance = SystemRandom()  # and not the project's own numbers, which it may have seeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

    base: float = 0.5  # seconds: the longest first wait
    cap: float = 60.0  # seconds: a recovered service is found again within a minute
    longest_retry_after: float = 300.0  # seconds: a mistaken header must not silence us for a day
    statuses: frozenset[int] = frozenset({408, 429})  # and every 5xx

    def retries(self, status: int) -> bool:
        """Say whether an answer with this HTTP status is worth another attempt."""
        return status in self.statuses or 500 <= status <= 599

    def delay(
        self,
        attempt: int,
        retry_after: float | None = None,
        random: Callable[[], float] = by_chance.random,
    ) -> float:
        """Return the seconds to wait after failed attempt number `attempt`, counted from 0.

        Never less than `retry_after` within its bound; the jitter comes on top, so that emitters which were
        all told the same second don't return in it. `random` gives numbers in [0, 1).
        """
        exponential = math.ldexp(self.base, min(attempt, 64))  # an outage of hours must not overflow
        asked = min(max(retry_after or 0.0, 0.0), self.longest_retry_after)
        return asked + random() * min(self.cap, exponential)


RETRY = Retry()


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for (RFC 9110, 10.2.3); None when absent or unreadable."""
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())
    except (ValueError, OverflowError):  # a year of twenty digits
        return None
