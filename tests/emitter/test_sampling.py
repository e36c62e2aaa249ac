"""``HELIOGRAPH_SAMPLE`` leaves out a part of what is no change, and says how much."""

import pytest
from django.test import override_settings

from emitter import outlet, privacy
from emitter.retry import by_chance
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Book, Vault
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "counts", type(outlet.counts)())
    monkeypatch.setattr(privacy, "counts", type(privacy.counts)())


def lent(arrived: Arrived, number: int) -> int:
    for _ in range(number):
        book_lent.send(None, days=3)
    return sum(event.type.endswith(".book_lent") for event in arrived())


@override_settings(HELIOGRAPH_SAMPLE={"*.book_lent": 0.25})
def test_a_fraction_is_told_and_the_rest_counted(arrived: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_chance, "random", iter([0.0, 0.24, 0.25, 0.99]).__next__)

    assert lent(arrived, 4) == 2
    assert outlet.report()["thinned"] == 2


@override_settings(HELIOGRAPH_SAMPLE={"*.book_lent": 1, "*": 0})
def test_the_first_pattern_that_matches_counts(arrived: Arrived) -> None:
    assert lent(arrived, 3) == 3


@override_settings(HELIOGRAPH_SAMPLE={"*": 0.0})
def test_no_change_of_a_model_is_ever_left_out(arrived: Arrived) -> None:
    book = Book.objects.create(title="Emma")
    book.title = "Persuasion"
    book.save()
    Book.objects.filter(pk=book.pk).update(title="Emma")
    book.delete()

    assert [event.action for event in arrived() if event.action] == ["created", "updated", "update", "deleted"]
    assert lent(arrived, 3) == 0


@override_settings(HELIOGRAPH_SAMPLE={"*.book_lent": 0.0})
def test_what_a_left_out_event_caused_names_no_cause_that_never_comes(arrived: Arrived) -> None:
    def make(**_: object) -> None:
        Book.objects.create(title="Emma")

    book_lent.connect(make)
    try:
        book_lent.send(None)
    finally:
        book_lent.disconnect(make)

    (made,) = [event for event in arrived() if event.action == "created"]
    assert made.causationid is None or made.causationid in {event.id for event in arrived()}


def test_masked_values_are_counted(arrived: Arrived) -> None:
    Vault.objects.create(password="one")

    arrived()

    assert outlet.report()["masked"] >= 1
    assert outlet.unnumbered_counts()["masked"] == outlet.report()["masked"]
