"""``manage.py heliograph_spool``."""

import io
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from emitter.complaints import Complaints
from emitter.event import Event, encode, stamp, uuid7
from emitter.parking import ParkedFile, parked
from emitter.spool import Spool


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    with override_settings(HELIOGRAPH_SPOOL=str(tmp_path / "spool")):
        yield tmp_path / "spool"


@pytest.fixture
def spool(directory: Path) -> Iterator[Spool]:
    spool = a_spool(directory)
    yield spool
    spool.close(remove=False)


def a_spool(directory: Path) -> Spool:
    return Spool(directory, 10**6, emitter_id=uuid7(), complaints=Complaints())


def an_event(subject: str) -> Event:
    identity, time = stamp()
    event = Event(id=identity, time=time, source="/s", type="shop.signals.paid", subject=subject, sequence="1")
    event.data = msgspec.Raw(b"{}")
    return event


def said(what: str) -> str:
    output = io.StringIO()
    call_command("heliograph_spool", what, stdout=output)
    return output.getvalue()


def test_the_list_tells_who_has_what_and_what_was_refused(directory: Path, spool: Spool) -> None:
    spool.keep([an_event("shop.Order/1")])
    dead = a_spool(directory)
    dead.keep([an_event("shop.Order/2")] * 2)
    dead.close(remove=False)
    spool.park([parked(encode(an_event("shop.Order/3")), "too_old", "before the horizon")])

    first, second, third, last = said("list").splitlines()

    assert first.startswith(str(UUID(first.split()[0])))
    assert first.endswith("(running)")
    assert second.endswith("bytes wait  (ended: the next process sends it)")
    assert third.endswith("shop.signals.paid shop.Order/3  too_old: before the horizon")
    assert last == "1 events were refused."


def test_looking_does_not_disturb_a_running_process(directory: Path, spool: Spool) -> None:
    spool.keep([an_event("shop.Order/1")])

    said("list")

    assert a_spool(directory).orphan() is None


def test_requeued_events_are_sent_by_the_next_process(directory: Path, spool: Spool) -> None:
    event = an_event("shop.Order/3")
    spool.park([parked(encode(event), "failed", "no such key", 401)])

    assert said("requeue") == "1 events will be sent again, by the next process that captures something.\n"

    assert ParkedFile(directory).read() == []
    folder = spool.orphan()
    assert folder is not None
    assert [found.id for found in folder.read(9, 10**6)] == [event.id]
    folder.close()


def test_purged_events_are_gone(directory: Path, spool: Spool) -> None:
    spool.park([parked(encode(an_event("shop.Order/3")), "too_old")])

    assert said("purge") == "1 refused events were deleted.\n"
    assert said("list").splitlines()[-1] == "0 events were refused."


def test_a_directory_that_is_not_there_yet_is_no_fault(directory: Path) -> None:
    assert "does not exist" in said("list")


def test_without_a_spool_the_command_says_so() -> None:
    with pytest.raises(CommandError, match="HELIOGRAPH_SPOOL is not set"):
        said("list")
