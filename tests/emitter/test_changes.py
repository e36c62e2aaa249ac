"""What an update tells: what the row held when it was loaded, against what was saved. Without a query."""

import gc
import json
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import django
import pytest
from django.core import serializers
from django.db import connection, connections, transaction
from django.db.models import F, JSONField, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat, Upper
from django.test import override_settings
from django.utils.functional import SimpleLazyObject

from emitter import outlet, receivers, transactions
from emitter.values import UNKNOWN, freeze
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import (
    Audiobook,
    Author,
    Book,
    Card,
    Form,
    Genre,
    Lines,
    Memo,
    Note,
    Room,
    Shelf,
    Sketch,
)  # fmt: skip
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

DataOf = Callable[[], dict[str, Any]]


@pytest.fixture
def last(facts: Arrived) -> DataOf:
    """Return a function that gives the data of the newest fact."""

    def data() -> dict[str, Any]:
        found = facts()[-1].data
        assert found is not None
        return found

    return data


def fresh(title: str = "Emma", **values: Any) -> Book:
    """Return a book as loaded from the database."""
    return Book.objects.get(pk=Book.objects.create(title=title, **values).pk)


@contextmanager
def in_mode(mode: str, label: str = "library.Book") -> Iterator[None]:
    with override_settings(HELIOGRAPH_DIFF={label: mode}):
        receivers.connect()
        yield


def test_a_change_is_told_against_what_was_loaded(last: DataOf) -> None:
    book = fresh()

    book.title = "Persuasion"
    book.save()

    assert last() == {"changes": {"title": ["Emma", "Persuasion"]}, "diff_source": "loaded"}


def test_a_second_save_is_told_against_the_first(last: DataOf) -> None:
    book = fresh()
    book.title = "Persuasion"
    book.save()

    book.price = Decimal("1.50")
    book.save()

    assert last() == {"changes": {"price": ["9.90", "1.50"]}, "diff_source": "saved"}


@pytest.mark.parametrize("load", [fresh, lambda: Book.objects.create(title="Emma")])
def test_a_save_that_changes_nothing_is_counted_and_not_sent(facts: Arrived, load: Callable[[], Book]) -> None:
    book = load()
    told, counted = len(facts()), outlet.counts["no_op"]

    book.save()
    book.save(update_fields=["title"])

    assert len(facts()) == told
    assert outlet.counts["no_op"] == counted + 2


def test_values_equal_once_they_are_saved_are_no_change(facts: Arrived) -> None:
    book = fresh(bought_at=datetime(2026, 1, 2, tzinfo=UTC))
    told = len(facts())

    book.price = "9.9"
    book.bought_at = "2026-01-02T00:00:00Z"
    book.save()

    assert len(facts()) == told


def test_values_that_are_equal_in_python_but_not_in_type_are_a_change(last: DataOf) -> None:
    book = fresh(details={"pages": 1})

    book.details = {"pages": True}
    book.save()

    assert last()["changes"] == {"details": [{"pages": 1}, {"pages": True}]}


def test_a_float_that_is_no_number_is_no_change(facts: Arrived) -> None:
    shelf = Shelf.objects.get(pk=Shelf.objects.create(height=float("nan")).pk)
    told = len(facts())

    shelf.save()

    assert len(facts()) == told


def test_update_fields_tells_of_no_other_field(last: DataOf) -> None:
    book = fresh()

    book.title, book.price = "Persuasion", Decimal("1.50")
    book.save(update_fields=["title"])
    assert last()["changes"] == {"title": ["Emma", "Persuasion"]}

    book.save()
    assert last()["changes"] == {"price": ["9.90", "1.50"]}


@pytest.mark.parametrize("name", ["author", "author_id"])
def test_a_foreign_key_is_told_by_its_attribute(last: DataOf, name: str) -> None:
    book, author = fresh(), Author.objects.create(name="Jane")

    book.author = author
    book.save(update_fields=[name])

    assert last()["changes"] == {"author_id": [None, author.pk]}


def test_an_expression_is_told_as_one_or_as_what_the_database_returned(last: DataOf) -> None:
    book = fresh()

    book.price = F("price") + 1
    book.save()

    told = {"expression": "CombinedExpression"} if django.VERSION < (6, 0) else "10.90"
    assert last()["changes"] == {"price": ["9.90", told]}


