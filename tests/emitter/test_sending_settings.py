"""What the settings make of the worker."""

import atexit
from pathlib import Path

import django
import msgspec
import pytest
from django.test import override_settings

from emitter import outlet
from emitter.event import Event, Result, stamp
from emitter.exceptions import TemporaryError
from emitter.worker import Worker
from tests.emitter.conftest import Shelf


class Told(Shelf):
    def __init__(self) -> None:
        super().__init__()
        self.reports: list[object] = []

    def report(self, telemetry: object, *, timeout: float | None = None) -> None:
        self.reports.append(telemetry)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(outlet, "make_transport", lambda: told)
    monkeypatch.setattr(atexit, "register", lambda _: None)
    return told


def put(worker: Worker, kind: str) -> None:
    identity, time = stamp()
    worker.put(Event(id=identity, time=time, source="/s", type=kind, data=msgspec.Raw(b'"' + b"x" * 1000 + b'"')))


@override_settings(
    HELIOGRAPH_QUEUE_BYTES=6_000, HELIOGRAPH_INTERVAL=3600, HELIOGRAPH_PRIORITIES={"shop.signals.dear": "high"}
)
def test_the_queue_is_bounded_by_bytes_and_keeps_what_is_dear(service: Told) -> None:
    worker = outlet.make_worker()
    for kind in ["shop.signals.dear", *["shop.signals.cheap"] * 9]:
        put(worker, kind)
    worker.close(5)

    types = [event.type for event in service.events]
    assert types[0] == "shop.signals.dear"
    assert 1 < len(types) < 10  # more than the queue holds where the thread takes some meanwhile
    assert worker.counts["queue_full"] == 10 - len(types)


@override_settings(HELIOGRAPH_INTERVAL=3600)
def test_what_cannot_be_sent_at_exit_is_in_the_spool(service: Told, tmp_path: Path) -> None:
    def away(*_: object, **__: object) -> Result:
        raise TemporaryError("away")

    service.send = away  # type: ignore[method-assign]
    with override_settings(HELIOGRAPH_SPOOL=str(tmp_path / "spool")):
        worker = outlet.make_worker()
        put(worker, "shop.signals.cheap")
        worker.close(5)

    assert len(list((tmp_path / "spool").glob("*/1.events"))) == 1
    assert not any(worker.counts.values())


def test_telemetry_tells_who_this_is_and_what_was_not_sent(service: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(outlet.counts, "no_op", 7)
    worker = outlet.make_worker()
    put(worker, "shop.signals.cheap")
    worker.close(5)

    (told,) = service.reports
    assert (told.source, told.captured, told.ended) == ("/tests", 1, True)  # type: ignore[attr-defined]
    assert told.unsent["no_op"] == 7  # type: ignore[attr-defined]
    assert told.versions["django"] == django.__version__  # type: ignore[attr-defined]


@override_settings(HELIOGRAPH_TELEMETRY_INTERVAL=0)
def test_telemetry_can_be_turned_off(service: Told) -> None:
    worker = outlet.make_worker()
    put(worker, "shop.signals.cheap")
    worker.close(5)

    assert service.reports == []
