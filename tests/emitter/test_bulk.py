"""The calls that send no signal: one ``heliograph.*`` event each."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import msgspec
import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.migrations.state import ProjectState
from django.db.models import F, Model, Q, QuerySet
from django.db.models.signals import post_delete, post_save
from django.test import override_settings

from emitter import bulk_data, memory, outlet, payload, selection
from emitter.event import Event
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import (
    Audiobook,
    Author,
    Book,
    Card,
    Country,
    Dear,
    Genre,
    Note,
    Novel,
    Placement,
    Publisher,
    Saga,
    Seat,
    Sequel,
    Shelf,
    Topic,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def told(facts: Arrived) -> list[Event]:
    return [event for event in facts() if event.type.startswith("heliograph.")]


def only(facts: Arrived) -> dict[str, Any]:
    """Return the data of the one bulk call that was told."""
    (event,) = told(facts)
    assert event.data is not None
    assert (event.data["model"], event.data["operation"]) == (event.sender, event.action)
    assert event.type == f"heliograph.{event.action}"
    return event.data


def books(*titles: str) -> list[Book]:
    return [Book.objects.create(title=title) for title in titles]


def test_an_update_is_told_once_with_its_fields_values_conditions_and_count(facts: Arrived) -> None:
    books("Emma", "Emma", "Persuasion")

    assert Book.objects.filter(title="Emma").update(title="Sanditon", price=F("price") + 1) == 2

    assert only(facts) == {
        "model": "library.Book",
        "operation": "update",
        "fields": ["price", "title"],
        "values": {"title": "Sanditon", "price": {"expression": "CombinedExpression"}},
        "where": {"title": "Emma"},
        "count": 2,
        "pks": None,
    }


def test_an_update_of_named_rows_tells_their_keys(facts: Arrived) -> None:
    one, two, _ = books("Emma", "Emma", "Persuasion")

    Book.objects.filter(pk__in=[one.pk, two.pk, two.pk], title="Emma").update(author_id=None)

    assert only(facts)["pks"] == [one.pk, two.pk]


def test_keys_that_were_named_and_not_matched_are_not_claimed(facts: Arrived) -> None:
    one, two = books("Emma", "Persuasion")

    Book.objects.filter(pk__in=[one.pk, two.pk], title="Emma").update(title="Sanditon")

    assert only(facts)["pks"] is None


def test_many_keys_are_told_up_to_the_limit(facts: Arrived) -> None:
    keys = [book.pk for book in Book.objects.bulk_create(Book(title=str(number)) for number in range(300))]
    before = len(told(facts))

    with override_settings(HELIOGRAPH_BULK_PKS=250):
        Book.objects.filter(pk__in=keys).update(title="Emma")

    data = told(facts)[before].data
    assert data is not None
    assert (data["count"], data["pks"]) == (300, keys[:250])
    assert data["where"] is None  # half of the conditions would be others


def test_a_condition_on_another_table_is_not_told_as_one_on_this(facts: Arrived) -> None:
    author = Author.objects.create(name="Jane")
    book = Book.objects.create(title="Emma", author=author)
    Book.objects.create(pk=author.pk + 1000, title="bystander", author=author)

    Author.objects.filter(book__id=book.pk).update(name="Austen")
    Shelf.objects.create()
    Shelf.objects.filter(above__id=1, id=1).update(name="x")

    assert [(event.data["where"], event.data["pks"]) for event in told(facts) if event.data] == [
        (None, None),
        (None, []),
    ]


@pytest.mark.parametrize(
    "conditions",
    [~Q(title="Emma"), Q(title="Emma") | Q(title="x"), Q(title=F("title")), Q(title__startswith="E"),
     Q(pk__in=Book.objects.filter(title="Emma")), Q(details__pages=3), Q(title="Emma") & ~Q(title="x")],
)  # fmt: skip
def test_conditions_that_are_not_simple_are_not_told(facts: Arrived, conditions: Q) -> None:
    books("Emma")

    Book.objects.filter(conditions).update(title="Sanditon")

    assert only(facts)["where"] is None


def test_two_conditions_on_one_field_are_not_told_as_one(facts: Arrived) -> None:
    Book.objects.filter(title="Emma").filter(title="Persuasion").update(price=1)

    assert only(facts)["where"] is None


def test_a_queryset_delete_is_told_beside_its_objects_which_it_causes(facts: Arrived) -> None:
    keys = [book.pk for book in books("Emma", "Emma")]

    Book.objects.filter(pk__in=keys).delete()

    assert only(facts)["count"] == 2
    assert only(facts)["pks"] == keys
    (call,) = told(facts)
    deleted = [event for event in facts() if event.action == "deleted"]
    assert {event.subject for event in deleted} == {f"library.Book/{key}" for key in keys}
    assert {event.causationid for event in deleted} == {call.id}


def test_deleting_through_a_proxy_counts_its_rows(facts: Arrived) -> None:
    books("Emma", "Persuasion")

    Novel.objects.all().delete()

    assert only(facts)["count"] == 2


def test_a_raw_delete_is_told(facts: Arrived) -> None:
    one, _ = books("Emma", "Persuasion")

    queryset: Any = Book.objects.filter(pk=one.pk)
    assert queryset._raw_delete("default") == 1

    assert only(facts) == {
        "model": "library.Book", "operation": "raw_delete", "where": {"id": one.pk}, "count": 1, "pks": [one.pk]
    }  # fmt: skip


def test_a_delete_that_nobody_listens_to_is_told_once(facts: Arrived) -> None:
    Genre.objects.create(name="Novel")
    entries, post_delete.receivers = post_delete.receivers, []
    post_delete.sender_receivers_cache.clear()
    try:
        Genre.objects.all().delete()
    finally:
        post_delete.receivers = entries
        post_delete.sender_receivers_cache.clear()

    assert only(facts)["operation"] == "delete"
    assert only(facts)["count"] == 1


def test_created_rows_are_told_with_keys_and_values(facts: Arrived) -> None:
    one, two = Genre.objects.bulk_create(Genre(name=name) for name in ("Novel", "Poem"))

    assert only(facts) == {
        "model": "library.Genre",
        "operation": "bulk_create",
        "fields": ["id", "name"],
        "count": 2,
        "pks": [one.pk, two.pk],
        "rows": [{"id": one.pk, "name": "Novel"}, {"id": two.pk, "name": "Poem"}],
        "complete": True,
    }


def test_rows_whose_fate_the_database_keeps_to_itself_are_told_as_such(facts: Arrived) -> None:
    kept = Genre.objects.create(name="Novel")

    Genre.objects.bulk_create([Genre(pk=kept.pk, name="x"), Genre(name="y")], ignore_conflicts=True)

    assert only(facts)["ignore_conflicts"] is True
    assert only(facts)["pks"] == [kept.pk]


def test_updated_rows_are_told_with_the_fields_they_were_updated_in(facts: Arrived) -> None:
    one, two = books("Emma", "Persuasion")
    one.title = two.title = "Sanditon"
    one.price = 1

    assert Book.objects.bulk_update(iter([one, two]), iter(["title"])) == 2

    assert only(facts) == {
        "model": "library.Book",
        "operation": "bulk_update",
        "fields": ["title"],
        "count": 2,
        "pks": [one.pk, two.pk],
        "rows": [{"title": "Sanditon"}, {"title": "Sanditon"}],
        "complete": True,
    }


def test_an_update_that_a_project_adds_to_bulk_update_is_told_too(facts: Arrived) -> None:
    class Watchful(QuerySet[Any]):
        def update(self, **kwargs: Any) -> int:
            Genre.objects.update(name="watched")
            return super().update(**kwargs)

    (book,) = books("Emma")

    Watchful(Book).bulk_update([book], ["title"])

    assert [event.sender for event in told(facts)] == ["library.Genre", "library.Book"]


@pytest.mark.parametrize("is_new", [True, False])
def test_an_update_or_create_is_told_beside_its_save_which_it_causes(facts: Arrived, is_new: bool) -> None:
    if not is_new:
        Genre.objects.create(name="Novel", pk=7000)

    genre, created = Genre.objects.update_or_create(pk=7000, defaults={"name": "Poem"})

    assert created is is_new
    assert only(facts) == {
        "model": "library.Genre", "operation": "update_or_create", "fields": ["name"],
        "count": 1, "pks": [genre.pk], "created": is_new,
    }  # fmt: skip
    assert [event.causationid for event in facts() if event.action in {"created", "updated"}][-1] == told(facts)[0].id


def test_objects_that_pointed_to_a_deleted_one_are_told_to_point_to_nothing(facts: Arrived) -> None:
    below = Shelf.objects.create()
    above = Shelf.objects.create(below=below)

    below.delete()

    data = only(facts)
    assert (data["values"], data["pks"] or data["count"]) in [({"below_id": None}, [above.pk]), ({"below_id": None}, 1)]


def test_setting_a_reverse_relation_is_told_as_the_update_that_it_is(facts: Arrived) -> None:
    author, (book,) = Author.objects.create(name="Jane"), books("Emma")

    author.book_set.add(book)
    author.book_set.clear()

    assert [event.data["values"] for event in told(facts) if event.data] == [
        {"author_id": author.pk},
        {"author_id": None},
    ]


def test_rows_of_an_automatic_through_table_are_told_as_m2m_only(facts: Arrived) -> None:
    (book,), genre = books("Emma"), Genre.objects.create(name="Novel")

    book.genres.add(genre)
    book.genres.remove(genre)

    assert told(facts) == []


def test_secrets_are_masked_in_values_conditions_and_rows(facts: Arrived) -> None:
    card = Card.objects.create(pin="pin-one", api_token="hunter2")

    Card.objects.filter(pin="pin-one").update(api_token="hunter3")
    Card.objects.filter(api_token__in=["hunter3"]).update(pin="pin-two")
    card.pin = "pin-three"
    Card.objects.bulk_update([card], ["pin"])
    Card.objects.bulk_create([Card(pin="pin-four")])

    assert len(told(facts)) == 4
    text = str(told(facts))
    assert not [
        secret for secret in ("pin-one", "pin-two", "pin-three", "pin-four", "hunter2", "hunter3") if secret in text
    ]


def test_a_field_that_is_not_told_is_told_neither_as_value_nor_as_condition(facts: Arrived) -> None:
    with override_settings(HELIOGRAPH_EXCLUDE_FIELDS=["library.Author.name"]):
        selection.policy.cache_clear()

        Author.objects.filter(name="hidden").update(name="hidden")
        Author.objects.bulk_create([Author(name="hidden")])

    assert len(told(facts)) == 2
    assert "hidden" not in str(told(facts))


def test_a_call_that_fails_tells_nothing(facts: Arrived) -> None:
    with pytest.raises(ValidationError):
        Book.objects.update(price="no number")

    assert told(facts) == []


def test_a_call_leaves_with_its_transaction(arrived: Arrived) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic():
        Genre.objects.bulk_create([Genre(name="Novel")])
        raise ArithmeticError
    with transaction.atomic():
        Genre.objects.update(name="Poem")
    Genre.objects.update(name="Poem")

    outcomes = [(event.action, event.outcome) for event in arrived()]
    assert outcomes == [("bulk_create", "rolledback"), ("update", "committed"), ("update", "autocommit")]


class Replica:
    """Reads from one database and writes to the other."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return "default"


