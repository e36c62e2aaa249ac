"""Models of every kind: proxies, children, swapped, through, unmanaged, deferred, and those that override Django."""

import copy
import pickle
from typing import Any

import pytest
from django.apps import apps

from emitter import selection
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import (
    Audiobook,
    Author,
    Book,
    Card,
    Genre,
    Member,
    Note,
    Novel,
    Placement,
    Seat,
    Shelf,
    Writer,
)

pytestmark = pytest.mark.django_db(transaction=True)


def told(facts: Arrived, *members: str) -> list[Any]:
    return [tuple(getattr(event, member) for member in members) for event in facts()]


def test_a_proxy_is_the_object_it_stands_for_in_all_it_does(facts: Arrived) -> None:
    novel = Novel.objects.create(title="Emma")
    subject = f"library.Book/{novel.pk}"
    novel.title = "Persuasion"
    novel.save()
    Book.objects.get(pk=novel.pk).delete()

    assert told(facts, "sender", "subject", "action") == [
        ("library.Book", subject, "created"),
        ("library.Book", subject, "updated"),
        ("library.Book", subject, "deleted"),
    ]


def test_a_proxy_that_was_loaded_knows_what_was_loaded(facts: Arrived) -> None:
    Novel.objects.create(title="Emma")
    novel = Novel.objects.get()
    novel.title = "Persuasion"
    novel.save()

    assert facts()[-1].data == {"changes": {"title": ["Emma", "Persuasion"]}, "diff_source": "loaded"}


def test_a_child_tells_its_own_fields_and_its_parents(facts: Arrived) -> None:
    Audiobook.objects.create(title="Emma", narrator="Ada")
    book = Audiobook.objects.get()

    book.title, book.narrator = "Persuasion", "Jane"
    book.save()

    assert told(facts, "subject", "action") == [
        (f"library.Audiobook/{book.pk}", "created"), (f"library.Audiobook/{book.pk}", "updated"),
    ]  # fmt: skip
    assert facts()[-1].data == {
        "changes": {"title": ["Emma", "Persuasion"], "narrator": ["Ada", "Jane"]}, "diff_source": "loaded",
    }  # fmt: skip


def test_a_child_loaded_with_deferred_fields_of_its_parent_knows_the_others(facts: Arrived) -> None:
    Audiobook.objects.create(title="Emma", narrator="Ada")
    book = Audiobook.objects.only("narrator").get()

    book.narrator = "Jane"
    book.save()

    assert facts()[-1].data == {
        "changes": {"narrator": ["Ada", "Jane"]},
        "diff_source": "loaded",
        "update_fields": ["narrator"],  # by Django, since the others are deferred
    }


def test_deleting_a_child_tells_of_its_parent_row_too(facts: Arrived) -> None:
    book = Audiobook.objects.create(title="Emma")
    key = book.pk
    book.delete()

    assert {event.subject for event in facts() if event.action == "deleted"} == {
        f"library.Audiobook/{key}", f"library.Book/{key}",
    }  # fmt: skip


def test_a_child_relates_by_the_field_of_its_parent(facts: Arrived) -> None:
    book, genre = Audiobook.objects.create(title="Emma"), Genre.objects.create(name="Novel")

    book.genres.add(genre)

    event = facts()[-1]
    assert (event.subject, event.action) == (f"library.Audiobook/{book.pk}", "added")
    assert event.data is not None
    assert event.data["field"] == "library.Book.genres"


def test_a_swapped_model_is_left_out_and_harms_nothing() -> None:
    assert Member._meta.swapped == "library.Author"
    assert Member not in selection.models()
    assert Author in selection.models()


def test_an_unmanaged_model_is_told_under_its_own_name(facts: Arrived) -> None:
    writer = Writer.objects.create(name="Jane")
    writer = Writer.objects.get(pk=writer.pk)
    writer.name = "Ada"
    writer.save()

    assert told(facts, "subject", "action")[-1] == (f"library.Writer/{writer.pk}", "updated")
    assert facts()[-1].data == {"changes": {"name": ["Jane", "Ada"]}, "diff_source": "loaded"}


def test_a_symmetrical_relation_is_told_as_one_that_both_have(facts: Arrived) -> None:
    here, there = Shelf.objects.create(), Shelf.objects.create()

    here.neighbours.add(there)

    assert facts()[-1].data == {
        "field": "library.Shelf.neighbours", "model": "library.Shelf", "op": "add", "pks": [there.pk],
        "reverse": False, "symmetrical": True,
    }  # fmt: skip


