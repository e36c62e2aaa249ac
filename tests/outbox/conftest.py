"""The cast: a database of each kind, what its outbox holds, and a service that keeps each event once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.contrib.contenttypes.management import create_contenttypes
from django.db.models.signals import post_migrate

from emitter import outbox, outlet, relays
from emitter.complaints import complain
from emitter.event import Event, Limits, Refusal, Result, Telemetry, encode_batch
from emitter.relay import Relay
from emitter.worker import Worker
from tests.outbox import ask

KINDS = ["default", "sqlite", "mariadb"]


@pytest.fixture(scope="session", autouse=True)
def bare_flush() -> None:
    """Keep each flush from making content types and permissions anew: no test needs them, and each would wait."""
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    post_migrate.disconnect(create_contenttypes)


@pytest.fixture(autouse=True)
def _everything_is_new() -> Iterator[None]:
    known: Any = complain
    known.__self__._quiet_until.clear()
    known.__self__._kept_back.clear()
    outbox.counts.clear()
    yield
    stop_relays()


def stop_relays() -> None:
    """Have the relays of this process send the rest."""
    for thread in relays.stop(10):
        thread.join(10)


@pytest.fixture(params=KINDS)
def using(request: pytest.FixtureRequest, transactional_db: None) -> str:
    alias: str = request.param
    if alias not in settings.DATABASES:
        pytest.skip("MariaDB is not on this machine: Debian has it as mariadb-server")
    return alias


class Service:
    """A transport that keeps events by id, and answers as it is told to."""

    limits = Limits()

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.batches: list[int] = []
        self.refused: dict[str, Refusal] = {}
        self.before: Callable[[Sequence[Event]], None] = lambda events: None

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result:
        self.batches.append(len(events))
        self.before(events)
        errors = tuple(self.refused[str(each.id)] for each in events if str(each.id) in self.refused)
        taken = {str(each.id): each for each in events if str(each.id) not in self.refused}
        duplicates = len(taken.keys() & self.events.keys())
        self.events |= taken
        return Result(accepted=len(taken) - duplicates, duplicates=duplicates, rejected=len(errors), errors=errors)

    def report(self, telemetry: Telemetry, *, timeout: float | None = None) -> None:
        pass

    def reset(self) -> None:
        pass


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Event]]]:
    """Return a function that gives what has left without an outbox."""
    outlet.work()  # for the last test's worker
    service = Service()
    worker = Worker(service, interval=60, batch_size=100_000, gather=outlet.work)
    monkeypatch.setattr(outlet, "_worker", worker)

    def events() -> list[Event]:
        assert worker.flush(timeout=10)
        return msgspec.json.decode(encode_batch(list(service.events.values())), type=list[Event])

    yield events
    worker.close(timeout=1)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def make(using: str, service: Service) -> Callable[..., Relay]:
    """Return what makes a relay that sends to the service."""

    def made(**settings: Any) -> Relay:
        return Relay(using, service, **{"interval": 0.01, "poll": 0.01, **settings})

    return made


@pytest.fixture
def waiting(using: str) -> Callable[[], list[Event]]:
    """Return a function that gives what another connection sees in the outbox: what is committed."""
    return lambda: ask.events(using)
