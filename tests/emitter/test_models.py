"""What saving, deleting and relating objects tells."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db.models.signals import post_save

from emitter import pipeline
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Author, Book, Card, Genre, Novel

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_created_object_is_told_with_all_its_fields_typed(facts: Arrived) -> None:
    author = Author.objects.create(name="Ada")
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)

    book = Book.objects.create(
        title="Notes", author=author, price=Decimal("12.50"), details={"pages": [1, None]}, bought_at=moment
    )

    event = facts()[-1]
    assert event.type == "django.db.models.signals.post_save"
    assert (event.sender, event.subject, event.action) == ("library.Book", f"library.Book/{book.pk}", "created")
    assert event.data == {
        "fields": {
            "id": book.pk,
            "title": "Notes",
            "author_id": author.pk,
            "price": "12.50",
            "details": {"pages": [1, None]},
            "bought_at": "2026-01-02T03:04:05.000678Z",
            "lender_id": None,
        }
    }


def test_an_update_tells_which_fields_were_asked_to_be_saved(facts: Arrived) -> None:
    book = Book.objects.create(title="Notes")

    book.title = "More notes"
    book.save(update_fields=["title"])

    event = facts()[-1]
    assert event.action == "updated"
    assert event.data == {
        "changes": {"title": ["Notes", "More notes"]},
        "diff_source": "saved",
        "update_fields": ["title"],
    }


def test_a_deleted_object_is_told_with_its_key_and_fields(facts: Arrived) -> None:
    book = Book.objects.create(title="Notes")
    key = book.pk

    book.delete()

    event = facts()[-1]
    assert (event.type, event.action) == ("django.db.models.signals.post_delete", "deleted")
    assert event.subject == f"library.Book/{key}"
    assert event.data is not None
    assert event.data["fields"]["title"] == "Notes"


def test_a_cascade_tells_of_each_object(facts: Arrived) -> None:
    author = Author.objects.create(name="Ada")
    books = [Book.objects.create(title=title, author=author) for title in ("One", "Two")]
    gone = {f"library.Author/{author.pk}", *(f"library.Book/{book.pk}" for book in books)}

    author.delete()

    assert {event.subject for event in facts() if event.action == "deleted"} == gone


def test_what_is_about_to_happen_is_told_before_what_happened_and_claims_no_outcome(arrived: Arrived) -> None:
    Book.objects.create(title="Notes").delete()

    told = [(event.type.rpartition(".")[2], event.outcome) for event in arrived()]
    assert told == [
        ("pre_save", None),
        ("post_save", "autocommit"),
        ("pre_delete", "committed"),  # delete() runs in a transaction of its own
        ("post_delete", "committed"),
    ]


def test_a_proxy_is_told_as_the_model_it_stands_for(facts: Arrived) -> None:
    novel = Novel.objects.create(title="Emma")

    assert (facts()[-1].sender, facts()[-1].subject) == ("library.Book", f"library.Book/{novel.pk}")


def test_a_key_that_is_no_number_is_told_as_text(facts: Arrived) -> None:
    card = Card.objects.create(pin="1234")

    assert facts()[-1].subject == f"library.Card/{card.pk}"
    assert isinstance(card.pk, uuid.UUID)


def test_secrets_are_masked_and_look_alikes_are_not(facts: Arrived) -> None:
    Card.objects.create(pin="1234", api_token="hunter2", author_name="Ada")

    event = facts()[-1]
    assert event.data is not None
    assert event.data["fields"]["pin"] == "[masked]"
    assert event.data["fields"]["api_token"] == "[masked]"
    assert event.data["fields"]["author_name"] == "Ada"


def test_a_deferred_field_is_left_out_and_costs_no_query(facts: Arrived, django_assert_num_queries) -> None:
    Book.objects.create(title="Notes")
    book = Book.objects.defer("details").get()
    book.title = "More notes"

    with django_assert_num_queries(1):
        book.save(update_fields=["title"])

    event = facts()[-1]
    assert event.data is not None
    assert event.data["changes"] == {"title": ["Notes", "More notes"]}


def test_capturing_adds_no_query(facts: Arrived, django_assert_num_queries) -> None:
    genre = Genre.objects.create(name="Novel")
    with django_assert_num_queries(1):
        book = Book.objects.create(title="Notes")
    book.title = "More notes"
    with django_assert_num_queries(1):
        book.save(force_update=True)
    with django_assert_num_queries(4):  # begin, which are there already, insert, commit
        book.genres.add(genre)

    assert len(facts()) == 4


@pytest.mark.parametrize("reverse", [False, True])
def test_adding_and_removing_relations_tells_the_keys(facts: Arrived, reverse: bool) -> None:
    book, genre = Book.objects.create(title="Notes"), Genre.objects.create(name="Novel")
    here, there, related = (genre, book, genre.books) if reverse else (book, genre, book.genres)

    related.add(there)
    related.remove(there)
    related.add(there)
    related.clear()

    told = [event for event in facts() if event.type.endswith("m2m_changed")]
    assert [event.action for event in told] == ["added", "removed", "added", "cleared"]
    assert {event.subject for event in told} == {f"{here._meta.label}/{here.pk}"}
    shared = {"field": "library.Book.genres", "model": there._meta.label, "pks": [there.pk], "reverse": reverse}
    assert told[0].data == {**shared, "op": "add"}
    assert told[3].data == {**shared, "op": "clear"}


def test_adding_what_is_there_tells_nothing(facts: Arrived) -> None:
    book, genre = Book.objects.create(title="Notes"), Genre.objects.create(name="Novel")
    book.genres.add(genre)
    before = len(facts())

    book.genres.add(genre)

    assert len(facts()) == before


def test_djangos_own_bookkeeping_is_not_captured(facts: Arrived, client) -> None:
    client.session.save()

    assert [event for event in facts() if event.sender and event.sender.startswith("sessions")] == []


def test_a_fault_of_ours_never_reaches_the_project(
    facts: Arrived, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "emit", lambda *args, **kwargs: 1 / 0)

    book = Book.objects.create(title="Notes")

    assert book.pk is not None
    assert "ZeroDivisionError" in caplog.text


def test_a_receiver_of_the_project_raises_as_before(facts: Arrived) -> None:
    def refuse(**kwargs: object) -> None:
        raise PermissionError("not this one")

    post_save.connect(refuse, sender=Book)
    try:
        with pytest.raises(PermissionError, match="not this one"):
            Book.objects.create(title="Notes")
    finally:
        post_save.disconnect(refuse, sender=Book)
