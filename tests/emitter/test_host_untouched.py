"""Nothing of ours raises into the project, queries for it, or changes what its code sees."""

import copy
import importlib
import inspect
import logging
import pickle
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import BaseCommand, call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.models import Model, QuerySet
from django.db.models import signals as db
from django.db.models.manager import BaseManager
from django.db.models.sql import UpdateQuery
from django.dispatch import Signal
from django.http import HttpResponse
from django.test import Client, TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path

import emitter as package
from emitter import contexts, pipeline, transactions, values
from emitter.event import Event
from emitter.middleware import HeliographMiddleware
from emitter.worker import Worker
from tests.emitter.conftest import Arrived
from tests.emitter.library import signals
from tests.emitter.library.models import Audiobook, Author, Book, Card, Genre, Note, Novel, Placement, Shelf
from tests.emitter.wiring import unwired

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

MODEL_SIGNALS = [each for each in vars(db).values() if isinstance(each, Signal)]
SIGNALS = [*MODEL_SIGNALS, signals.book_lent]


class Buy(BaseCommand):
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        Book.objects.create(title="bought")


def log_in(request: Any) -> HttpResponse:
    Book.objects.create(title="asked")
    return HttpResponse(str(request.user.is_authenticated))


urlpatterns = [path("ask", log_in)]


@contextmanager
def bare() -> Iterator[None]:
    """Take away what of ours listens and wraps, as if the emitter were not installed."""
    with ExitStack() as stack:
        stack.enter_context(unwired())
        for name in ("update", "delete", "_raw_delete", "bulk_create", "bulk_update", "update_or_create"):
            wrapped = getattr(QuerySet, name)
            stack.callback(setattr, QuerySet, name, wrapped)
            setattr(QuerySet, name, wrapped.__wrapped__)
        yield


def statements(act: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        act()
    return [query["sql"].split(" ", 1)[0] for query in captured.captured_queries]


def make(title: str = "Emma") -> Book:
    return Book.objects.create(title=title)


def changed(book: Book) -> Book:
    book.title += "!"
    return book


SCENES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "create": (lambda: None, lambda _: make()),
    "save loaded": (lambda: Book.objects.get(pk=make().pk), lambda book: changed(book).save()),
    "save created": (make, lambda book: changed(book).save()),
    "save two fields": (make, lambda book: changed(book).save(update_fields=["title"])),
    "save deferred": (lambda: Book.objects.only("title").get(pk=make().pk), lambda book: changed(book).save()),
    "read deferred": (lambda: Book.objects.only("pk").get(pk=make().pk), lambda book: book.title),
    "refresh": (make, lambda book: book.refresh_from_db()),
    "list": (lambda: [make() for _ in range(3)], lambda _: list(Book.objects.all())),
    "list with related": (make, lambda _: list(Book.objects.select_related("author").prefetch_related("genres"))),
    "delete": (make, lambda book: book.delete()),
    "cascade": (
        lambda: Book.objects.create(title="x", author=Author.objects.create()),
        lambda book: book.author.delete(),
    ),
    "child": (lambda: Audiobook.objects.create(title="x"), lambda book: changed(book).save()),
    "proxy": (lambda: Novel.objects.create(title="x"), lambda book: changed(book).save()),
    "update": (make, lambda _: Book.objects.filter(title="Emma").update(title="x")),
    "queryset delete": (make, lambda _: Book.objects.all().delete()),
    "bulk_create": (lambda: None, lambda _: Book.objects.bulk_create([Book(title="x"), Book(title="y")])),
    "bulk_update": (make, lambda book: Book.objects.bulk_update([changed(book)], ["title"])),
    "update_or_create": (make, lambda book: Book.objects.update_or_create(pk=book.pk, defaults={"title": "x"})),
    "get_or_create": (make, lambda book: Book.objects.get_or_create(pk=book.pk)),
    "m2m add": (lambda: (make(), Genre.objects.create()), lambda pair: pair[0].genres.add(pair[1])),
    "m2m set": (lambda: (make(), Genre.objects.create()), lambda pair: pair[0].genres.set([pair[1]])),
    "atomic": (make, lambda book: transaction.atomic()(changed(book).save)()),
    "custom": (make, lambda book: signals.book_lent.send(None, book=book, books=Book.objects.all())),
}  # fmt: skip


