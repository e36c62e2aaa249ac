"""The cast: what the command sends, kept on a shelf instead."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command

from emitter import outlet
from emitter.event import Event, Result, encode_batch
from tests.history.client import install


@dataclass
class Shelf:
    """A transport that keeps events in memory, each once; ``refuse`` says which it won't take."""

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result:
        arrived = msgspec.json.decode(encode_batch(events))
        new = {each["id"]: each for each in arrived if each["id"] not in self.events}
        self.events |= new
        self.batches.append(len(events))
        return Result(accepted=len(new), duplicates=len(events) - len(new), rejected=0)


@dataclass(frozen=True)
class Done:
    events: list[dict[str, Any]]
    said: str
    error: str

    def of(self, sender: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["sender"] == sender]

    def check_nothing_private(self) -> None:
        """Look for what the tests of each package write to columns that are private."""
        told = str(self.events)
        for secret in ("hunter2", "hunter3", "measles", "mumps", "t0ps3cret", "hidden draft", "do not tell"):
            assert secret not in told
        masked = ["[masked]", "[masked]"]
        _, update = self.of("store.Customer")
        assert update["data"]["changes"] == {"password": masked, "diagnosis": masked}
        assert {event["subject"] for event in self.of("store.Key")} == {"store.Key/[masked]"}
        assert "left out: 1, as store.Draft is excluded by the settings" in self.said


def fields_of_order(key: int, customer: int) -> dict[str, Any]:
    """Return what is told of a new order that has only its options and its customer."""
    return {
        "id": key,
        "number": "2026-1",
        "status": "new",
        "remark": None,
        "quantity": 1,
        "price": "9.90",
        "weight": 0.5,
        "paid": False,
        "placed_at": None,
        "due_on": None,
        "options": {"gift": True},
        "customer_id": customer,
    }


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    kept = Shelf()
    monkeypatch.setattr(outlet, "make_http_transport", lambda: kept)
    return kept


@pytest.fixture
def bring(shelf: Shelf) -> Callable[..., Done]:
    """Return a function that runs the command, and tells all that has arrived until then, in the order of ids."""

    def run(package: str, *arguments: str) -> Done:
        said, error = io.StringIO(), ""
        try:
            call_command("import_events", "--from", package, *arguments, stdout=said)
        except CommandError as failure:
            error = str(failure)
        return Done([shelf.events[each] for each in sorted(shelf.events)], said.getvalue(), error)

    return run


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Complete the tables with what migrations of pghistory would install."""
    with django_db_blocker.unblock():
        install()