@contextmanager
def replicated() -> Iterator[None]:
    before = router.routers
    router.routers = [Replica()]
    try:
        yield
    finally:
        router.routers = before


@pytest.mark.parametrize("call", ["update", "delete", "bulk_create", "bulk_update", "update_or_create"])
def test_a_call_waits_for_the_database_it_writes_to_not_for_the_one_it_would_read(facts: Arrived, call: str) -> None:
    genre = Genre.objects.using("default").create(name="Novel")
    calls: dict[str, Any] = {
        "update": lambda: Genre.objects.update(name="x"),
        "delete": lambda: Genre.objects.none().delete(),
        "bulk_create": lambda: Genre.objects.bulk_create([Genre(name="x")]),
        "bulk_update": lambda: Genre.objects.bulk_update([genre], ["name"]),
        "update_or_create": lambda: Genre.objects.update_or_create(pk=genre.pk, defaults={"name": "x"}),
    }

    with replicated(), transaction.atomic(using="default"):
        calls[call]()
        assert told(facts) == []

    assert [event.outcome for event in told(facts)] == ["committed"]


def test_switched_off_the_calls_are_counted_as_holes_and_reported(facts: Arrived) -> None:
    (book,) = books("Emma")
    before = outlet.report().get("hole", 0)

    with override_settings(HELIOGRAPH_BULK=False):
        Book.objects.update(title="x")
        Book.objects.bulk_update([book], ["title"])
        Book.objects.bulk_create([Book(title="y")])

    assert told(facts) == []
    assert outlet.report()["hole"] == before + 3


