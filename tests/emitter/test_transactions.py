"""Events leave after the commit, and what was rolled back doesn't leave as a fact."""

import pytest
from django.db import transaction

from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Book
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


def test_sequence_numbers_are_given_when_events_leave_so_that_a_rollback_leaves_no_gap(facts: Arrived) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic():
        Book.objects.create(title="gone")
        raise ArithmeticError
    book_lent.send(None)
    book_lent.send(None)

    assert [event.sequence for event in facts()] == ["1", "2"]