# In which Django itself reads rows, or opens a transaction, because somebody listens: see heliograph.I001.
LISTENED_TO = {"delete", "cascade", "queryset delete", "m2m add", "m2m set"}
WRITES = {"INSERT", "UPDATE", "DELETE"}


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_makes_the_queries_of_bare_django(arrived: Arrived, scene: str) -> None:
    prepare, act = SCENES[scene]
    with bare():
        thing = prepare()
        without = statements(lambda: act(thing))

    thing = prepare()
    with_us = statements(lambda: act(thing))

    if scene in LISTENED_TO:
        assert Counter(word for word in with_us if word in WRITES) <= Counter(without)
    else:
        assert with_us == without


def test_what_a_listener_costs_in_django_itself_is_known(arrived: Arrived) -> None:
    """A listened-to relation is read before it is added to, and a listened-to model before it is deleted in mass."""
    book, genre = make(), Genre.objects.create(name="Novel")
    assert "SELECT" in statements(lambda: book.genres.add(genre))
    card = Card.objects.create(pin="1")
    assert statements(lambda: Card.objects.filter(pk=card.pk).delete())[0] == "SELECT"


def test_a_clear_costs_the_one_query_that_tells_what_it_removed(arrived: Arrived) -> None:
    book = make()
    with bare():
        without = statements(book.genres.clear)

    assert len(statements(book.genres.clear)) == len(without) + 1


@pytest.mark.parametrize("model", [Book, Card, Note, Shelf, Audiobook, Novel])
@pytest.mark.parametrize("mode", ["loaded", "saved", "refreshed", "cleared"])
def test_a_pickle_does_not_grow(arrived: Arrived, model: type[Model], mode: str) -> None:
    instance: Any = model._default_manager.create()
    if mode != "saved":
        instance = model._default_manager.get(pk=instance.pk)
    if mode == "refreshed":
        instance.refresh_from_db()
    if mode == "cleared" and hasattr(instance, "genres"):
        instance.genres.clear()

    ours = set(instance._state.__dict__) - {"db", "adding", "fields_cache", "peers", "fetch_mode"}
    with_us = pickle.dumps(instance)
    for name in ours:
        delattr(instance._state, name)

    assert ours == {"heliograph"}
    assert b"heliograph" not in with_us
    assert len(with_us) == len(pickle.dumps(instance))


def test_copies_are_as_free_as_ever(arrived: Arrived) -> None:
    book = Book.objects.get(pk=make().pk)

    for again in (copy.copy(book), copy.deepcopy(book), pickle.loads(pickle.dumps(book))):
        assert again == book
        assert again.__dict__.keys() - {"_django_version"} == book.__dict__.keys()
        again.title = "copy"
        again.save()
        assert book.title == "Emma"
    book.title = "original"
    book.save()

    assert arrived()[-1].data is not None
    assert arrived()[-1].data["changes"] == {"title": ["Emma", "original"]}


def test_a_copy_that_is_made_a_new_row_is_created(arrived: Arrived) -> None:
    again = copy.copy(make())
    again.pk, again._state.adding = None, True
    again.save()

    assert arrived()[-1].action == "created"


@pytest.mark.parametrize("name", ["update", "delete", "_raw_delete", "bulk_create", "bulk_update", "update_or_create"])
def test_methods_of_querysets_look_as_they_did(name: str) -> None:
    method: Any = getattr(QuerySet, name)
    original = method.__wrapped__

    assert (method.__name__, method.__qualname__, method.__doc__, method.__module__) == (
        original.__name__, original.__qualname__, original.__doc__, original.__module__,
    )  # fmt: skip
    assert inspect.signature(method) == inspect.signature(original)
    for attribute in ("alters_data", "queryset_only"):
        assert getattr(method, attribute, None) == getattr(original, attribute, None)