def test_models_that_are_not_captured_are_neither_told_nor_counted(facts: Arrived) -> None:
    with override_settings(HELIOGRAPH_EXCLUDE_MODELS=["library.Genre"]):
        before = outlet.counts["hole"]
        Genre.objects.update(name="x")

    assert told(facts) == []
    assert outlet.counts["hole"] == before


def test_rows_of_an_explicit_through_model_are_its_own(facts: Arrived) -> None:
    shelf, (book,) = Shelf.objects.create(), books("Emma")

    shelf.books.add(book, through_defaults={"position": 3})

    (created,) = told(facts)
    assert created.sender == "library.Placement"
    assert created.data is not None
    assert created.data["rows"][0]["position"] == 3
    assert Placement.objects.count() == 1


def test_children_and_composite_keys_are_told(facts: Arrived) -> None:
    book = Audiobook.objects.create(title="Emma")
    Audiobook.objects.filter(pk=book.pk).update(title="Persuasion", narrator="Ada")
    Seat.objects.bulk_create([Seat(row="A", number=1)])
    Seat.objects.filter(pk=("A", 1)).update(taken_by="Ada")

    child, created, updated = (event.data for event in told(facts))
    assert child is not None
    assert created is not None
    assert updated is not None
    assert (child["values"], child["pks"]) == ({"title": "Persuasion", "narrator": "Ada"}, [book.pk])
    assert created["pks"] == [["A", 1]]
    assert updated["count"] == 1