@pytest.mark.skipif(django.VERSION >= (6, 0), reason="since Django 6.0 a save returns what an expression came to")
def test_after_an_expression_the_old_value_is_not_known_until_it_is_read(last: DataOf) -> None:
    note = Note.objects.get(pk=Note.objects.create(text="a", signed_by="me").pk)
    note.signed_by = Upper(Value("me"))
    note.save()

    note.signed_by = "you"
    note.save()
    assert last()["fields"] == {"signed_by": "you"}
    assert "signed_by" not in last().get("changes", {})

    note.signed_by = Concat("signed_by", Value("!"))
    note.save()
    note.refresh_from_db(fields=["signed_by"])
    note.signed_by = "they"
    note.save()
    assert last()["changes"] == {"signed_by": ["you!", "they"]}


def test_json_changed_in_place_is_a_change(last: DataOf) -> None:
    book = fresh(details={"pages": [1, 2]})

    book.details["pages"].append(3)
    book.save()

    assert last()["changes"] == {"details": [{"pages": [1, 2]}, {"pages": [1, 2, 3]}]}


def test_json_changed_in_place_after_a_save_is_a_change(last: DataOf) -> None:
    book = Book.objects.create(title="Emma", details={"pages": 1})

    book.details["pages"] = 2
    book.save()

    assert last()["changes"] == {"details": [{"pages": 1}, {"pages": 2}]}


def test_an_array_changed_in_place_is_a_change(last: DataOf) -> None:
    shelf = Shelf.objects.get(pk=Shelf.objects.create(labels=["old"]).pk)

    shelf.labels.append("new")
    shelf.save()

    assert last()["changes"] == {"labels": [["old"], ["old", "new"]]}


def test_a_file_is_told_by_its_name(last: DataOf) -> None:
    shelf = Shelf.objects.get(pk=Shelf.objects.create(plan="old.txt").pk)
    assert shelf.plan.name == "old.txt"

    shelf.plan.name = "new.txt"
    shelf.save()

    assert last()["changes"] == {"plan": ["old.txt", "new.txt"]}


def test_looking_at_a_file_or_at_bytes_changes_nothing(facts: Arrived) -> None:
    shelf = Shelf.objects.get(pk=Shelf.objects.create(plan="old.txt", stamp=b"\0\1").pk)
    told = len(facts())

    assert shelf.plan.name == "old.txt"
    assert bytes(shelf.stamp) == b"\0\1"
    shelf.save()

    assert len(facts()) == told


def test_bytes_are_told_by_type(last: DataOf) -> None:
    shelf = Shelf.objects.get(pk=Shelf.objects.create(stamp=b"\0").pk)

    shelf.stamp = b"\1"
    shelf.save()

    assert list(last()["changes"]) == ["stamp"]


def test_a_deferred_field_that_is_set_unseen_has_an_unknown_old_value(last: DataOf) -> None:
    book = Book.objects.only("title").get(pk=fresh().pk)

    book.price = Decimal("1.50")
    book.save()

    assert last()["fields"]["price"] == "1.50"
    assert "changes" not in last()


def test_a_deferred_field_that_was_read_later_has_a_known_old_value(last: DataOf) -> None:
    book = Book.objects.defer("price").get(pk=fresh().pk)
    assert book.price == Decimal("9.90")

    book.price = Decimal("1.50")
    book.save()

    assert last()["changes"] == {"price": ["9.90", "1.50"]}


def test_refreshing_forgets_what_was_set_and_knows_what_is_there(last: DataOf) -> None:
    book = fresh()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE library_book SET title = 'Elsewhere'")
    book.title = "unsaved"
    book.refresh_from_db()

    book.title = "Persuasion"
    book.save()

    assert last()["changes"] == {"title": ["Elsewhere", "Persuasion"]}


@pytest.mark.parametrize("fields", [["title"], ("title",), {"title"}, iter(["title"])])
def test_refreshing_one_field_knows_no_more_than_that(last: DataOf, fields: Any) -> None:
    book = fresh()
    book.title, book.price = "unsaved", Decimal("1.50")
    book.refresh_from_db(fields=fields)

    book.title = "Persuasion"
    book.save()

    assert last()["changes"] == {"title": ["Emma", "Persuasion"], "price": ["9.90", "1.50"]}


