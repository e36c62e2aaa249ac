"""The cast: a worker whose transport keeps what it is given, and what arrived there."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from emitter import pipeline
from emitter.event import Event, Result
from emitter.worker import Worker


class Shelf:
    """A transport that keeps events in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result:
        self.events.extend(events)
        return Result(accepted=len(events))

    def reset(self) -> None:
        self.events.clear()


Arrived = Callable[[], list[Event]]


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arrived]:
    """Return a function that gives the events that have left, in order."""
    shelf = Shelf()
    worker = Worker(shelf, interval=60)
    monkeypatch.setattr(pipeline, "_worker", worker)

    def events() -> list[Event]:
        assert worker.flush(timeout=10)
        return list(shelf.events)

    yield events
    worker.close(timeout=1)


@pytest.fixture
def facts(arrived: Arrived) -> Arrived:
    """Like `arrived`, without the events of what was only about to happen."""
    return lambda: [event for event in arrived() if ".pre_" not in event.type]
