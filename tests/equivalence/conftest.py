"""The cast, and the table that is shown at the end."""

from collections.abc import Callable, Iterator
from importlib import import_module

import pytest

from emitter import outlet
from emitter.worker import Worker
from tests.equivalence import tally
from tests.equivalence.world import Cast, Shelf


@pytest.fixture
def cast(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Cast]]:
    """Return a function that gives an app's models a worker of their own, whose transport keeps what it is given."""
    shelf = Shelf()
    worker = Worker(shelf, interval=60, gather=outlet.work)
    monkeypatch.setattr(outlet, "_worker", worker)
    yield lambda app, *, stale: Cast(
        import_module(f"tests.equivalence.{app}.models"), stale, worker, shelf, caplog.records
    )
    worker.close(timeout=1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.performed:
        terminalreporter.section("the change log and the database")
        terminalreporter.write_line("\n".join(tally.lines()))
