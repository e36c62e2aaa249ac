"""What is in the outbox is what the database has committed, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.test import Client, TestCase, override_settings
from django.test.utils import CaptureQueriesContext

from emitter import outlet, transactions
from emitter.event import Event
from emitter.testing import captured_events
from tests.outbox.store.models import Box, Item
from tests.outbox.store.signals import sold

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Events = Callable[[], list[Event]]


def create(using: str, name: str) -> Item:
    return Item.objects.using(using).create(name=name)


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.data["fields"]["name"], event.outcome) for event in events if "fields" in event.data]


def test_events_are_committed_with_their_transaction_and_not_before(using: str, waiting: Events) -> None:
    with transaction.atomic(using=using):
        create(using, "one")
        create(using, "two")
        assert waiting() == []

    assert told(waiting()) == [("one", "committed"), ("two", "committed")]


def test_they_leave_by_no_other_way(using: str, waiting: Events, memory: Events) -> None:
    with transaction.atomic(using=using):
        create(using, "one")
    create(using, "two")

    assert len(waiting()) == 2
    assert memory() == []


def test_they_have_no_number_since_none_gets_lost(using: str, waiting: Events) -> None:
    with transaction.atomic(using=using):
        create(using, "one")

    (event,) = waiting()
    assert (event.emitterid, event.sequence) == (outlet.worker().emitter_id, None)


def test_a_rolled_back_transaction_leaves_no_row(using: str, waiting: Events, memory: Events) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic(using=using):
        create(using, "gone")
        raise ArithmeticError

    assert waiting() == []
    assert told(memory()) == [("gone", "rolledback")]


def test_a_rolled_back_savepoint_is_told_as_that_in_its_place(using: str, waiting: Events, memory: Events) -> None:
    with transaction.atomic(using=using):
        create(using, "kept")
        with pytest.raises(ArithmeticError), transaction.atomic(using=using):
            create(using, "gone")
            raise ArithmeticError
        create(using, "kept too")

    assert told(waiting()) == [("kept", "committed"), ("gone", "rolledback"), ("kept too", "committed")]
    assert memory() == []


def test_a_transaction_adds_one_statement(using: str, waiting: Events) -> None:
    with transaction.atomic(using=using):
        create(using, "connected")
    with CaptureQueriesContext(connections[using]) as captured, transaction.atomic(using=using):
        for number in range(50):
            create(using, str(number))

    ours = [each["sql"] for each in captured if "outbox" in each["sql"]]
    assert len(ours) == 1
    assert len(waiting()) == 51


def test_on_commit_callbacks_run_after_and_see_the_row(using: str, waiting: Events) -> None:
    seen: list[int] = []

    with transaction.atomic(using=using):
        transaction.on_commit(lambda: seen.append(len(waiting())), using=using)
        create(using, "one")

    assert seen == [1]


def test_a_durable_transaction_is_one_like_any(using: str, waiting: Events) -> None:
    with transaction.atomic(using=using, durable=True):
        create(using, "one")

    assert told(waiting()) == [("one", "committed")]


def test_a_transaction_marked_for_rollback_leaves_nothing(using: str, waiting: Events) -> None:
    with transaction.atomic(using=using):
        create(using, "gone")
        transaction.set_rollback(True, using=using)

    assert waiting() == []


@pytest.mark.parametrize(("end", "left"), [("commit", ["one"]), ("rollback", [])])
def test_a_commit_by_hand_is_one_too(using: str, waiting: Events, end: str, left: list[str]) -> None:
    transaction.set_autocommit(False, using=using)
    try:
        create(using, "one")
        getattr(transaction, end)(using=using)
        assert [name for name, _ in told(waiting())] == left
    finally:
        transaction.rollback(using=using)
        transaction.set_autocommit(True, using=using)


def test_switching_autocommit_on_commits_where_it_is_allowed(using: str, waiting: Events) -> None:
    transaction.set_autocommit(False, using=using)
    create(using, "one")

    if connections[using].vendor == "postgresql":
        with pytest.raises(DatabaseError):
            transaction.set_autocommit(True, using=using)
        assert waiting() == []
        transaction.commit(using=using)
    transaction.set_autocommit(True, using=using)

    assert told(waiting()) == [("one", "committed")]


def test_a_commit_that_fails_leaves_nothing(using: str, waiting: Events, memory: Events) -> None:
    if connections[using].vendor == "mysql":
        pytest.skip("MariaDB checks no constraint at the commit")
    with pytest.raises(IntegrityError), transaction.atomic(using=using):
        Box.objects.using(using).create(name="gone", inside_id=4711)

    assert waiting() == []
    assert told(memory()) == [("gone", "rolledback")]


def test_in_autocommit_the_row_follows_in_a_transaction_of_its_own(using: str, waiting: Events) -> None:
    create(using, "one")

    assert told(waiting()) == [("one", "autocommit")]


def test_a_custom_signal_goes_with_its_transaction(using: str, waiting: Events) -> None:
    with transaction.atomic(using=using):
        sold.send(None, using=using)
        assert waiting() == []

    assert [(event.type, event.outcome) for event in waiting()] == [("tests.outbox.store.signals.sold", "committed")]


def test_each_database_has_its_own_outbox() -> None:
    from tests.outbox import ask

    with transaction.atomic(), transaction.atomic(using="sqlite"):
        create("default", "here")
        create("sqlite", "there")

    assert told(ask.events("default")) == [("here", "committed")]
    assert told(ask.events("sqlite")) == [("there", "committed")]


def test_what_no_database_is_about_leaves_from_memory(memory: Events, waiting: Events) -> None:
    Client().get("/", {"name": "one"})

    assert {event.type for event in memory()} == {
        "django.core.signals.request_started",
        "django.core.signals.request_finished",
    }


@pytest.mark.parametrize("fails", [False, True])
def test_a_request_that_is_a_transaction_is_one(settings: Any, fails: bool) -> None:
    from tests.outbox import ask

    settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
    try:
        Client(raise_request_exception=False).get("/", {"name": "one"} | ({"fail": "1"} if fails else {}))
    finally:
        settings.DATABASES["default"]["ATOMIC_REQUESTS"] = False

    assert told(ask.events("default")) == ([] if fails else [("one", "committed")])
    assert Item.objects.exists() is not fails


def test_a_large_transaction_is_written_in_parts_that_a_server_takes(using: str, waiting: Events) -> None:
    with transaction.atomic(using=using):
        for number in range(2100):
            sold.send(None, using=using, number=number, text="x" * 600)

    assert [event.data["number"] for event in waiting()] == list(range(2100))


def test_what_memory_has_no_room_for_goes_into_the_outbox_at_once(
    using: str, waiting: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "LIMIT", 3)
    before = outlet.counts["transaction_full"]
    with transaction.atomic(using=using):
        for number in range(5):
            create(using, str(number))
        with pytest.raises(LookupError), transaction.atomic(using=using):
            create(using, "gone")
            raise LookupError
        assert waiting() == []

    assert sorted(told(waiting())) == [(str(number), "committed") for number in range(5)]
    assert outlet.counts["transaction_full"] == before


@pytest.mark.parametrize("text", ["ü", "日本語 🌻", 'a "b" \\ \n', "\0", "\u2028%s %(x)s {}"])
def test_every_text_comes_back_as_it_was(using: str, waiting: Events, text: str) -> None:
    with transaction.atomic(using=using):
        sold.send(None, using=using, text=text)

    assert waiting()[0].data["text"] == text.replace("\0", "\ufffd")


def test_a_large_event_is_stored_whole(using: str, waiting: Events) -> None:
    texts = [f"{number}" + "x" * 9_000 for number in range(20)]
    with transaction.atomic(using=using):
        sold.send(None, using=using, texts=texts)

    assert waiting()[0].data["texts"] == texts


def test_a_test_case_sees_its_events_by_djangos_own_means(using: str, waiting: Events, memory: Events) -> None:
    with transaction.atomic(using=using):
        with TestCase.captureOnCommitCallbacks(using=using, execute=True):
            create(using, "one")
        assert told(memory()) == [("one", "committed")]
        transaction.set_rollback(True, using=using)

    assert waiting() == []
    assert len(memory()) == 1


def test_captured_events_collects_them_in_place_of_the_outbox(using: str, waiting: Events) -> None:
    with captured_events() as events:
        create(using, "one")
        with transaction.atomic(using=using):
            create(using, "two")

    assert told(events) == [("one", "autocommit"), ("two", "committed")]
    assert waiting() == []


def test_the_row_is_no_event_itself(using: str, waiting: Events, memory: Events) -> None:
    with override_settings(HELIOGRAPH_MODELS=["*"]), transaction.atomic(using=using):
        create(using, "one")

    assert len(waiting()) == 1
    assert memory() == []


def test_a_transaction_that_tells_nothing_adds_nothing(using: str, waiting: Events) -> None:
    create(using, "one")
    with CaptureQueriesContext(connections[using]) as captured, transaction.atomic(using=using):
        Item.objects.using(using).get(name="one").save()

    assert [each["sql"] for each in captured if "outbox" in each["sql"]] == []