def test_what_alters_data_is_still_known_to() -> None:
    assert QuerySet.delete.alters_data is True  # type: ignore[attr-defined]
    assert QuerySet.update.alters_data is True  # type: ignore[attr-defined]
    assert Book.objects.bulk_create.__name__ == "bulk_create"
    assert not hasattr(Book.objects, "delete")
    assert not hasattr(Book.objects, "_raw_delete")
    assert inspect.signature(UpdateQuery.update_batch).parameters.keys() == {"self", "pk_list", "values", "using"}


@pytest.mark.parametrize("name", ["from_db", "refresh_from_db", "__getstate__", "save", "delete"])
def test_methods_of_models_look_as_they_did(name: str) -> None:
    ours, theirs = getattr(Book, name), getattr(Model, name)

    assert (ours.__name__, ours.__qualname__, ours.__doc__) == (theirs.__name__, theirs.__qualname__, theirs.__doc__)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert getattr(ours, "alters_data", None) == getattr(theirs, "alters_data", None)


def test_signals_send_as_they_did() -> None:
    for signal in (db.post_save, signals.book_lent):
        for name in ("send", "send_robust", "asend", "asend_robust"):
            ours, theirs = getattr(signal, name), getattr(Signal(), name)
            assert (ours.__name__, inspect.signature(ours)) == (theirs.__name__, inspect.signature(theirs))
            assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