def test_what_is_left_out_of_a_change_that_is_too_large_is_named() -> None:
    large = {str(number): "x" * 150 for number in range(1000)}
    told = {"changes": {"blob": [None, large], "status": ["new", "paid"]}, "fields": {"note": "n", "more": large}}

    fitted = msgspec.json.decode(payload.encoded(told | {"diff_source": "loaded"}))

    assert fitted == {
        "changes": {"status": ["new", "paid"]},
        "fields": {"note": "n", "more": large},
        "diff_source": "loaded",
        "truncated": True,
        "left_out": ["changes.blob"],
    }


def test_where_only_texts_were_cut_nothing_is_left_out() -> None:
    fitted = msgspec.json.decode(payload.encoded({"fields": {"note": "n" * 300_000}}))

    assert fitted == {"fields": {"note": "n" * 200 + "…"}, "truncated": True, "left_out": []}


@pytest.mark.parametrize("holder", ["fields", "rows", "other"])
def test_names_of_what_is_left_out_find_room(holder: str) -> None:
    told = {holder: {f"{number}{'é' * 5_000}": "x" for number in range(200)}, "n" * 300_000: 1}

    assert len(payload.encoded(told)) <= payload.DATA


def test_many_large_rows_lose_their_values_and_not_what_counts(facts: Arrived) -> None:
    Note.objects.bulk_create(Note(text=f"{number}" + "x" * 90) for number in range(1000))
    rows = {str(number): "x" * 150 for number in range(2000)}

    fitted = msgspec.json.decode(payload.encoded({"count": 1000, "pks": [1], "rows": rows}))

    assert fitted == {"count": 1000, "pks": [1], "truncated": True, "left_out": ["rows"]}
    assert only(facts)["count"] == 1000
    assert only(facts)["complete"] is False


def test_no_call_costs_a_query(facts: Arrived, django_assert_num_queries: Any) -> None:
    (_book,) = books("Emma")

    with django_assert_num_queries(1):
        Book.objects.filter(title="Emma").update(title="x")


def test_a_condition_on_one_of_several_is_told_without_the_none_that_sql_drops(facts: Arrived) -> None:
    (book,) = books("Emma")

    Book.objects.filter(pk__in=[book.pk, None]).update(title="Persuasion")

    assert only(facts)["where"] == {"id__in": [book.pk]}