def test_a_changed_primary_key_is_another_row(last: DataOf, facts: Arrived) -> None:
    book = fresh()

    book.pk = book.pk + 1000
    book.save()

    event = facts()[-1]
    assert (event.action, event.subject) == ("created", f"library.Book/{book.pk}")
    assert last()["fields"]["title"] == "Emma"


def test_a_key_changed_to_that_of_another_row_claims_no_old_value_of_it(last: DataOf) -> None:
    book, other = fresh(), fresh("Persuasion")

    book.pk = other.pk
    book.save()

    assert last()["fields"]["title"] == "Emma"
    assert last()["diff_source"] == "none"


def test_an_object_that_was_never_loaded_claims_no_old_value(last: DataOf) -> None:
    kept = fresh()

    Book(pk=kept.pk, title="Persuasion").save()

    assert last()["fields"]["title"] == "Persuasion"
    assert "changes" not in last()
    assert last()["diff_source"] == "none"


def test_another_database_claims_no_old_value_of_the_first(last: DataOf) -> None:
    book = fresh()
    Book.objects.using("other").create(pk=book.pk, title="Elsewhere")

    book.title = "Persuasion"
    book.save(using="other")

    assert last()["diff_source"] == "none"
    assert last()["fields"]["title"] == "Persuasion"


def test_a_fixture_is_told_as_raw(last: DataOf) -> None:
    book = fresh()
    (loaded,) = serializers.deserialize(
        "json", json.dumps([{"model": "library.book", "pk": book.pk, "fields": {"title": "Persuasion"}}])
    )

    loaded.save()

    assert last()["raw"] is True
    assert last()["fields"]["title"] == "Persuasion"


def test_a_secret_that_changes_is_told_to_have_changed_and_no_more(last: DataOf) -> None:
    card = Card.objects.create(pin="1234")

    card.pin = "4321"
    card.save()

    assert set(last()["changes"]) == {"pin"}
    assert "1234" not in str(last())
    assert "4321" not in str(last())


def test_the_select_mode_tells_what_the_database_held_whoever_wrote_it(last: DataOf) -> None:
    with in_mode("select"):
        book = fresh()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE library_book SET title = 'Elsewhere'")

        book.title = "Persuasion"
        book.save()

        assert last() == {"changes": {"title": ["Elsewhere", "Persuasion"]}, "diff_source": "select"}


def test_the_select_mode_costs_one_query_and_none_for_a_new_object(
    facts: Arrived, django_assert_num_queries: Any
) -> None:
    with in_mode("select"):
        with django_assert_num_queries(1):
            book = Book.objects.create(title="Emma")
        book.title = "Persuasion"
        with django_assert_num_queries(2):
            book.save(force_update=True)


def test_the_off_mode_tells_all_values_and_no_change(last: DataOf) -> None:
    with in_mode("off"):
        book = fresh()

        book.title = "Persuasion"
        book.save()

        assert last()["fields"]["title"] == "Persuasion"
        assert last()["fields"]["price"] == "9.90"
        assert last()["diff_source"] == "off"
        assert "changes" not in last()


def test_what_was_saved_and_rolled_back_is_no_old_value(last: DataOf) -> None:
    book = fresh()
    with pytest.raises(ArithmeticError), transaction.atomic():
        book.title = "Persuasion"
        book.save()
        raise ArithmeticError

    book.title = "Sanditon"
    book.save()

    assert last() == {"changes": {"title": ["Emma", "Sanditon"]}, "diff_source": "loaded"}


def test_a_save_repeated_after_its_rollback_is_a_change_again(last: DataOf) -> None:
    book = fresh()
    with pytest.raises(ArithmeticError), transaction.atomic():
        book.title = "Persuasion"
        book.save()
        raise ArithmeticError

    book.save()

    assert last()["changes"] == {"title": ["Emma", "Persuasion"]}


def test_what_was_read_in_a_transaction_that_was_rolled_back_is_no_old_value(last: DataOf) -> None:
    kept = fresh()
    with pytest.raises(ArithmeticError), transaction.atomic():
        kept.title = "Persuasion"
        kept.save()
        seen = Book.objects.get(pk=kept.pk)
        raise ArithmeticError

    seen.title = "Sanditon"
    seen.save()

    assert last()["diff_source"] == "none"
    assert last()["fields"]["title"] == "Sanditon"