def test_a_signal_class_that_is_patched_later_is_heeded(arrived: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    original = Signal.send

    def send(self: Signal, sender: Any, **named: Any) -> Any:
        sent.append(sender)
        return original(self, sender, **named)

    monkeypatch.setattr(Signal, "send", send)
    Genre.objects.create(name="Novel")

    assert Genre in sent
    assert len(arrived()) == 2


def test_managers_and_related_managers_are_told_of_alike(facts: Arrived) -> None:
    class Custom(BaseManager.from_queryset(QuerySet)):  # type: ignore[misc]
        pass

    author = Author.objects.create(name="Jane")
    manager: Any = Custom()
    manager.model = Book
    manager.bulk_create([Book(title="Emma", author=author)])
    author.book_set.update(title="x")
    author.book_set.all().update(title="y")
    author.book_set.update_or_create(title="y", defaults={"title": "z"})
    Book._base_manager.update(title="zz")

    assert [event.action for event in facts() if event.type.startswith("heliograph.")] == [
        "bulk_create", "update", "update", "update_or_create", "update",
    ]  # fmt: skip


def test_async_methods_are_told_of(facts: Arrived) -> None:
    from asgiref.sync import async_to_sync

    async def act() -> None:
        book = await Book.objects.acreate(title="Emma")
        await Book.objects.aupdate(title="x")
        await Book.objects.abulk_create([Book(title="y")])
        await Book.objects.abulk_update([book], ["title"])
        book.title = "z"
        await book.asave()
        await book.genres.aclear()
        await book.arefresh_from_db()
        await book.adelete()
        await Book.objects.all().adelete()

    async_to_sync(act)()

    assert [event.action for event in facts() if event.sender == "library.Book" and event.action != "deleted"] == [
        "created", "update", "bulk_create", "bulk_update", "updated", "delete",
    ]  # fmt: skip


def test_a_save_is_captured_while_the_signals_are_muted_for_receivers(facts: Arrived) -> None:
    """As factory_boy's mute_signals does."""
    book = make()
    paused, db.post_save.receivers = db.post_save.receivers, []
    try:
        changed(book).save()
    finally:
        db.post_save.receivers = paused
        with db.post_save.lock:
            db.post_save.sender_receivers_cache.clear()
    changed(book).save()

    assert [event.action for event in facts()] == ["created", "updated", "updated"]


def test_an_on_commit_of_the_projects_own_is_called(facts: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    del connections[DEFAULT_DB_ALIAS]
    own = connections[DEFAULT_DB_ALIAS]
    calls: list[Any] = []

    def on_commit(func: Any, robust: bool = False, *, tag: str = "") -> None:
        calls.append((func, tag))
        type(own).on_commit(own, func, robust)

    own.on_commit = on_commit  # type: ignore[assignment]
    done: list[str] = []
    with transaction.atomic():
        make()
        own.on_commit(lambda: done.append("done"), tag="mine")  # type: ignore[call-arg]

    assert done == ["done"]
    assert calls[-1][1] == "mine"
    assert [event.outcome for event in facts()] == ["committed"]
    own.close()
    del connections[DEFAULT_DB_ALIAS]


def test_an_on_commit_that_fails_for_us_costs_no_event(facts: Arrived, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, func: Any, robust: bool = False) -> None:
        raise RuntimeError("no callbacks here")

    monkeypatch.setattr(type(connections[DEFAULT_DB_ALIAS]), "on_commit", refuse)
    with transaction.atomic():
        make()

    assert [event.outcome for event in facts()] == ["committed"]
    connections[DEFAULT_DB_ALIAS].close()
    del connections[DEFAULT_DB_ALIAS]  # its methods were wrapped with this on_commit in place


def test_where_nothing_is_sent_a_test_case_sees_its_own_callbacks_only() -> None:
    with override_settings(HELIOGRAPH_URL=""), transaction.atomic():
        with TestCase.captureOnCommitCallbacks() as callbacks:
            make()
            transaction.on_commit(len)  # type: ignore[arg-type]
        assert callbacks == [len]
        transaction.set_rollback(True)


def test_a_test_case_may_run_its_callbacks_itself(facts: Arrived) -> None:
    with transaction.atomic():
        with TestCase.captureOnCommitCallbacks() as callbacks:
            make()
        assert facts() == []
        for callback in callbacks:
            callback()
        assert len(facts()) == 1
        transaction.set_rollback(True)


def test_connections_look_as_they_did(arrived: Arrived) -> None:
    with transaction.atomic():
        make()
    current = connections["default"]

    for name in ("on_commit", "savepoint", "savepoint_rollback", "rollback", "commit", "close"):
        ours, theirs = getattr(current, name), getattr(type(current), name)
        assert ours.__name__ == theirs.__name__
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)[1:]


def test_a_response_can_be_pickled_by_a_cache(arrived: Arrived) -> None:
    from django.test import RequestFactory

    response = HeliographMiddleware(lambda request: HttpResponse(b"all"))(RequestFactory().get("/"))

    again = pickle.loads(pickle.dumps(response))
    again.close()

    assert again.content == b"all"


@pytest.mark.parametrize("level", ["handler", "filter"])
def test_a_log_of_the_projects_that_raises_is_none_of_its_codes_business(
    arrived: Arrived, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    logger = logging.getLogger("heliograph")
    handler = logging.Handler()
    monkeypatch.setattr(handler, "handle" if level == "handler" else "filter", fail)
    logger.addHandler(handler)
    monkeypatch.setattr(pipeline, "emit", fail)
    try:
        make()
    finally:
        logger.removeHandler(handler)


def test_a_value_whose_own_code_fails_costs_itself_and_not_the_event(facts: Arrived) -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no items")

    class Nosy:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    signals.book_lent.send(None, broken=Broken(a=1), nosy=Nosy(), days=3)

    assert facts()[-1].data == {
        "broken": f"<{__name__}.{Broken.__qualname__}>", "nosy": f"<{__name__}.{Nosy.__qualname__}>", "days": 3,
    }  # fmt: skip


def test_a_graph_of_values_that_never_ends_is_told_in_part_and_soon(facts: Arrived) -> None:
    wide: list[Any] = []
    wide.extend([wide] * 50)

    signals.book_lent.send(None, wide=wide)

    (event,) = facts()
    assert event.data is not None
    assert event.data.get("truncated") or str(event.data).count("list") < 20_000


# Faults: each function of ours fails in turn, in a life that touches them all.

MODULES = [importlib.import_module(f"emitter.{each.name}") for each in pkgutil.iter_modules(package.__path__)]
# What runs at the start or on request, in the sending thread, or is the wrapping itself.
APART = {
    "emitter.apps", "emitter.checks", "emitter.testing", "emitter.worker", "emitter.transport", "emitter.retry",
    "emitter.conf", "emitter.exceptions", "emitter.delivery", "emitter.estate", "emitter.filelock", "emitter.parking",
    "emitter.records", "emitter.segments", "emitter.spool", "emitter.tally", "emitter.forks", "emitter.sender",
    "emitter.spiller", "emitter.reporter", "emitter.stock", "emitter.folders", "emitter.answers",
    "emitter.check_waiting",
}  # fmt: skip
WRAPPING = {
    "bulk.tell", "bulk.written", "frames.bound", "frames.entered", "frames.carried", "frames.cause",
    "transactions.quietly", "transactions.heeded", "serialization.type_name", "middleware.begin", "middleware.finish",
    "bulk.to_be_told", "loading.loaded", "loading.scanned", "memory.open_fate",
}  # fmt: skip


def functions() -> Iterator[tuple[Any, str]]:
    for module in MODULES:
        if module.__name__ in APART:
            continue
        for name, value in vars(module).items():
            home = getattr(value, "__module__", "")
            label = f"{module.__name__.removeprefix('emitter.')}.{name}"
            is_ours = isinstance(value, FunctionType) or type(value).__name__ == "_lru_cache_wrapper"
            if is_ours and str(home).startswith("emitter") and label not in WRAPPING:
                yield module, name
    yield from METHODS


METHODS: list[tuple[Any, str]] = [
    *((transactions.Ledger, name) for name in ("__init__", "hold", "settle", "after_commit", "after_savepoint",
                                               "after_savepoint_rollback", "after_rollback")),
    *((contexts.Context, name) for name in ("__init__", "attribute", "known_actor")),
    *((contexts.Visit, name) for name in ("__init__", "known_actor", "look", "settle", "end")),
    (Worker, "put"), (Event, "__init__"), (values.Frozen, "__init__"),
]  # fmt: skip


def live() -> list[Any]:
    """Do a bit of all, and return what the project sees of it."""
    seen: list[Any] = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append("committed"))
        book = Book.objects.create(title="Emma", details={"a": [1]})
        book.details["a"].append(2)
        book.save()
        book.refresh_from_db()
        seen.append(book.details)
    with pytest.raises(LookupError), transaction.atomic():
        Book.objects.create(title="gone")
        with pytest.raises(ArithmeticError), transaction.atomic():
            Genre.objects.create(name="gone")
            raise ArithmeticError
        raise LookupError
    genre = Genre.objects.create(name="Novel")
    book.genres.add(genre)
    seen.append(list(book.genres.values_list("name", flat=True)))
    book.genres.clear()
    Book.objects.filter(pk=book.pk).update(title="x")
    Book.objects.bulk_create([Book(title="y")])
    book.title = "z"
    Book.objects.bulk_update([book], ["title"])
    Book.objects.update_or_create(pk=book.pk, defaults={"title": "zz"})
    seen.append(Book.objects.get(pk=book.pk).title)
    pickle.loads(pickle.dumps(book))
    signals.book_lent.send(None, book=book, days={"a": 1})
    call_command(Buy())
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    seen.append(client.get("/ask").content)
    seen.append(Book.objects.all().delete()[0])
    User.objects.all().delete()
    seen.append(Author.objects.filter(pk__in=[1]).delete())
    Placement.objects.all()._raw_delete("default")  # type: ignore[attr-defined]
    return seen


@pytest.mark.urls(__name__)
def test_a_life_with_us_is_as_it_is_without(arrived: Arrived) -> None:
    with bare():
        without = live()

    assert live() == without


@pytest.mark.faults
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("owner", "name"),
    list(functions()),
    ids=[f"{owner.__name__.removeprefix('emitter.')}.{name}" for owner, name in functions()],
)
def test_a_fault_in_any_of_our_functions_is_never_noticed(
    arrived: Arrived, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError(name)

    with bare():
        without = live()
    connection.close()
    connections["default"].__dict__.pop(transactions.ATTRIBUTE, None)
    monkeypatch.setattr(owner, name, fail)

    try:
        assert live() == without
    finally:
        contexts._current.set(None)  # which what has failed may have left behind
