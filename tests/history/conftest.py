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
