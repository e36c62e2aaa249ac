"""The service is told of a process whose events are rows, too."""

import os
from typing import Any

import pytest

from emitter import outbox, outlet, privacy
from emitter.event import Telemetry
from tests.live import eventually
from tests.outbox.conftest import Service
from tests.outbox.test_transactions import create

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class Told(Service):
    def __init__(self) -> None:
        super().__init__()
        self.reports: list[Telemetry] = []

    def report(self, telemetry: Telemetry, *, timeout: float | None = None) -> None:
        self.reports.append(telemetry)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Told:
    told = Told()
    settings.HELIOGRAPH_TELEMETRY_INTERVAL = 0.05
    monkeypatch.setattr(outlet, "make_transport", lambda: told)
    monkeypatch.setattr(outlet.ends, "before", lambda _: None)
    monkeypatch.setattr(outlet, "_worker", None)
    return told


def test_a_process_that_only_writes_rows_tells_of_them(using: str, told: Told) -> None:
    for name in ("one", "two", "three"):
        create(using, name)

    eventually(lambda: any(each.unsent.get("outbox") == 3 for each in told.reports))
    latest = told.reports[-1]
    assert (latest.delivery, latest.captured) == ("outbox", 0)
    assert latest.emitterid == outlet.worker().emitter_id
    outlet.worker().close(5)


def test_where_uwsgi_is_going_to_fork_no_thread_starts_and_the_row_is_there(
    using: str, told: Told, settings: Any, monkeypatch: pytest.MonkeyPatch, waiting: Any
) -> None:
    settings.HELIOGRAPH_RELAY = "thread"
    monkeypatch.setattr(outlet.ends, "is_before_forks_of_uwsgi", lambda: True)
    started: list[object] = []
    monkeypatch.setattr("threading.Thread.start", started.append)

    create(using, "one")

    assert started == []
    assert len(waiting()) == 1


def test_a_forked_child_counts_anew() -> None:
    outbox.counts["outbox"] = privacy.counts["masked"] = outlet.counts["no_op"] = 7

    child = os.fork()
    if child == 0:
        counted = outlet.unnumbered_counts()
        os._exit(sum(counted.values()))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
