"""Tell what goes wrong, in the project's log, without flooding it. Knows no Django."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

logger = logging.getLogger("heliograph")

QUIET = 60.0  # seconds between two warnings about one problem


class Complaints:
    """Logs a problem at most once in `QUIET` seconds, and then how often it was kept back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until: dict[str, float] = {}
        self._kept_back: Counter[str] = Counter()

    def warn(self, problem: str, message: str, error: Exception | None = None) -> bool:
        """Log the message and return True, unless this problem was told just before. Never raises."""
        now = self._clock()
        if now < self._quiet_until.get(problem, now):
            self._kept_back[problem] += 1
            return False
        self._quiet_until[problem] = now + QUIET
        before = self._kept_back.pop(problem, 0)
        with suppress(Exception):  # a handler of the project's may raise, in whatever code we were called by
            logger.warning(
                "%s%s", message, f" ({before} more such since the last warning)" if before else "", exc_info=error
            )
        return True


complain = Complaints().warn