def saves(facts: Arrived) -> list[dict[str, Any]]:
    return [event.data for event in facts() if event.action == "updated" and event.data]


def test_of_rows_of_which_only_some_were_updated_none_is_claimed(facts: Arrived) -> None:
    one, two = (Genre.objects.create(name=name) for name in ("Novel", "Poem"))
    one.name = two.name = "Essay"

    assert Genre.objects.filter(name="Poem").bulk_update([one, two], ["name"]) == 1

    assert only(facts) == {
        "model": "library.Genre",
        "operation": "bulk_update",
        "fields": ["name"],
        "where": {"name": "Poem", "id__in": [one.pk, two.pk]},
        "count": 1,
        "pks": None,
        "rows": [],
        "complete": False,
    }


def test_an_update_that_matched_none_of_the_objects_is_told_with_no_row(facts: Arrived) -> None:
    genre = Genre.objects.create(name="Novel")
    genre.name = "Poem"

    assert Genre.objects.filter(name="zzz").bulk_update([genre], ["name"]) == 0

    assert (only(facts)["count"], only(facts)["pks"], only(facts)["rows"]) == (0, [], [])


@pytest.mark.parametrize("name", ["zzz", "Novel"])
def test_a_save_after_a_bulk_update_that_may_not_have_written_is_told(facts: Arrived, name: str) -> None:
    genre, other = (Genre.objects.create(name=each) for each in ("Novel", "Essay"))
    genre.name = other.name = "Poem"
    Genre.objects.filter(name=name).bulk_update([other, genre], ["name"])

    other.save()

    (told_of,) = saves(facts)
    assert (told_of.get("changes") or told_of.get("fields")) in ({"name": ["Essay", "Poem"]}, {"name": "Poem"})


def test_a_row_that_was_given_twice_is_not_claimed_with_either_value(facts: Arrived) -> None:
    genre = Genre.objects.create(name="Novel")
    first, second = Genre(pk=genre.pk, name="first"), Genre(pk=genre.pk, name="second")

    Genre.objects.bulk_update([first, second], ["name"])

    assert (only(facts)["count"], only(facts)["pks"], only(facts)["rows"]) == (1, None, [])


def test_the_keys_of_a_delete_that_may_cascade_into_its_own_model_are_not_claimed(facts: Arrived) -> None:
    top = Topic.objects.create()
    Topic.objects.create(above=top)

    Topic.objects.filter(pk__in=[top.pk, top.pk + 1000]).delete()

    assert (only(facts)["count"], only(facts)["pks"]) == (2, None)


def test_neither_are_they_where_the_cascade_comes_back_by_another_model(facts: Arrived) -> None:
    saga = Saga.objects.create()
    Sequel.objects.create(of=saga)

    Saga.objects.filter(pk__in=[saga.pk, saga.pk + 1000]).delete()

    assert (only(facts)["count"], only(facts)["pks"]) == (2, None)


def test_they_are_where_what_goes_with_them_is_of_other_models(facts: Arrived) -> None:
    author = Author.objects.create()
    Audiobook.objects.create(title="Emma", author=author)

    Author.objects.filter(pk=author.pk).delete()

    assert only(facts)["pks"] == [author.pk]


def test_an_object_is_told_by_what_the_foreign_key_stores(facts: Arrived, django_assert_num_queries: Any) -> None:
    germany = Country.objects.create(code="de")
    deferred = Country.objects.only("pk").get()
    publisher = Publisher.objects.create()

    Publisher.objects.filter(country=None).update(country=germany)
    Publisher.objects.filter(country=germany).update(name="x")
    values = bulk_data.told_values(selection.policy(Publisher), Publisher, {"country": germany})  # type: ignore[arg-type]
    with django_assert_num_queries(0):
        unknown = bulk_data.told_values(selection.policy(Publisher), Publisher, {"country": deferred})  # type: ignore[arg-type]

    publisher.refresh_from_db()
    first, second = (event.data for event in told(facts) if event.data)
    assert first["values"] == values == {"country_id": "de"} == {"country_id": publisher.country_id}  # type: ignore[attr-defined]
    assert second["where"] == {"country_id": "de"}
    assert unknown == {"country_id": f"library.Country/{germany.pk}"}