def test_an_explicit_through_model_is_told_as_itself_and_as_a_relation(facts: Arrived) -> None:
    shelf, book = Shelf.objects.create(), Book.objects.create(title="Emma")

    placement = Placement.objects.create(shelf=shelf, book=book, position=1)
    placement.position = 2
    placement.save()
    shelf.books.clear()

    (cleared,) = [event for event in facts() if event.action == "cleared"]
    assert cleared.data == {
        "field": "library.Shelf.books", "model": "library.Book", "op": "clear", "pks": [book.pk], "reverse": False,
        "through": "library.Placement",
    }  # fmt: skip
    assert [event.action for event in facts() if event.subject == f"library.Placement/{placement.pk}"] == [
        "created", "updated", "deleted",
    ]  # fmt: skip


@pytest.mark.parametrize("call", ["add", "remove", "clear", "set"])
def test_a_relation_to_itself_is_told_once(facts: Arrived, call: str) -> None:
    one, two, three = (Shelf.objects.create(name=name) for name in "123")
    one.neighbours.add(two)
    before = len(facts())

    {
        "add": lambda: one.neighbours.add(three),
        "remove": lambda: one.neighbours.remove(two),
        "clear": one.neighbours.clear,
        "set": lambda: one.neighbours.set([three]),
    }[call]()

    relations = [event.data for event in facts()[before:] if event.type.endswith("m2m_changed")]
    assert {(each["op"], each["pks"][0]) for each in relations if each} == {
        "add": {("add", three.pk)},
        "remove": {("remove", two.pk)},
        "clear": {("clear", two.pk)},
        "set": {("remove", two.pk), ("add", three.pk)},
    }[call]


def test_a_clear_that_removed_nothing_is_none(facts: Arrived) -> None:
    shelf = Shelf.objects.create()

    shelf.neighbours.clear()
    shelf.books.clear()

    assert not [event for event in facts() if event.type.endswith("m2m_changed")]


def test_a_column_of_another_name_is_told_by_its_field(facts: Arrived) -> None:
    Shelf.objects.create(name="top")

    assert facts()[-1].data is not None
    assert facts()[-1].data["fields"]["name"] == "top"


def test_a_composite_key_names_the_object(facts: Arrived) -> None:
    Seat.objects.create(row="A", number=1, taken_by="Ada")
    seat = Seat.objects.get(row="A", number=1)

    seat.taken_by = "Jane"
    seat.save()

    assert told(facts, "subject", "action") == [("library.Seat/A,1", "created"), ("library.Seat/A,1", "updated")]
    assert facts()[-1].data == {"changes": {"taken_by": ["Ada", "Jane"]}, "diff_source": "loaded"}


def test_a_deferred_object_tells_what_it_has_and_is_asked_nothing(
    facts: Arrived, django_assert_num_queries: Any
) -> None:
    Card.objects.create(pin="1234")
    card = Card.objects.only("pk").get()

    with django_assert_num_queries(3):  # begin, delete, commit
        card.delete()

    assert facts()[-1].data == {"fields": {"id": facts()[0].data["fields"]["id"]}, "diff_source": "loaded"}


def test_overridden_methods_are_called_as_they_were(facts: Arrived) -> None:
    Note.objects.create(text=" a ", signed_by="  Ada  ")
    note = Note.objects.get()
    assert note.seen == ["__init__", "from_db"]

    note.save()
    note.refresh_from_db(fields=["text"])

    assert note.seen == ["__init__", "from_db", "save", "refresh_from_db"]
    assert Note.objects.signed().count() == 1


def test_what_an_overridden_init_makes_of_a_row_is_a_change_of_it(facts: Arrived) -> None:
    Note.objects.bulk_create([Note(text="a")])
    Note.objects.update(signed_by="  Ada  ")

    note = Note.objects.get()
    note.text = "b"
    note.save()

    assert facts()[-1].data == {
        "changes": {"text": ["a", "b"], "signed_by": ["  Ada  ", "Ada"]}, "diff_source": "loaded",
    }  # fmt: skip


def test_what_an_overridden_save_makes_of_a_value_is_what_was_saved(facts: Arrived) -> None:
    note = Note.objects.create(text="a")

    note.text = "  b  "
    note.save()

    assert facts()[-1].data is not None
    assert facts()[-1].data["changes"] == {"text": ["a", "b"]}


@pytest.mark.parametrize("remake", [copy.copy, copy.deepcopy, lambda note: pickle.loads(pickle.dumps(note))])
def test_an_overridden_getstate_is_what_is_pickled(facts: Arrived, remake: Any) -> None:
    Note.objects.create(text="a")
    note = Note.objects.get()

    again = remake(note)

    assert (again.text, hasattr(again, "seen")) == ("a", False)
    note.text = "b"
    note.save()
    assert facts()[-1].data == {"changes": {"text": ["a", "b"]}, "diff_source": "loaded"}  # the original knows still


def test_every_model_that_is_captured_is_one_of_the_projects() -> None:
    labels = {model._meta.label for model in selection.models()}

    assert {model._meta.label for model in apps.get_app_config("library").get_models()} <= labels
    assert labels <= {*labels, "auth.User", "auth.Group"}
    assert not [label for label in labels if label.startswith(("sessions.", "contenttypes.", "authtoken."))]