def test_an_object_that_lives_long_remembers_no_more_than_it_needs(facts: Arrived) -> None:
    genre = Genre.objects.create(name="0")

    for number in range(20):
        with transaction.atomic():
            genre.name = f"saved {number}"
            genre.save()

    facts()
    gc.collect()
    known: Any = genre._state.heliograph  # type: ignore[attr-defined]
    length = 0
    while known is not None:
        known, length = known.before, length + 1
    assert length <= 2


def test_a_value_that_cannot_be_copied_is_told_with_no_old_one() -> None:
    class Sealed:
        def __reduce__(self) -> Any:
            raise TypeError("sealed")

    assert freeze(Sealed()) is UNKNOWN


def test_an_expression_saved_twice_is_two_writes(facts: Arrived) -> None:
    book = fresh()

    for _ in range(2):
        book.price = F("price") + 1
        book.save()

    assert len([event for event in facts() if event.action == "updated"]) == 2


@pytest.mark.parametrize("mode", ["loaded", "off"])
def test_what_the_database_computes_is_never_told_as_written(last: DataOf, mode: str) -> None:
    with in_mode(mode, "library.Room"):
        room = Room.objects.get(pk=Room.objects.create(width=2, length=3).pk)

        room.width = 5
        room.save()

        data = last()
        assert "area" not in data.get("changes", {})
        assert mode == "loaded" or data["fields"] == {"width": 5, "length": 3}


def test_a_delete_tells_what_the_row_held_and_not_what_was_left_unsaved(facts: Arrived, last: DataOf) -> None:
    genre = Genre.objects.get(pk=Genre.objects.create(name="real").pk)
    genre.name = "never saved"
    key = genre.pk
    genre.delete()

    assert last() == {"fields": {"id": key, "name": "real"}, "diff_source": "loaded"}


def test_a_delete_of_what_was_never_read_says_so(facts: Arrived, last: DataOf) -> None:
    key = Genre.objects.create(name="real").pk
    Genre(pk=key).delete()

    assert last() == {"fields": {"id": key, "name": ""}, "diff_source": "none"}


def test_a_fixture_of_a_child_tells_its_own_table_only(facts: Arrived, last: DataOf) -> None:
    spoken = Audiobook.objects.create(title="Emma", price=5, narrator="Jane")
    fixture = [{"model": "library.audiobook", "pk": spoken.pk, "fields": {"narrator": "Ada"}}]
    for each in serializers.deserialize("python", fixture):
        each.save()

    assert last() == {"fields": {"narrator": "Ada"}, "diff_source": "none", "raw": True}


