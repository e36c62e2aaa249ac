"""What one emitter captured, and what became of it: the counters that its telemetry tells."""

import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from msgspec.structs import replace

from emitter.event import Telemetry, stamp, uuid7

# Why a numbered event will never come.
REASONS = (
    "queue_full",
    "too_large",
    "refused",
    "failed_permanently",
    "unencodable",
    "shutdown",
    "spool_full",
    "spool_corrupt",
)


def nothing_unsent() -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an emitter tells of itself beside its counters. `unsent` gives what it saw and never numbered, by reason."""

    source: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    delivery: str = "memory"
    unsent: Callable[[], Mapping[str, int]] = nothing_unsent


class Tally:
    """The counters of this process's emitter. Whoever changes them holds the worker's lock."""

    def __init__(self, about: About) -> None:
        self.emitter_id: UUID = uuid7()
        self.lost: Counter[str] = Counter()
        self._about = about
        self._started = stamp()[1]
        self._host = socket.gethostname()
        self._pid = os.getpid()
        self._told: Telemetry | None = None

    def telemetry(self, *, captured: int, queued: int, spooled: int, ended: bool = False) -> Telemetry:
        about = self._about
        return Telemetry(
            emitterid=self.emitter_id,
            source=about.source,
            started=self._started,
            time=stamp()[1],
            versions=dict(about.versions),
            host=self._host,
            pid=self._pid,
            delivery=about.delivery,
            captured=captured,
            queued=queued,
            spooled=spooled,
            lost={reason: number for reason, number in self.lost.items() if number},
            unsent={reason: number for reason, number in about.unsent().items() if number},
            ended=ended,
        )

    def is_news(self, telemetry: Telemetry) -> bool:
        """Whether it says anything that the last one which was answered did not."""
        return not is_empty(telemetry) and (
            self._told is None or replace(telemetry, time=self._told.time) != self._told
        )

    def told(self, telemetry: Telemetry) -> None:
        self._told = telemetry


def is_empty(telemetry: Telemetry) -> bool:
    """Tell whether nothing was seen yet, with a number or without."""
    return not (telemetry.captured or telemetry.unsent)


def of_the_dead(telemetry: Telemetry, *, spooled: int, lost: Mapping[str, int] | None = None) -> Telemetry:
    """Return what is to be told of an emitter whose process has ended: nothing is in its memory any more."""
    total = Counter(telemetry.lost)
    total.update(lost or {})
    return replace(
        telemetry,
        time=stamp()[1],
        queued=0,
        spooled=spooled,
        lost={reason: number for reason, number in total.items() if number},
        ended=True,
    )
