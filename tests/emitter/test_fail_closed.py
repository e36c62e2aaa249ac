"""Models for which the project asked that nothing be saved unheard: the one exception to staying out of the way."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.db.models.signals import post_save
from django.test import override_settings

from emitter import payload, pipeline
from emitter.exceptions import CaptureError
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Author, Book, Genre
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True)


def fail(*args: Any, **kwargs: Any) -> Any:
    raise ZeroDivisionError


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    with override_settings(HELIOGRAPH_FAIL_CLOSED=["library.Auth*"]):
        yield


def test_a_save_that_cannot_be_captured_is_refused(facts: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "emit", fail)

    with (
        pytest.raises(CaptureError, match=r"of library.Author could not be captured") as caught,
        transaction.atomic(),
    ):
        Author.objects.create(name="Jane")

    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not Author.objects.exists()


def test_a_delete_that_cannot_be_captured_is_refused(facts: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    author = Author.objects.create(name="Jane")
    monkeypatch.setattr(payload, "deleted", fail)

    with pytest.raises(CaptureError):
        author.delete()

    assert Author.objects.exists()  # delete() is a transaction of its own


def test_a_bulk_call_that_cannot_be_captured_is_refused(facts: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    Author.objects.create(name="Jane")
    monkeypatch.setattr(pipeline, "emit", fail)

    with pytest.raises(CaptureError, match=r"update\(\) of library.Author"), transaction.atomic():
        Author.objects.update(name="Ada")

    assert Author.objects.get().name == "Jane"


def test_other_models_are_saved_unheard(
    facts: Arrived, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "emit", fail)

    Genre.objects.create(name="Novel")
    Genre.objects.update(name="Poem")

    assert Genre.objects.get().name == "Poem"


def test_while_all_goes_well_nothing_is_refused(facts: Arrived) -> None:
    author = Author.objects.create(name="Jane")
    author.name = "Ada"
    author.save()
    Author.objects.update(name="Jane")
    author.delete()

    assert [event.action for event in facts()] == ["created", "updated", "update", "deleted"]


def test_a_relation_that_cannot_be_captured_is_refused(facts: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    book, genre = Book.objects.create(title="Emma"), Genre.objects.create(name="Novel")
    with override_settings(HELIOGRAPH_FAIL_CLOSED=["library.Book"]):
        monkeypatch.setattr(pipeline, "emit", fail)

        with pytest.raises(CaptureError, match=r"m2m_changed of library.Book"), transaction.atomic():
            book.genres.add(genre)

    assert not book.genres.exists()


def test_only_what_is_written_is_refused(facts: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "emit", fail)

    assert book_lent.send(Author, instance=Author(name="Jane")) == []


def test_a_signal_sent_by_hand_need_not_have_all_arguments(facts: Arrived) -> None:
    author = Author.objects.create(name="Jane")
    author.name = "Ada"

    post_save.send(Author, instance=author, created=False)

    assert facts()[-1].data == {"changes": {"name": ["Jane", "Ada"]}, "diff_source": "saved"}
