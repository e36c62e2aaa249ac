"""Shows how far an import is: a bar on a terminal, else a line now and then."""

import time
from collections.abc import Callable

from emitter.history.sending import Count

WIDTH = 24  # characters of the bar
OFTEN, SELDOM = 0.2, 10.0  # seconds between two looks at a terminal, and in a log


class Progress:
    def __init__(
        self,
        write: Callable[[str], object],
        total: int | None,
        *,
        is_terminal: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._total = total
        self._is_terminal = is_terminal
        self._clock = clock
        self._started = clock()
        self._shown = self._started if not is_terminal else float("-inf")

    def show(self, count: Count) -> None:
        """Say where ``count`` is, unless that was said a moment ago."""
        now = self._clock()
        if now - self._shown >= (OFTEN if self._is_terminal else SELDOM):
            self._shown = now
            self._say(count.decided, now)

    def end(self, count: Count) -> None:
        """Leave a full bar behind."""
        if self._is_terminal:
            self._say(count.decided, self._clock())
            self._write("\n")

    def _say(self, done: int, now: float) -> None:
        rate = done / max(now - self._started, 0.001)
        told = f"{done:,} entries, {rate:,.0f} a second"
        if self._total:
            part = min(1.0, done / self._total)
            told = f"{done:,} of {self._total:,} entries, {part:.0%}, {rate:,.0f} a second"
            if self._is_terminal:
                full = int(WIDTH * part)
                told = f"[{'#' * full}{'.' * (WIDTH - full)}] {told}"
        self._write(f"\r\033[K{told}" if self._is_terminal else f"{told}\n")