@pytest.mark.parametrize(
    ("name", "assigned", "held"),
    [
        ("title", 5, "5"),
        ("price", 1.005, "1.01"),
        ("price", Decimal("1.004"), "1.00"),
        ("price", "7", "7.00"),
        ("bought_at", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
    ],
)
def test_values_are_told_as_the_database_holds_them(
    facts: Arrived, last: DataOf, name: str, assigned: Any, held: str
) -> None:
    made = Book.objects.create(title="Emma")
    setattr(made, name, assigned)
    made.save()
    read = Book.objects.get(pk=made.pk)

    told = last()["changes"][name][1]
    assert told == held
    assert Book._meta.get_field(name).to_python(told) == getattr(read, name)


def test_a_value_that_is_stored_as_it_was_is_no_change(facts: Arrived) -> None:
    made = Book.objects.create(title="Emma", price=Decimal("1.00"))
    told = len(facts())
    made.price = Decimal("1.004")
    made.save()
    made.details = {1: "a", "pair": (1, 2)}
    made.save()
    read = Book.objects.get(pk=made.pk)
    read.details = {1: "a", "pair": (1, 2)}
    read.save()

    assert [event.data["changes"].keys() for event in facts()[told:]] == [{"details"}]


def test_what_is_done_to_an_object_after_a_save_is_not_told_of_it(facts: Arrived) -> None:
    book = Book.objects.create(title="Emma", details={"a": [1]})
    key = book.pk
    book.details["a"].append(2)
    book.title = "Sanditon"
    book.save()
    book.details.clear()
    book.title = "Persuasion"
    book.pk = None
    vars(book).clear()

    made, saved = facts()
    assert made.subject == saved.subject == f"library.Book/{key}"
    assert made.data["fields"]["details"] == {"a": [1]}
    assert saved.data["changes"] == {"title": ["Emma", "Sanditon"], "details": [{"a": [1]}, {"a": [1, 2]}]}


@pytest.mark.parametrize("is_loaded", [True, False])
def test_what_is_saved_over_another_row_is_not_held_against_its_own(
    facts: Arrived, last: DataOf, is_loaded: bool
) -> None:
    other = Book.objects.create(title="Emma")
    book = Book.objects.create(title="Sanditon", price=3)
    if is_loaded:
        book = Book.objects.get(pk=book.pk)
    book.price = F("price") + 1
    book.save()
    book.pk = other.pk
    book.save()

    assert last()["diff_source"] == "none"
    assert last()["fields"]["title"] == "Sanditon"


def test_events_leave_in_the_order_in_which_they_happened(facts: Arrived) -> None:
    for number in range(40):
        genre = Genre.objects.create(name=str(number))
        book_lent.send(None, number=number)
        Genre.objects.filter(pk=genre.pk).update(name="updated")
        if number % 3 == 0:
            genre.delete()

    numbers = [int(event.sequence or 0) for event in facts()]
    ids = [event.id for event in facts()]
    assert numbers == sorted(numbers)
    assert ids == sorted(ids)


def test_an_object_with_two_rows_of_json_in_one_query_knows_both(facts: Arrived, last: DataOf) -> None:
    made = Book.objects.create(title="Emma", details={"a": [1]})
    read = Book.objects.annotate(again=F("details")).get(pk=made.pk)
    read.details["a"].append(2)
    read.save()

    assert last() == {"changes": {"details": [{"a": [1]}, {"a": [1, 2]}]}, "diff_source": "loaded"}


@pytest.mark.parametrize(
    "text",
    [
        *(
            '{"a": [1, 2.5, null, true]}',
            '"text"',
            '"\\ud83d\\ude00"',
            '"\\ud800"',
            "null",
            "0",
            "-0.0",
            "1e400",
            "NaN",
        ),
        *(" [1] ", "[1]\n", "", "[1", "{}x", "'a'", "\ufeff[]", '"a\nb"', '{"a": 1, "a": 2}', "1" * 100),
        *("1" * 5000, "[" * 100_000, None, 7, b'{"a": 1}', bytearray(b"[]")),
    ],
)
def test_json_is_read_as_django_reads_it(text: Any) -> None:
    field = Book._meta.get_field("details")

    def read(method: Any) -> tuple[Any, ...]:
        try:
            value = method(text, None, connection)
            return type(value), repr(value)
        except Exception as error:  # noqa: BLE001
            return type(error), str(error)

    assert read(field.from_db_value) == read(partial(JSONField.from_db_value, field))


def test_json_of_two_objects_of_a_model_in_one_row_is_told_apart(facts: Arrived, last: DataOf) -> None:
    first = Book.objects.create(title="Emma", details={"a": 1})
    Book.objects.create(title="Sanditon", details={"b": 2})
    read = Book.objects.annotate(
        again=RawSQL("(SELECT details FROM library_book ORDER BY id DESC LIMIT 1)", [], Book._meta.get_field("details"))
    ).get(pk=first.pk)
    read.details["a"] = 3
    read.save()

    assert last()["changes"] == {"details": [{"a": 1}, {"a": 3}]}


def test_a_field_whose_values_do_not_compare_is_held_against_what_it_sends(facts: Arrived, last: DataOf) -> None:
    Sketch.objects.create(lines=Lines("up"))
    sketch, told = Sketch.objects.get(), len(facts())
    sketch.save()
    same = len(facts())
    sketch.lines = Lines("down")
    sketch.save()

    assert (same, len(facts())) == (told, told + 1)
    assert list(last()["changes"]) == ["lines"]


def test_what_a_models_own_refresh_did_not_load_is_not_believed(last: DataOf) -> None:
    memo = Memo.objects.create(name="A", draft="old")
    memo.draft = "new"
    memo.refresh_from_db()
    memo.save()

    assert last()["changes"] == {"draft": ["old", "new"]}


def test_in_mode_select_an_object_made_by_hand_is_held_against_its_row(last: DataOf) -> None:
    with in_mode("select", "library.Genre"):
        key = Genre.objects.create(name="Novel").pk
        Genre(pk=key, name="Poem").save()

    assert last() == {"changes": {"name": ["Novel", "Poem"]}, "diff_source": "select"}


def test_a_json_field_can_be_asked_by_keyword() -> None:
    field: Any = Book._meta.get_field("details")

    assert field.from_db_value(value='{"a": 1}', expression=None, connection=connection) == {"a": 1}


@pytest.mark.parametrize("mode", ["select", "off"])
def test_no_mode_adds_anything_of_ours_to_a_pickle(facts: Arrived, mode: str) -> None:
    with in_mode(mode, "library.Genre"):
        genre = Genre.objects.create(name="Novel")
        Genre.objects.bulk_update([genre], ["name"])

        assert b"emitter" not in pickle.dumps(genre)


def test_a_commit_by_switching_autocommit_on_is_one(facts: Arrived) -> None:
    """As SQLite and MySQL do it; Postgres refuses."""
    ledger = transactions.ledger(connections["default"])
    transaction.set_autocommit(False)
    try:
        Genre.objects.create(name="kept")
        ledger.after_set_autocommit(None, True)
        outcomes = [event.outcome for event in facts()]
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert outcomes == ["committed"]


def test_json_with_an_encoder_is_held_against_what_it_writes(facts: Arrived, last: DataOf) -> None:
    Form.objects.create(answers={"at": "2026-01-01T00:00:00.123456Z"})
    form = Form.objects.get()
    form.answers = {"at": datetime(2026, 1, 1, 0, 0, 0, 123456, UTC)}  # which the encoder cuts
    form.save()
    told = len(facts())
    form.answers = {"at": "2026-01-01T00:00:00.123Z"}
    form.save()

    assert list(last()["changes"]) == ["answers"]
    assert len(facts()) == told


def test_what_a_column_normalises_is_no_change(facts: Arrived) -> None:
    naive = datetime(2026, 1, 1, 12)  # noqa: DTZ001  # as a careless project assigns it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        Form.objects.create(sent_from="2001:db8::1", sent_at=naive)
        form, told = Form.objects.get(), len(facts())
        form.sent_from, form.sent_at = "2001:0db8:0::0001", naive
        form.save()

    assert len(facts()) == told
    assert (
        Form._meta.get_field("sent_at").to_python(facts()[-1].data["fields"]["sent_at"])
        == form.__class__.objects.get().sent_at
    )


def test_a_row_is_remembered_apart_from_what_was_given_to_from_db(facts: Arrived, last: DataOf) -> None:
    Book.objects.create(title="Emma", details={"a": 1})
    row = list(Book.objects.values_list()[0])
    kept = list(row)
    book = Book.from_db("default", [each.attname for each in Book._meta.concrete_fields], row)
    assert row == kept
    row[1] = book.title = "Persuasion"
    book.save()

    assert last()["changes"]["title"] == ["Emma", "Persuasion"]


def test_remembering_a_lazy_value_does_not_wake_it() -> None:
    lazy_value = SimpleLazyObject(lambda: pytest.fail("evaluated"))

    assert freeze(lazy_value) is UNKNOWN


def test_what_is_saved_often_in_one_transaction_is_remembered_once(facts: Arrived) -> None:
    genre = Genre.objects.create(name="0")
    with transaction.atomic():
        for number in range(1, 20):
            genre.name = str(number)
            genre.save()
        facts()
        known, length = genre._state.heliograph, 0  # type: ignore[attr-defined]
        while known is not None:
            known, length = known.before, length + 1

    assert length <= 3


def test_what_is_refreshed_of_an_object_made_by_hand_is_known(last: DataOf) -> None:
    genre = Genre(pk=Genre.objects.create(name="Novel").pk)
    genre.refresh_from_db(fields=["name"])
    genre.name = "Poem"
    genre.save(update_fields=["name"])

    assert last()["changes"] == {"name": ["Novel", "Poem"]}


def test_what_an_untold_call_changed_and_a_rollback_took_back_is_not_believed(facts: Arrived, last: DataOf) -> None:
    genre = Genre.objects.create(name="old")
    with override_settings(HELIOGRAPH_BULK=False), pytest.raises(LookupError), transaction.atomic():
        Genre.objects.filter(pk=genre.pk).update(name="new")
        read = Genre.objects.get(pk=genre.pk)
        raise LookupError
    read.save()

    assert last()["fields"]["name"] == "new"
