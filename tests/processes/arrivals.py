"""What a sink has kept, and what must be true of it whichever processes sent it."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAVED, MARKED = "django.db.models.signals.post_save", "tests.processes.shop.signals.order_paid"
FINISHED = "django.core.signals.request_finished"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Everything that arrived until now, in order."""

    events: list[dict[str, Any]]
    telemetry: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path, name: str) -> "Arrivals":
        return cls(*(_lines(folder / f"{name}.{what}") for what in ("events", "telemetry")))

    @property
    def emitters(self) -> dict[str, list[int]]:
        """The sequence numbers of each emitter, as they came."""
        found = defaultdict(list)
        for event in self.events:
            found[event["emitterid"]].append(int(event["sequence"]))
        return dict(found)

    @property
    def marks(self) -> list[tuple[str, int]]:
        """Where and with which number the shop's own signal was sent."""
        return [(event["data"]["where"], event["data"]["number"]) for event in self.events if event["type"] == MARKED]

    def pids(self, where: str | None = None) -> set[int]:
        marked = (event["data"] for event in self.events if event["type"] == MARKED)
        return {data["pid"] for data in marked if where in {None, data["where"]}}

    def lost(self, reason: str) -> int:
        """Return how many events were told as lost for a reason, by all emitters."""
        told: dict[str, int] = defaultdict(int)
        for report in self.telemetry:
            told[report["emitterid"]] = max(told[report["emitterid"]], report["lost"].get(reason, 0))
        return sum(told.values())

    def check_identities(self) -> None:
        """Nothing came twice, and one process is one emitter."""
        twice = [key for key, times in Counter(event["id"] for event in self.events).items() if times > 1]
        assert not twice, f"{len(twice)} ids came more than once"
        pairs = {(event["emitterid"], event["data"]["pid"]) for event in self.events if event["type"] == MARKED}
        assert len(pairs) == len({emitter for emitter, _ in pairs}) == len({pid for _, pid in pairs}), pairs

    def check_complete(self) -> None:
        """Of each emitter, every number up to its last arrived, once and in order."""
        self.check_identities()
        for emitter, numbers in self.emitters.items():
            assert numbers == list(range(1, len(numbers) + 1)), f"{emitter}: {_breaks(numbers)}"

    def check_requests(self, answered: set[int], *, unclosed: int = 0) -> None:
        """Of each request that was answered, all arrived: what it saved, what it sent and how it ended.

        But for how those ended that the server left ``unclosed``, so many at the most: nothing else was lost.
        """
        saved = {event["data"]["fields"]["number"] for event in self.events if event["type"] == SAVED}
        sent = {number for where, number in self.marks if where == "request"}
        ended = {
            int(event["data"]["path"].split("/")[2])
            for event in self.events
            if event["type"] == FINISHED and event["data"]["status"] == 200
        }
        assert answered, "no request was answered"
        if len(answered - ended) <= unclosed:
            assert self.lost("shutdown") <= len(answered - ended)
            ended |= answered
        assert {"saved": answered - saved, "sent": answered - sent, "ended": answered - ended} == {
            "saved": set(),
            "sent": set(),
            "ended": set(),
        }


def _lines(path: Path) -> list[Any]:
    """Return what the lines say that are written whole."""
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def _breaks(numbers: list[int]) -> list[tuple[int, int]]:
    return [(before, after) for before, after in zip([0, *numbers], numbers, strict=False) if after != before + 1]
