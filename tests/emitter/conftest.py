"""The cast: a worker whose transport keeps what it is given, and what arrived there."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from django.contrib.contenttypes.management import create_contenttypes
from django.db.models.signals import post_migrate

from emitter import outlet
from emitter.complaints import complain
from emitter.event import Event, Limits, Result, Telemetry, encode_batch
from emitter.worker import Worker


@pytest.fixture(scope="session", autouse=True)
def bare_flush() -> None:
    """Keep each flush from making content types and permissions anew: no test needs them, and each would wait."""
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    post_migrate.disconnect(create_contenttypes)


class Shelf:
    """A transport that keeps events in memory."""

    limits = Limits()

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result:
        self.events.extend(msgspec.json.decode(encode_batch(events), type=list[Event]))
        return Result(accepted=len(events), duplicates=0, rejected=0)

    def report(self, telemetry: Telemetry, *, timeout: float | None = None) -> None:
        pass

    def reset(self) -> None:
        self.events.clear()


Arrived = Callable[[], list[Event]]


@pytest.fixture(autouse=True)
def _complaints_are_new() -> None:
    """Let each test hear the first complaint, which another test may have heard less than a minute ago."""
    known: Any = complain
    known.__self__._quiet_until.clear()


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arrived]:
    """Return a function that gives the events that have left, in order."""
    outlet.work()  # for the last test's worker
    shelf = Shelf()
    worker = Worker(shelf, interval=60, batch_size=100_000, gather=outlet.work)  # nothing leaves before it is asked for
    monkeypatch.setattr(outlet, "_worker", worker)

    def events() -> list[Event]:
        assert worker.flush(timeout=10)
        return list(shelf.events)

    yield events
    worker.close(timeout=1)


@pytest.fixture
def facts(arrived: Arrived) -> Arrived:
    """Like `arrived`, without what was only about to happen and what was rolled back."""
    return lambda: [event for event in arrived() if ".pre_" not in event.type and event.outcome != "rolledback"]
