"""Chains: what happens while a receiver of an event runs names that event as its cause."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import connection, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete
from django.dispatch import Signal
from django.test import Client

from emitter.event import Event
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Author, Book, Genre
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@contextmanager
def receiving(signal: Signal, receiver: Callable[..., Any], sender: Any = None) -> Iterator[None]:
    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


def of(facts: Arrived, sender: str) -> Event:
    (event,) = [event for event in facts() if event.sender == sender]
    return event


def note_genre(**_: Any) -> None:
    Genre.objects.create(name="noted")


def test_what_a_receiver_saves_is_caused_by_what_it_was_told(facts: Arrived) -> None:
    with receiving(post_save, note_genre, Book):
        Book.objects.create(title="Emma")

    assert of(facts, "library.Genre").causationid == of(facts, "library.Book").id
    assert of(facts, "library.Book").causationid is None


def test_a_receiver_connected_before_ours_is_caused_all_the_same(facts: Arrived) -> None:
    from emitter import receivers

    book = Book.objects.create(title="Emma")
    with receiving(post_delete, note_genre, Book):
        receivers.attach(*receivers.LISTENING["post_delete"], Book)  # sorts ours before those of the project
        keys = [str(entry[0][0]).startswith("heliograph.") for entry in post_delete.receivers]
        book.delete()

    assert keys == sorted(keys, reverse=True)
    assert not keys[-1]
    assert of(facts, "library.Genre").causationid == facts()[1].id


def test_a_chain_has_a_link_for_each_receiver(facts: Arrived) -> None:
    def note_author(**_: Any) -> None:
        Author.objects.create(name="noted")

    with receiving(post_save, note_genre, Book), receiving(post_save, note_author, Genre):
        Book.objects.create(title="Emma")

    assert of(facts, "library.Genre").causationid == of(facts, "library.Book").id
    assert of(facts, "library.Author").causationid == of(facts, "library.Genre").id


def test_a_second_receiver_is_not_caused_by_what_the_first_did(facts: Arrived) -> None:
    def both(**_: Any) -> None:
        Genre.objects.create(name="first")
        Author.objects.create(name="second")

    with receiving(post_save, both, Book):
        Book.objects.create(title="Emma")

    assert of(facts, "library.Author").causationid == of(facts, "library.Book").id


def test_what_follows_a_bulk_call_in_a_receiver_is_not_caused_by_that_call(facts: Arrived) -> None:
    def both(**_: Any) -> None:
        Genre.objects.update(name="x")
        Author.objects.create(name="second")

    with receiving(post_save, both, Book):
        Book.objects.create(title="Emma")

    assert of(facts, "library.Genre").causationid == of(facts, "library.Book").id
    assert of(facts, "library.Author").causationid == of(facts, "library.Book").id


def test_what_comes_after_a_signal_is_not_caused_by_it(facts: Arrived) -> None:
    Book.objects.create(title="Emma")
    Genre.objects.create(name="Novel")
    book_lent.send(None)
    Author.objects.create(name="Jane")

    assert {event.causationid for event in facts()} == {None}


def test_after_a_receiver_that_raised_nothing_is_caused_by_its_signal(facts: Arrived) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError

    with receiving(post_save, refuse, Book), pytest.raises(PermissionError):
        Book.objects.create(title="Emma")
    Genre.objects.create(name="Novel")

    assert of(facts, "library.Genre").causationid is None


def test_what_a_receiver_leaves_to_the_commit_is_caused_by_its_event(facts: Arrived) -> None:
    with receiving(post_save, lambda **_: transaction.on_commit(note_genre), Book), transaction.atomic():
        transaction.on_commit(lambda: Author.objects.create(name="uncaused") and None)
        Book.objects.create(title="Emma")

    assert of(facts, "library.Genre").causationid == of(facts, "library.Book").id
    assert of(facts, "library.Author").causationid is None


def test_what_it_leaves_to_the_commit_of_another_database_is_too(facts: Arrived) -> None:
    def leave(**_: Any) -> None:
        transaction.on_commit(note_genre, using="other")

    with receiving(post_save, leave, Book), transaction.atomic(using="other"):
        Book.objects.create(title="Emma")

    assert of(facts, "library.Genre").causationid == of(facts, "library.Book").id


def test_what_a_login_leaves_to_the_commit_is_caused_by_it(facts: Arrived, client: Client) -> None:
    user = User.objects.create_user("ada")
    connection.close()  # so that nothing of ours is there from before

    with receiving(user_logged_in, lambda **_: transaction.on_commit(note_genre)), transaction.atomic():
        user_logged_in.send(User, user=user, request=None)

    (login,) = [event for event in facts() if event.action == "logged_in"]
    assert of(facts, "library.Genre").causationid == login.id


def test_a_commit_callback_that_was_carried_is_called_as_it_is(facts: Arrived) -> None:
    calls: list[tuple[Any, ...]] = []
    with transaction.atomic():
        Book.objects.create(title="Emma")
        transaction.on_commit(lambda: calls.append(("plain",)), robust=True)
        with pytest.raises(TypeError, match="must be a callable"):
            transaction.on_commit("no function")  # type: ignore[arg-type]

    assert calls == [("plain",)]


def test_deletes_and_relations_cause_as_well(facts: Arrived) -> None:
    book, genre = Book.objects.create(title="Emma"), Genre.objects.create(name="Novel")

    def note_author(action: str = "", **_: Any) -> None:
        if action != "pre_add":
            Author.objects.create(name="noted")

    with receiving(m2m_changed, note_author, Book.genres.through):
        book.genres.add(genre)

    (related,) = [event for event in facts() if event.action == "added"]
    assert of(facts, "library.Author").causationid == related.id


def test_before_an_event_there_is_no_cause_but_its_own(facts: Arrived, arrived: Arrived) -> None:
    book = Book.objects.create(title="Emma")
    with receiving(pre_delete, note_genre, Book):
        book.delete()

    (about_to,) = [event for event in arrived() if event.type.endswith("pre_delete")]
    assert of(facts, "library.Genre").causationid == about_to.id


@pytest.mark.parametrize("robust", [False, True])
def test_custom_signals_cause_what_sync_receivers_do(facts: Arrived, robust: bool) -> None:
    with receiving(book_lent, note_genre):
        (book_lent.send_robust if robust else book_lent.send)(None)

    (lent,) = [event for event in facts() if event.type.endswith("book_lent")]
    assert of(facts, "library.Genre").causationid == lent.id


@pytest.mark.parametrize("is_sent_async", [False, True])
@pytest.mark.parametrize("robust", [False, True])
def test_custom_signals_cause_what_async_receivers_do(facts: Arrived, is_sent_async: bool, robust: bool) -> None:
    async def note(**_: Any) -> None:
        await Genre.objects.acreate(name="noted")

    async def send() -> None:
        await (book_lent.asend_robust if robust else book_lent.asend)(None, days=3)

    with receiving(book_lent, note):
        if is_sent_async:
            async_to_sync(send)()
        else:
            (book_lent.send_robust if robust else book_lent.send)(None, days=3)

    (lent,) = [event for event in facts() if event.type.endswith("book_lent")]
    assert lent.data == {"days": 3}
    assert lent.causationid is None
    assert of(facts, "library.Genre").causationid == lent.id


def test_a_custom_signal_sent_async_by_a_receiver_names_its_cause(facts: Arrived) -> None:
    async def lend(**_: Any) -> None:
        await book_lent.asend(None)

    with receiving(post_save, lend, Book):
        Book.objects.create(title="Emma")

    (lent,) = [event for event in facts() if event.type.endswith("book_lent")]
    assert lent.causationid == of(facts, "library.Book").id


def test_signals_sent_at_once_in_many_tasks_cause_only_their_own(facts: Arrived) -> None:
    async def note(days: int, **_: Any) -> None:
        await asyncio.sleep(0)
        await Genre.objects.acreate(name=str(days))

    async def send_all() -> None:
        await asyncio.gather(*(book_lent.asend(None, days=days) for days in range(20)))

    with receiving(book_lent, note):
        async_to_sync(send_all)()

    lent = {str(event.data["days"]): event.id for event in facts() if event.type.endswith("book_lent") and event.data}
    noted = {event.data["fields"]["name"]: event.causationid for event in facts() if event.action and event.data}
    assert len(lent) == 20
    assert noted == lent


def test_a_save_that_tells_nothing_hands_on_its_own_cause(facts: Arrived) -> None:
    book = Book.objects.create(title="Emma")

    def save_again(**_: Any) -> None:
        book.save(update_fields=["title"])

    def note_once(instance: Book, created: bool, **_: Any) -> None:
        if not created:
            note_genre()

    with receiving(book_lent, save_again), receiving(post_save, note_once, Book):
        save_again()
        book_lent.send(None)

    lent = next(event for event in facts() if event.type.endswith("book_lent"))
    first, second = (event for event in facts() if event.sender == "library.Genre")
    assert (first.causationid, second.causationid) == (None, lent.id)
    assert sum(event.sender == "library.Book" for event in facts()) == 1
