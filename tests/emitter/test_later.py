"""A save is noted where it happens and told later: as if it had been told at once."""

import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models.signals import post_save
from django.test import override_settings

from emitter import outlet, transactions
from emitter.event import moment, stamp_of
from emitter.memory import Save
from emitter.objects import Saved
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Author, Book, Cover, Genre
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

MANY = 3_000  # more than Python nests calls


@pytest.mark.parametrize(("old", "new"), [('{"a": 1}', {"a": 1}), ("[]", []), ("1", 1), ({"a": 1}, '{"a": 1}')])
def test_json_and_a_text_of_the_same_json_are_two_values(facts: Arrived, old: Any, new: Any) -> None:
    book = Book.objects.create(title="Emma", details=old)
    book.details = new
    book.save()
    book.details = old
    book.save()

    assert [event.data["changes"] for event in facts()[1:]] == [{"details": [old, new]}, {"details": [new, old]}]


@pytest.mark.parametrize(("old", "new"), [(1, True), (True, 1)])
def test_values_that_are_equal_and_stored_as_two_texts_are_two_values(facts: Arrived, old: Any, new: Any) -> None:
    book = Book.objects.create(title=old)
    book.title = new
    book.save()

    assert facts()[-1].data["changes"] == {"title": [str(old), str(new)]}


def test_saves_that_nobody_tells_leave_no_chain_behind(facts: Arrived) -> None:
    genre = Genre.objects.create(name="first")
    with override_settings(HELIOGRAPH_URL=""):
        for number in range(MANY):
            genre.name = str(number)
            genre.save()
    genre.name = "last"
    genre.save()
    genre.delete()

    assert [event.action for event in facts()] == ["created", "updated", "deleted"]
    assert facts()[1].data["changes"] == {"name": [str(MANY - 1), "last"]}


def test_saves_that_a_transaction_has_no_room_for_leave_no_chain_behind(
    facts: Arrived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "LIMIT", 3)
    genre = Genre.objects.create(name="first")
    with transaction.atomic():
        for number in range(MANY):
            genre.name = str(number)
            genre.save()
    genre.name = "last"
    genre.save()

    assert facts()[-1].data["changes"] == {"name": [str(MANY - 1), "last"]}


def test_what_waits_for_its_commit_holds_no_values_once_it_is_made(facts: Arrived) -> None:
    with transaction.atomic():
        author = Author.objects.create(name="Jane")
        noted = weakref.ref(author)
        held: list[Any] = transactions.ledger(connections["default"]).held
        saved = next(each.what for each in held if isinstance(each.what, Saved))
        outlet.work()
        left = (saved.save, saved.context)
        del author
        is_gone = noted() is None

    assert (left, is_gone) == ((None, None), True)
    assert facts()[0].data["fields"]["name"] == "Jane"


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_file_is_told_later_by_the_name_that_it_was_saved_with(facts: Arrived, is_loaded: bool) -> None:
    cover = Cover.objects.create(drawing="old.txt")
    if is_loaded:
        cover = Cover.objects.get(pk=cover.pk)
    cover.save()
    cover.drawing.name = "new.txt"
    cover.save()
    noted = type(vars(cover._state)["heliograph"])
    cover.drawing.name = "newest.txt"

    made, saved = facts()
    assert noted is Save
    assert made.data["fields"]["drawing"] == "old.txt"
    assert saved.data["changes"] == {"drawing": ["old.txt", "new.txt"]}


def test_a_fork_knows_the_id_of_what_was_not_told_yet(facts: Arrived) -> None:
    known = moment()
    read, write = os.pipe()
    if not (child := os.fork()):
        os.write(write, str(stamp_of(known)[0]).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read, 100).decode() == str(stamp_of(known)[0])
    os.close(read)
    os.close(write)


@contextmanager
def others_at_work() -> Iterator[None]:
    """Have other threads tell what is noted, all the time, and threads take turns as often as they can."""
    is_over, interval = threading.Event(), sys.getswitchinterval()

    def work() -> None:
        while not is_over.is_set():
            outlet.work()

    others = [threading.Thread(target=work) for _ in range(2)]
    sys.setswitchinterval(1e-6)
    for each in others:
        each.start()
    try:
        yield
    finally:
        is_over.set()
        for each in others:
            each.join()
        sys.setswitchinterval(interval)


def test_what_two_threads_look_at_is_the_same_event(facts: Arrived) -> None:
    def lend(instance: Genre, **_: Any) -> None:
        book_lent.send(None, days=instance.pk)

    post_save.connect(lend, sender=Genre)
    try:
        with others_at_work():
            for number in range(200):
                genre = Genre.objects.create(name=str(number))
                genre.name += "!"
                genre.save()
                genre.delete()
    finally:
        post_save.disconnect(lend, sender=Genre)

    events = facts()
    ids = {event.id for event in events}
    assert len(ids) == len(events) == 200 * 5
    assert {event.causationid for event in events if event.type.endswith("book_lent")} <= ids
    assert all(set(event.data) == {"changes", "diff_source"} for event in events if event.action == "updated")
    names = [event.data["fields"]["name"] for event in events if event.action == "deleted"]
    assert names == [f"{number}!" for number in range(200)]
