"""For the tests of projects that have the emitter installed: see what would be sent, without sending it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from django.test import override_settings

from emitter import outlet
from emitter.event import Event, Limits
from emitter.worker import Worker


class Recorder(Worker):
    """A worker that keeps what it is given in ``events`` and sends nothing."""

    def __init__(self) -> None:
        super().__init__(transport=_nowhere)
        self.events: list[Event] = []

    def put(self, event: Event) -> bool:
        self.events.append(msgspec.structs.replace(event, data=msgspec.json.decode(event.data)))
        return True

    def start(self) -> None:
        pass

    @property
    def captured(self) -> int:
        return len(self.events)


class _Nowhere:
    limits = Limits()

    def send(self, events: Any, *, timeout: float | None = None) -> Any:
        raise AssertionError("a recorder sends nothing")

    def report(self, telemetry: Any, *, timeout: float | None = None) -> None:
        raise AssertionError("a recorder tells nothing")

    def reset(self) -> None:
        pass


_nowhere = _Nowhere()


@contextmanager
def captured_events() -> Iterator[list[Event]]:
    """Collect the events that the block lets go, in order; nothing is sent, and no URL needs to be set.

    In a `TestCase`, whose transaction never commits, events of the database wait for ever: put
    ``captureOnCommitCallbacks(execute=True)`` inside the block.
    """
    recorder, before, at_once = Recorder(), outlet._worker, outlet.intake.at_once
    with override_settings(HELIOGRAPH_URL="http://recorder.invalid", HELIOGRAPH_DELIVERY="memory"):
        outlet.work()
        outlet._worker, outlet.intake.at_once = recorder, 1
        try:
            yield recorder.events
        finally:
            outlet.work()  # what another thread has left to us
            outlet._worker, outlet.intake.at_once = before, at_once
