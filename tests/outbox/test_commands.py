"""What an operator does with an outbox."""

import signal
import subprocess
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import override_settings

from emitter import outlet
from emitter.event import Event, Refusal
from emitter.exceptions import TemporaryError
from emitter.models import DeadLetter, Waiting
from emitter.relay import Relay
from tests.outbox.conftest import Service
from tests.outbox.store.models import Item
from tests.outbox.test_failures import without_table
from tests.outbox.test_transactions import create

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Events = Callable[[], list[Event]]


def run(name: str, *arguments: Any, **options: Any) -> str:
    output = StringIO()
    call_command(name, *arguments, stdout=output, **options)
    return output.getvalue()


@pytest.fixture
def letters(using: str, service: Service, waiting: Events) -> list[str]:
    """Have three events refused, and return their ids."""
    with transaction.atomic(using=using):
        for name in ("a", "b", "c"):
            create(using, name)
    ids = [str(event.id) for event in waiting()]
    codes = ("too_old", "too_old", "too_large")
    service.refused = {each: Refusal(id=each, code=code, detail="why") for each, code in zip(ids, codes, strict=True)}
    assert Relay(using, service).drain()
    return ids


def test_it_counts(using: str, letters: list[str]) -> None:
    create(using, "one")

    lines = dict(line.split("\t") for line in run("heliograph_outbox", database=using).splitlines())

    assert (lines["waiting"], lines["leased"], lines["retried"], lines["dead"]) == ("1", "0", "0", "3")
    assert lines["oldest"].startswith("0:00:0")


def test_it_tells_what_fails_and_how_often_it_was_tried(using: str, waiting: Events) -> None:
    for name in ("one", "two", "three"):
        create(using, name)
    ids = [str(event.id) for event in waiting()]
    for number, (key,) in enumerate(Waiting.objects.using(using).order_by("pk").values_list("pk")):
        Waiting.objects.using(using).filter(pk=key).update(attempts=number * 7)

    lines = [line.split("\t") for line in run("heliograph_outbox", "failing", database=using).splitlines()]

    assert [(tried, what.split()[0]) for _, _, tried, what in lines] == [("14", ids[2]), ("7", ids[1])]
    assert "attempts\t14" in run("heliograph_outbox", database=using)


def test_an_empty_one_is_told_as_that(using: str) -> None:
    assert "oldest\t-" in run("heliograph_outbox", database=using)


def test_it_lists_dead_letters_with_their_reason(using: str, letters: list[str]) -> None:
    lines = [line.split("\t") for line in run("heliograph_outbox", "dead", database=using).splitlines()]

    assert [(code, what.split()[0], why) for _, _, code, what, why in lines] == [
        ("too_old", letters[0], "why"), ("too_old", letters[1], "why"), ("too_large", letters[2], "why"),
    ]  # fmt: skip
    assert "store.Item/" in lines[0][3]


def test_it_sends_dead_letters_again(using: str, letters: list[str], service: Service, waiting: Events) -> None:
    assert run("heliograph_outbox", "requeue", code="too_old", database=using) == "2 requeued\n"

    assert [str(event.id) for event in waiting()] == letters[:2]
    assert DeadLetter.objects.using(using).count() == 1
    service.refused.clear()
    assert Relay(using, service).drain()
    assert list(service.events) == letters[:2]


def test_it_deletes_dead_letters(using: str, letters: list[str], waiting: Events) -> None:
    keys = list(DeadLetter.objects.using(using).order_by("pk").values_list("pk", flat=True))

    assert run("heliograph_outbox", "delete", keys[1], database=using) == "1 deleted\n"
    assert run("heliograph_outbox", "delete", all=True, database=using) == "2 deleted\n"
    assert waiting() == []


@pytest.mark.parametrize("action", ["requeue", "delete"])
def test_which_ones_has_to_be_said(using: str, letters: list[str], action: str) -> None:
    with pytest.raises(CommandError, match="--all"):
        run("heliograph_outbox", action, database=using)

    assert DeadLetter.objects.using(using).count() == 3


@pytest.mark.parametrize("name", ["heliograph_outbox", "heliograph_relay"])
def test_without_the_table_it_says_what_to_do(using: str, name: str) -> None:
    with without_table(using), pytest.raises(CommandError, match=f"migrate heliograph --database={using}"):
        run(name, database=using)


def test_once_ends_when_all_is_sent(
    using: str, service: Service, waiting: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "make_transport", lambda: service)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    create(using, "one")

    run("heliograph_relay", once=True, database=using)

    assert (len(service.events), waiting()) == (1, [])


def test_once_in_vain_is_an_error(
    using: str, service: Service, waiting: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Any) -> None:
        raise TemporaryError("nobody there")

    service.before = away
    monkeypatch.setattr(outlet, "make_transport", lambda: service)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    create(using, "one")

    with pytest.raises(CommandError, match="waits"):
        run("heliograph_relay", once=True, database=using)

    assert len(waiting()) == 1


@pytest.mark.parametrize("settings", [{"HELIOGRAPH_URL": ""}, {"HELIOGRAPH_KEY": "two words"}])
def test_a_configuration_that_cannot_send_ends_it_at_once(settings: dict[str, str]) -> None:
    with override_settings(**settings), pytest.raises(CommandError, match=r"manage\.py check"):
        run("heliograph_relay")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0(number: int, processes: Callable[..., Any]) -> None:
    create("default", "one")
    process = processes("heliograph_relay")
    assert "wait in the outbox" in process.stderr.readline(), "its log, once it has tried"

    process.send_signal(number)

    assert process.wait(30) == 0
    assert Waiting.objects.get().lease is None


@pytest.fixture
def processes() -> Any:
    """Return what starts a management command in a process of its own, on the test's databases."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        from tests.outbox import process

        started.append(process.start(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def test_what_waits_is_told_by_the_counts_of_this_process(using: str, service: Service) -> None:
    before = outlet.report()
    create(using, "one")
    Relay(using, service).drain()

    assert outlet.report()["outbox"] == before.get("outbox", 0) + 1
    assert Item.objects.using(using).count() == 1