def test_a_foreign_key_that_is_named_by_its_column_is_told(facts: Arrived) -> None:
    author, (book,) = Author.objects.create(), books("Emma")
    book.author = author

    Book.objects.bulk_update([book], ["author_id"])
    Book.objects.update_or_create(pk=book.pk, defaults={"author_id": author.pk})

    updated, merged = (event.data for event in told(facts) if event.data)
    assert (updated["fields"], updated["rows"]) == (["author_id"], [{"author_id": author.pk}])
    assert merged["fields"] == ["author_id"]


@pytest.mark.parametrize("is_new", [True, False])
def test_what_is_for_new_rows_only_is_told_of_new_rows_only(facts: Arrived, is_new: bool) -> None:
    if not is_new:
        Book.objects.create(title="Emma")

    Book.objects.update_or_create({"price": 1}, {"bought_at": None}, title="Emma")

    assert only(facts)["fields"] == (["bought_at"] if is_new else ["price"])


@pytest.mark.parametrize("is_undone", [True, False])
def test_switched_off_a_bulk_update_is_remembered_all_the_same(facts: Arrived, is_undone: bool) -> None:
    genre = Genre.objects.create(name="Novel")
    genre.name = "Poem"

    with override_settings(HELIOGRAPH_BULK=False), transaction.atomic():
        Genre.objects.bulk_update([genre], ["name"])
        transaction.set_rollback(is_undone)
    genre.save()

    assert [data["changes"] for data in saves(facts)] == ([{"name": ["Novel", "Poem"]}] if is_undone else [])


def test_switched_off_only_calls_whose_rows_send_no_signal_are_holes(facts: Arrived) -> None:
    before = outlet.counts["hole"]

    with override_settings(HELIOGRAPH_BULK=False):
        Genre.objects.update_or_create(name="Novel")
        Genre.objects.all().delete()

    assert outlet.counts["hole"] == before


@contextmanager
def refused(signal: Any) -> Iterator[None]:
    """Have a receiver raise, after ours."""

    def refuse(**_: Any) -> None:
        raise PermissionError("no")

    signal.connect(refuse, sender=Genre)
    try:
        yield
    finally:
        signal.disconnect(refuse, sender=Genre)


@pytest.mark.parametrize("call", ["delete", "update_or_create"])
def test_a_call_that_fails_halfway_is_told_as_the_cause_that_it_is(arrived: Arrived, call: str) -> None:
    genre = Genre.objects.create(name="Novel")
    calls: dict[str, tuple[Any, Any]] = {
        "delete": (post_delete, lambda: Genre.objects.all().delete()),
        "update_or_create": (
            post_save,
            lambda: Genre.objects.update_or_create(pk=genre.pk, defaults={"name": "x"}),
        ),
    }
    signal, act = calls[call]

    with refused(signal), pytest.raises(PermissionError) as caught:
        act()

    events = arrived()
    (failed,) = (event for event in events if event.type.startswith("heliograph."))
    assert failed.data == {
        "model": "library.Genre", "operation": call, "error": "builtins.PermissionError", "count": None
    }  # fmt: skip
    assert (failed.action, failed.outcome) == (None, None)
    assert failed.id in {event.causationid for event in events}
    assert {event.causationid for event in events} - {None} <= {event.id for event in events}
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def test_what_was_created_in_bulk_is_remembered(facts: Arrived) -> None:
    (kept,) = Genre.objects.bulk_create([Genre(name="Novel")])
    with pytest.raises(ArithmeticError), transaction.atomic():
        (gone,) = Genre.objects.bulk_create([Genre(name="Poem")])
        raise ArithmeticError
    kept.save()
    kept.name = "Essay"
    kept.save()

    assert [(data["diff_source"], data["changes"]) for data in saves(facts)] == [
        ("saved", {"name": ["Novel", "Essay"]})
    ]
    assert memory.snapshot(gone, "default").source == "none"


def test_what_the_database_may_not_have_taken_is_not_remembered(facts: Arrived) -> None:
    kept = Genre.objects.create(name="Novel")
    other = Genre(pk=kept.pk, name="x")

    Genre.objects.bulk_create([other], ignore_conflicts=True)
    other.save()

    assert [data.get("fields") for data in saves(facts)] == [{"name": "x"}]


