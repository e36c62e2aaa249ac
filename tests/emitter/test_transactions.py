"""Events leave after the commit, and what was rolled back doesn't leave as a fact."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.test import TestCase, override_settings

from emitter import outlet, transactions
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Author, Book, Genre
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def titles(facts: Arrived) -> list[tuple[str, str | None]]:
    return [(event.data["fields"]["title"], event.outcome) for event in facts() if event.data]


def test_an_event_leaves_when_its_transaction_commits_and_not_before(facts: Arrived) -> None:
    with transaction.atomic():
        Book.objects.create(title="One")
        assert facts() == []

    assert titles(facts) == [("One", "committed")]


def test_without_a_transaction_an_event_leaves_at_once(facts: Arrived) -> None:
    Book.objects.create(title="One")

    assert titles(facts) == [("One", "autocommit")]


def test_a_rolled_back_transaction_tells_no_fact(facts: Arrived) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic():
        Book.objects.create(title="One")
        raise ArithmeticError

    assert facts() == []


def test_a_rolled_back_savepoint_takes_its_events_with_it_and_no_others(facts: Arrived) -> None:
    with transaction.atomic():
        Book.objects.create(title="kept")
        with pytest.raises(ArithmeticError), transaction.atomic():
            Book.objects.create(title="gone")
            raise ArithmeticError
        Book.objects.create(title="kept too")

    assert titles(facts) == [("kept", "committed"), ("kept too", "committed")]


def test_each_database_has_its_own_commit(facts: Arrived) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic(using="other"):
        Book.objects.using("other").create(title="gone")
        Book.objects.create(title="kept")
        raise ArithmeticError

    assert titles(facts) == [("kept", "autocommit")]


def test_a_custom_signal_waits_for_the_commit_too(facts: Arrived) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic():
        book_lent.send(None, title="gone")
        raise ArithmeticError
    with transaction.atomic():
        book_lent.send(None, title="kept")

    assert [event.data for event in facts()] == [{"title": "kept"}]


def test_what_a_commit_callback_saves_is_told_as_well(facts: Arrived) -> None:
    with transaction.atomic():
        Book.objects.create(title="One")
        transaction.on_commit(lambda: Book.objects.create(title="Two") and None)

    assert titles(facts) == [("One", "committed"), ("Two", "autocommit")]


def test_what_was_rolled_back_is_told_as_that_in_order(arrived: Arrived) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic():
        Book.objects.create(title="One")
        book_lent.send(None)
        raise ArithmeticError

    told = [(event.type.rpartition(".")[2], event.outcome) for event in arrived()]
    assert told == [("pre_save", "rolledback"), ("post_save", "rolledback"), ("book_lent", "rolledback")]


def test_a_connection_closed_in_a_transaction_has_rolled_it_back(arrived: Arrived) -> None:
    with transaction.atomic():
        Book.objects.create(title="One")
        connection.close()

    assert {event.outcome for event in arrived()} == {"rolledback"}


def test_a_commit_that_fails_is_a_rollback(arrived: Arrived) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Book.objects.create(title="One", author_id=4711)  # the constraint is checked at the commit

    assert {event.outcome for event in arrived()} == {"rolledback"}


def test_a_callback_that_raises_does_not_turn_a_commit_into_a_rollback(arrived: Arrived) -> None:
    def fail() -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError), transaction.atomic():
        transaction.on_commit(fail)
        Book.objects.create(title="One")

    assert {event.outcome for event in arrived()} == {"committed"}


def test_events_leave_in_the_order_they_happened_whatever_callbacks_do(facts: Arrived) -> None:
    with transaction.atomic():
        Book.objects.create(title="One")
        transaction.on_commit(lambda: Book.objects.create(title="Three") and None)
        Book.objects.create(title="Two")

    assert [title for title, _ in titles(facts)] == ["One", "Two", "Three"]


def test_a_test_case_can_run_the_callbacks_as_django_offers_it(arrived: Arrived) -> None:
    with transaction.atomic():
        with TestCase.captureOnCommitCallbacks(execute=True):
            Book.objects.create(title="One")
        assert [event.outcome for event in arrived()] == ["committed", "committed"]
        transaction.set_rollback(True)

    assert len(arrived()) == 2


@pytest.mark.parametrize(("name", "value"), [("KEY", ""), ("KEY", "two words"), ("URL", "ftp://example.com")])
def test_a_bad_configuration_costs_the_project_neither_its_commit_nor_its_callbacks(
    monkeypatch: pytest.MonkeyPatch, settings: Any, name: str, value: str
) -> None:
    outlet.work()  # for the last test's worker
    monkeypatch.setattr(outlet, "_worker", None)
    setattr(settings, f"HELIOGRAPH_{name}", value)
    ran = []

    with transaction.atomic():
        Book.objects.create(title="One")
        transaction.on_commit(lambda: ran.append("mine"))

    assert ran == ["mine"]
    assert Book.objects.count() == 1
    outlet.worker().close(timeout=5)
    assert outlet.worker().counts["failed_permanently"] == 2


def test_a_savepoint_made_by_hand_takes_its_events_with_it(arrived: Arrived) -> None:
    with transaction.atomic():
        Genre.objects.create(name="kept")
        first = connection.savepoint()
        Genre.objects.create(name="gone")
        second = connection.savepoint()
        Genre.objects.create(name="gone too")
        transaction.savepoint_commit(second)
        transaction.savepoint_rollback(first)
        Genre.objects.create(name="kept too")

    outcomes = {event.data["fields"]["name"]: event.outcome for event in arrived() if event.data and event.action}
    assert outcomes == {"gone": "rolledback", "gone too": "rolledback", "kept": "committed", "kept too": "committed"}
    assert set(Genre.objects.values_list("name", flat=True)) == {"kept", "kept too"}


def test_a_savepoint_from_before_the_first_event_of_a_connection_takes_it_along(arrived: Arrived) -> None:
    connection.close()
    connection.__dict__.pop("heliograph", None)
    with transaction.atomic():
        savepoint = connection.savepoint()
        Genre.objects.create(name="gone")
        transaction.savepoint_rollback(savepoint)

    assert {event.outcome for event in arrived()} == {"rolledback"}


def test_a_released_savepoint_is_decided_by_the_one_around(arrived: Arrived) -> None:
    with transaction.atomic():
        with pytest.raises(ArithmeticError), transaction.atomic():
            with transaction.atomic():
                Genre.objects.create(name="gone")
            raise ArithmeticError
        Genre.objects.create(name="kept")

    assert [event.outcome for event in arrived() if event.action] == ["rolledback", "committed"]


def test_a_block_without_a_savepoint_is_decided_by_the_one_around(arrived: Arrived) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic():
        with transaction.atomic(savepoint=False):
            Genre.objects.create(name="gone")
        raise ArithmeticError

    assert {event.outcome for event in arrived()} == {"rolledback"}


def test_a_durable_transaction_is_one_like_any(arrived: Arrived) -> None:
    with transaction.atomic(durable=True):
        Genre.objects.create(name="kept")

    assert {event.outcome for event in arrived() if event.action} == {"committed"}


def test_a_transaction_marked_for_rollback_is_rolled_back_without_an_error(arrived: Arrived) -> None:
    with transaction.atomic():
        Genre.objects.create(name="gone")
        transaction.set_rollback(True)

    assert {event.outcome for event in arrived()} == {"rolledback"}


@pytest.mark.parametrize(("end", "outcome"), [(transaction.commit, "committed"), (transaction.rollback, "rolledback")])
def test_without_autocommit_an_event_waits_for_the_projects_own_commit(
    arrived: Arrived, end: Callable[[], None], outcome: str
) -> None:
    transaction.set_autocommit(False)
    try:
        Genre.objects.create(name="waits")
        assert arrived() == []
        end()
        assert {event.outcome for event in arrived()} == {outcome}
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert Genre.objects.exists() is (outcome == "committed")


def test_two_databases_at_once_decide_each_for_themselves(arrived: Arrived) -> None:
    with transaction.atomic(using="other"):
        with pytest.raises(ArithmeticError), transaction.atomic():
            Genre.objects.create(name="here")
            Genre.objects.using("other").create(name="there")
            raise ArithmeticError
        Genre.objects.using("other").create(name="there too")

    outcomes = {event.data["fields"]["name"]: event.outcome for event in arrived() if event.data and event.action}
    assert outcomes == {"here": "rolledback", "there": "committed", "there too": "committed"}


def test_a_transaction_tells_each_event_once(arrived: Arrived) -> None:
    for _ in range(3):
        with transaction.atomic():
            Genre.objects.create(name="one")
    with transaction.atomic():
        pass

    told = arrived()
    assert len({event.id for event in told}) == len(told) == 6
    assert [int(event.sequence or 0) for event in told] == list(range(1, 7))


def test_a_callback_that_saves_and_leaves_more_to_a_commit_tells_all(facts: Arrived) -> None:
    def later() -> None:
        with transaction.atomic():
            Genre.objects.create(name="two")
            transaction.on_commit(lambda: Genre.objects.create(name="three") and None)

    with transaction.atomic():
        Genre.objects.create(name="one")
        transaction.on_commit(later)

    assert [(event.data["fields"]["name"], event.outcome) for event in facts() if event.data] == [
        ("one", "committed"), ("two", "committed"), ("three", "autocommit"),
    ]  # fmt: skip


def test_what_a_savepoint_took_back_leaves_in_its_place(arrived: Arrived) -> None:
    with transaction.atomic():
        Genre.objects.create(name="1")
        with pytest.raises(LookupError), transaction.atomic():
            Genre.objects.create(name="2")
            raise LookupError
        held = len(arrived())
        Genre.objects.create(name="3")

    told = [event for event in arrived() if event.action]
    assert held == 0
    assert [(event.data["fields"]["name"], event.outcome) for event in told] == [
        ("1", "committed"), ("2", "rolledback"), ("3", "committed"),
    ]  # fmt: skip


def test_what_is_read_after_a_savepoint_was_rolled_back_is_believed(facts: Arrived) -> None:
    genre = Genre.objects.create(name="A")
    with transaction.atomic():
        with pytest.raises(LookupError), transaction.atomic():
            Author.objects.create(name="gone")
            raise LookupError
        read = Genre.objects.get(pk=genre.pk)
    read.name = "B"
    read.save()

    assert facts()[-1].data == {"changes": {"name": ["A", "B"]}, "diff_source": "loaded"}


def test_a_save_that_is_not_held_any_more_is_not_believed_once_rolled_back(
    facts: Arrived, monkeypatch: pytest.MonkeyPatch
) -> None:
    genre = Genre.objects.create(name="A")
    monkeypatch.setattr(transactions, "LIMIT", 1)
    with transaction.atomic():
        Author.objects.create(name="held")
        with pytest.raises(LookupError), transaction.atomic():
            genre.name = "B"
            genre.save()
            raise LookupError
    genre.save()

    assert facts()[-1].data == {"changes": {"name": ["A", "B"]}, "diff_source": "saved"}


def test_savepoints_that_have_ended_are_forgotten() -> None:
    with transaction.atomic():
        Genre.objects.create(name="1")
        for _ in range(50):
            with transaction.atomic():
                pass

        assert len(transactions.ledger(connections["default"]).savepoints) < 5


def test_what_was_known_before_is_known_again_after_a_refresh_was_rolled_back(facts: Arrived) -> None:
    genre = Genre.objects.create(name="A")
    with pytest.raises(LookupError), transaction.atomic():
        Author.objects.create(name="gone")
        genre.refresh_from_db()
        raise LookupError
    told = len(facts())
    genre.save()

    assert len(facts()) == told


def test_a_connection_may_be_mocked_as_without_us() -> None:
    with transaction.atomic():
        Genre.objects.create(name="1")
        with patch("django.db.backends.base.base.BaseDatabaseWrapper.on_commit") as on_commit:
            transaction.on_commit(print)

    on_commit.assert_called_once()


def test_what_callbacks_have_let_go_takes_no_room(arrived: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "LIMIT", 3)
    before = outlet.counts["transaction_full"]
    with transaction.atomic():
        for number in range(6):
            with TestCase.captureOnCommitCallbacks(execute=True):
                Genre.objects.create(name=str(number))

    assert outlet.counts["transaction_full"] == before
    assert len([event for event in arrived() if event.action]) == 6


def test_what_is_decided_after_capturing_was_switched_off_is_not_sent(arrived: Arrived) -> None:
    block = transaction.atomic()
    block.__enter__()
    Genre.objects.create(name="1")
    with override_settings(HELIOGRAPH_URL=""):
        block.__exit__(LookupError, LookupError(), None)

    assert arrived() == []
