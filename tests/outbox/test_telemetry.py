"""The service is told of a process whose events are rows, too."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from emitter import outbox, outlet, privacy
from emitter.event import Refusal, Telemetry
from emitter.worker import Worker
from tests.live import eventually
from tests.outbox import process
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


def test_a_relay_tells_of_its_dead_letters(
    using: str, told: Told, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    create(using, "one")
    create(using, "two")
    refused = str(waiting()[0].id)
    told.refused[refused] = Refusal(id=refused, code="too_old")
    outbox.counts.clear()  # as another process wrote them

    call_command("heliograph_relay", once=True, database=using)

    eventually(lambda: any(each.unsent.get("dead_letters") == 1 for each in told.reports))
    outlet.worker().close(5)


WRITES_A_ROW = """
import sys
from tests.outbox.store.models import Item
Item.objects.create(name="one")
print("written", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_wrote_as_rows_is_told_by_the_next(told: Told, tmp_path: Path) -> None:
    killed = process.start("shell", "-c", WRITES_A_ROW, OUTBOX_SPOOL=str(tmp_path))
    try:
        found = eventually(lambda: [path for path in tmp_path.glob("*/counters") if '"outbox":1' in path.read_text()])
    finally:
        killed.kill()
        killed.communicate()
    emitter_id = found[0].parent.name
    assert json.loads(found[0].read_text())["telemetry"]["captured"] == 0

    worker = Worker(told, spool=tmp_path, interval=0.01)
    worker.start()

    (report,) = eventually(lambda: [each for each in told.reports if str(each.emitterid) == emitter_id])
    assert (report.unsent["outbox"], report.ended) == (1, True)
    worker.close(5)