@pytest.mark.parametrize(("chosen", "actions"), [("post_save", ["update", "bulk_create"]), ("post_delete", ["delete"])])
def test_calls_are_told_whose_signals_are_chosen(facts: Arrived, chosen: str, actions: list[str]) -> None:
    before = outlet.counts["hole"]

    with override_settings(HELIOGRAPH_SIGNALS=[chosen]):
        Genre.objects.update(name="x")
        Genre.objects.bulk_create([Genre(name="y")])
        Genre.objects.all().delete()

    assert [event.action for event in told(facts)] == actions
    assert outlet.counts["hole"] == before


def test_direct_writes_to_an_automatic_through_table_are_holes(facts: Arrived) -> None:
    (book,), genre = books("Emma"), Genre.objects.create(name="Novel")
    through: Any = Book.genres.through
    before = outlet.counts["hole"]

    through.objects.bulk_create([through(book=book, genre=genre)])
    through.objects.filter(book=book).update(genre=genre)
    through.objects.filter(book=book).delete()

    assert told(facts) == []
    assert outlet.counts["hole"] == before + 3


def test_writes_to_it_that_django_makes_are_none(facts: Arrived) -> None:
    (book,), genre = books("Emma"), Genre.objects.create(name="Novel")
    before = outlet.counts["hole"]

    book.genres.add(genre)
    book.genres.remove(genre)
    book.genres.set([genre])
    book.genres.clear()
    genre.books.add(book)
    genre.delete()
    book.delete()

    assert outlet.counts["hole"] == before


def historical(model: type[Model]) -> Any:
    return ProjectState.from_apps(apps).apps.get_model(model._meta.label)


def test_models_of_migrations_are_holes(facts: Arrived, caplog: pytest.LogCaptureFixture) -> None:
    genre = historical(Genre)
    before = outlet.counts["hole"]

    (one,) = genre.objects.bulk_create([genre(name="Novel")])
    genre.objects.update(name="Poem")
    genre.objects.bulk_update([one], ["name"])
    genre.objects.all().delete()
    historical(ContentType).objects.update(model="x")

    assert told(facts) == []
    assert outlet.counts["hole"] == before + 4
    assert not [record for record in caplog.records if record.thread == get_ident()]


def test_what_an_overridden_update_adds_is_told(facts: Arrived) -> None:
    dear = Dear.objects.create()
    dear.name = "x"

    Dear.objects.bulk_update([dear], ["name"])

    inner, outer = told(facts)
    assert inner.data is not None
    assert (inner.action, inner.data["values"]["price"], inner.causationid) == ("update", 1, outer.id)
    assert outer.action == "bulk_update"


def test_an_update_of_other_rows_in_a_bulk_update_is_told(facts: Arrived) -> None:
    class Clearing(QuerySet[Any]):
        def update(self, **kwargs: Any) -> int:
            Book.objects.update(title="")
            return super().update(**kwargs)

    (book,) = books("Emma")

    Clearing(Book).bulk_update([book], ["title"])

    assert [event.action for event in told(facts)] == ["update", "bulk_update"]


class Querying:
    """May be read as often as you like, with a query each time."""

    def __iter__(self) -> Iterator[Any]:
        return Genre.objects.all().iterator()


def test_objects_are_read_once_as_without_us(facts: Arrived, django_assert_num_queries: Any) -> None:
    Genre.objects.create(name="Novel")

    with django_assert_num_queries(4):  # BEGIN and COMMIT of the transaction, the objects, the update
        assert Genre.objects.bulk_update(Querying(), ["name"]) == 1  # type: ignore[arg-type]

    assert only(facts)["count"] == 1


def test_objects_are_not_read_where_django_refuses_before(facts: Arrived) -> None:
    given = iter([Genre()])

    with pytest.raises(ValueError, match="Batch size"):
        Genre.objects.bulk_update(given, ["name"], batch_size=-1)

    assert len(list(given)) == 1


def test_an_asynchronous_update_or_create_is_told(facts: Arrived) -> None:
    async def act() -> None:
        await Genre.objects.aupdate_or_create(pk=7000, defaults={"name": "x"}, create_defaults={"name": "y"})

    async_to_sync(act)()

    assert only(facts)["operation"] == "update_or_create"
