"""How what is found is sent: again while the service is away, counted, and shown."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from emitter import outlet
from emitter.event import Event, Refusal, Result, stamp
from emitter.exceptions import PermanentError, TemporaryError
from emitter.history.progress import Progress
from emitter.history.sending import Count, Import
from emitter.history.told import LeftOut, Unreadable
from emitter.retry import Retry
from tests.history.conftest import Done
from tests.history.store.models import Tag

Bring = Callable[..., Done]
AT_ONCE = Retry(base=0.0, cap=0.0)


def event() -> Event:
    identity, time = stamp()
    return Event(id=identity, time=time, source="/tests", type="tests.event")


@dataclass
class Answers:
    """A transport that gives these answers, one a call; an error is raised, and None is for all taken."""

    given: list[Exception | Result | None]
    sent: list[list[Event]] = field(default_factory=list)

    def send(self, events: Sequence[Event]) -> Result:
        self.sent.append(list(events))
        answer = self.given.pop(0) if self.given else None
        if isinstance(answer, Exception):
            raise answer
        return answer or Result(accepted=len(events), duplicates=0, rejected=0)


def run(answers: Answers, patience: float = 60) -> Import:
    return Import(answers, batch_size=2, patience=patience, told=lambda count: None, retry=AT_ONCE)


def test_a_batch_that_did_not_arrive_is_sent_again_before_the_next() -> None:
    answers, events = Answers([TemporaryError("away"), TemporaryError("away"), None]), [event() for _ in range(5)]
    bringing = run(answers)

    bringing.bring(events)
    assert answers.sent == [events[:2]] * 3 + [events[2:4], events[4:]]
    assert bringing.count == Count(read=5, stored=5)


def test_a_service_that_stays_away_ends_it() -> None:
    answers = Answers([TemporaryError("away")] * 1_000_000)

    with pytest.raises(TemporaryError):
        run(answers, patience=0).bring(event() for _ in range(10))
    assert 1 <= len(answers.sent) <= 2


def test_what_is_refused_as_a_whole_ends_it() -> None:
    answers = Answers([PermanentError("no such key", status=401)] * 10)

    with pytest.raises(PermanentError):
        run(answers).bring(event() for _ in range(20))
    assert len(answers.sent) <= 2


def test_each_entry_counts_once() -> None:
    refused = Refusal(code="id_out_of_range", detail="too old", index=0)
    answers = Answers([
        Result(accepted=0, duplicates=1, rejected=1, errors=(refused,)),
        Result(accepted=1, duplicates=0, rejected=0, unencodable=1, unencodable_at=(1,)),
    ])  # fmt: skip
    bringing = run(answers)

    bringing.bring([event(), LeftOut("excluded"), event(), Unreadable("odd", "of no form"), event(), event()])
    count = bringing.count
    assert (count.read, count.stored, count.duplicates, count.decided) == (6, 1, 1, 6)
    assert count.left_out == {"excluded": 1}
    assert count.refused == {"id_out_of_range": 1, "odd": 1, "unencodable": 1}
    assert count.examples["id_out_of_range"] == "too old"


def test_only_as_much_is_read_as_is_under_way() -> None:
    taken = 0
    most = 0

    def found() -> Iterator[Event]:
        nonlocal taken, most
        for _ in range(1_000):
            taken += 1
            most = max(most, taken - sum(map(len, answers.sent)))
            yield event()

    answers = Answers([])
    run(answers).bring(found())
    assert most <= 6


@pytest.mark.django_db
def test_a_bar_is_for_terminals_only(bring: Bring) -> None:
    Tag.objects.create(name="red")

    assert "\r" not in bring("auditlog").said


def test_a_terminal_sees_a_bar_and_a_log_a_line_now_and_then() -> None:
    now = [0.0]
    for is_terminal, expected in ((True, "\r\033[K[######"), (False, "25 of 100 entries, 25%, ")):
        said: list[str] = []
        now[0] = 0.0
        progress = Progress(said.append, 100, is_terminal=is_terminal, clock=lambda: now[0])
        now[0] = 11.0
        progress.show(Count(stored=25))
        progress.show(Count(stored=26))
        assert len(said) == 1
        assert said[0].startswith(expected)


def test_a_package_that_is_not_installed_is_named(bring: Bring, settings: Any) -> None:
    settings.AUDITLOG_LOGENTRY_MODEL = "auditlog.Nothing"

    assert "django-auditlog isn't installed" in bring("auditlog").error


@pytest.mark.django_db
def test_a_table_that_is_not_there_is_named(bring: Bring, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditlog.models import LogEntry

    monkeypatch.setattr(LogEntry._meta, "db_table", "elsewhere")
    assert "has no table elsewhere. Run manage.py migrate" in bring("auditlog").error


def test_an_address_is_needed_to_send() -> None:
    assert outlet.conf.url == ""
    with pytest.raises(CommandError, match=r"See manage\.py check"):
        call_command("import_events", "--from", "auditlog", stdout=io.StringIO())


@pytest.mark.parametrize("option", ["--since=yesterday", "--until=2025-02-30", "--batch-size=1001", "--batch-size=0"])
def test_an_option_that_makes_no_sense_is_said(option: str) -> None:
    with pytest.raises(CommandError, match=option.partition("=")[0]):
        call_command("import_events", "--from", "auditlog", option, stdout=io.StringIO())
