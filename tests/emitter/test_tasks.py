"""Tasks know who asked for them and by which event, and leave nothing to the next one."""

from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.signals import setup_logging
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.signals import post_save
from django.test import Client, override_settings
from django.urls import path

import emitter
from emitter import contexts, frames, tasks
from emitter.event import Event
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Author, Book, Genre

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

# Without the fixup for Django, by which a worker runs its checks, which since Django 6.1 ask every database.
app = Celery("library", broker="memory://", backend="cache+memory://", set_as_current=False, fixups=[])
app.conf.broker_connection_retry_on_startup = True


@setup_logging.connect(weak=False)
def keep_logging(**_: Any) -> None:
    """Keep the worker's hands off the root logger, by whose level other tests would hear no warning."""


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@app.task
def write(title: str) -> str | None:
    try:
        Book.objects.create(title=title)
        if title == "fail":
            raise ArithmeticError
    finally:
        connection.close()
    now = contexts.current()
    return now.correlationid if now else None


@app.task(bind=True, max_retries=1)
def write_twice(self: Any, title: str) -> None:
    Book.objects.create(title=f"{title} {self.request.retries}")
    connection.close()
    if not self.request.retries:
        raise self.retry(countdown=0)


@app.task
def write_author() -> None:
    Author.objects.create(name="Jane")
    write.delay("nested").forget()
    connection.close()


def ask(request: Any) -> Any:
    from django.http import HttpResponse

    request.user = User(pk=7)
    result = write.delay("asked")
    result.get(timeout=30)
    return HttpResponse()


urlpatterns = [path("ask", ask)]


@pytest.fixture(scope="module")
def worker() -> Iterator[None]:
    """A real worker in a thread of its own, on a broker in memory."""
    with start_worker(app, perform_ping_check=False, pool="solo", shutdown_timeout=30):
        yield


def of(facts: Arrived, sender: str) -> list[Event]:
    return [event for event in facts() if event.sender == sender]


def test_a_task_has_the_context_of_who_asked_for_it(facts: Arrived, worker: None) -> None:
    with emitter.context(actor=User(pk=7), correlationid="abc", traceparent=TRACEPARENT):
        write.delay("Emma").get(timeout=30)

    (event,) = of(facts, "library.Book")
    assert (event.actor, event.correlationid, event.traceparent) == ("auth.User/7", "abc", TRACEPARENT)


@pytest.mark.urls(__name__)
def test_a_task_asked_for_in_a_request_has_its_id_and_actor(facts: Arrived, worker: None, client: Client) -> None:
    client.get("/ask", headers={"X-Request-ID": "abc"})

    assert {(event.correlationid, event.actor) for event in facts()} == {("abc", "auth.User/7")}
    assert len(of(facts, "library.Book")) == 1


def test_a_task_asked_for_by_a_receiver_is_caused_by_its_event(facts: Arrived, worker: None) -> None:
    def hand_on(**_: Any) -> None:
        write.delay("Emma").get(timeout=30)

    post_save.connect(hand_on, sender=Genre)
    try:
        Genre.objects.create(name="Novel")
    finally:
        post_save.disconnect(hand_on, sender=Genre)

    (book,), (genre,) = of(facts, "library.Book"), of(facts, "library.Genre")
    assert book.causationid == genre.id
    assert book.correlationid is not None


def test_a_task_nobody_asked_for_has_a_context_of_its_own_and_leaves_it(facts: Arrived, worker: None) -> None:
    with emitter.context(correlationid="abc", actor="cron"):
        write.delay("first").get(timeout=30)
    second, third = write.delay("second").get(timeout=30), write.delay("third").get(timeout=30)

    assert len({"abc", None, second, third}) == 4
    assert [event.actor for event in of(facts, "library.Book")] == ["cron", None, None]
    assert tasks._running == {}


def test_a_task_that_fails_leaves_its_context(facts: Arrived, worker: None) -> None:
    with emitter.context(correlationid="abc", actor="cron"), pytest.raises(ArithmeticError):
        write.delay("fail").get(timeout=30)
    write.delay("after").get(timeout=30)

    assert [event.actor for event in of(facts, "library.Book")] == ["cron", None]
    assert tasks._running == {}


def test_a_task_tried_again_has_the_context_of_the_first_time(facts: Arrived, worker: None) -> None:
    with emitter.context(correlationid="abc", actor="cron"):
        write_twice.delay("try").get(timeout=30)

    assert [(event.correlationid, event.actor) for event in of(facts, "library.Book")] == [("abc", "cron")] * 2


def test_a_task_asked_for_by_a_task_has_the_context_of_the_first(facts: Arrived, worker: None) -> None:
    with emitter.context(correlationid="abc", actor="cron"):
        write_author.delay().get(timeout=30)
        write.delay("last").get(timeout=30)  # the worker takes one after another

    assert [(event.correlationid, event.actor) for event in of(facts, "library.Book")] == [("abc", "cron")] * 2


@pytest.mark.parametrize("title", ["Emma", "fail"])
def test_a_task_run_in_place_stays_in_the_context_around_and_ends_with_it(facts: Arrived, title: str) -> None:
    with emitter.context(correlationid="abc", actor="cron"):
        write.apply(args=[title])
        now = contexts.current()
        assert now is not None
        assert now.correlationid == "abc"

    assert [(event.correlationid, event.actor) for event in of(facts, "library.Book")] == [("abc", "cron")]
    assert (contexts.current(), frames.cause()) == (None, None)


needs_tasks = pytest.mark.skipif(
    django.VERSION < (6, 0),
    reason="Django Tasks came with Django 6.0: what the emitter does with them is NOT TESTED here",
)


@pytest.fixture
def write_django() -> Callable[..., Any]:
    from tests.emitter.library import tasks as library_tasks

    return library_tasks.write  # type: ignore[no-any-return]


@needs_tasks
def test_a_django_task_is_told_and_causes_what_it_does(facts: Arrived, write_django: Any) -> None:
    with emitter.context(correlationid="abc", actor="cron"):
        result = write_django.enqueue("Emma")

    (enqueued,) = [event for event in facts() if event.action == "enqueued"]
    (book,) = of(facts, "library.Book")
    assert enqueued.type == "django.tasks.signals.task_enqueued"
    assert enqueued.data == {"id": result.id, "task": "tests.emitter.library.tasks.write"}
    assert (enqueued.correlationid, enqueued.actor) == ("abc", "cron")
    assert book.causationid == enqueued.id
    assert book.correlationid == result.id


@needs_tasks
def test_a_django_task_that_fails_leaves_its_context(facts: Arrived, write_django: Any) -> None:
    write_django.enqueue("fail")
    Book.objects.create(title="after")

    assert [event.correlationid is None for event in of(facts, "library.Book")] == [False, True]
    assert tasks._running == {}


@needs_tasks
def test_a_django_task_asked_for_by_a_receiver_is_the_end_of_a_chain(facts: Arrived, write_django: Any) -> None:
    def hand_on(**_: Any) -> None:
        write_django.enqueue("Emma")

    post_save.connect(hand_on, sender=Genre)
    try:
        Genre.objects.create(name="Novel")
    finally:
        post_save.disconnect(hand_on, sender=Genre)

    (genre,) = of(facts, "library.Genre")
    (enqueued,) = [event for event in facts() if event.action == "enqueued"]
    assert enqueued.causationid == genre.id


@needs_tasks
def test_a_django_task_asked_for_in_a_transaction_is_told_with_its_outcome(arrived: Arrived, write_django: Any) -> None:
    with pytest.raises(ArithmeticError), transaction.atomic():
        write_django.enqueue("gone")
        assert [event for event in arrived() if event.action == "enqueued"] == []
        raise ArithmeticError
    with transaction.atomic():
        write_django.enqueue("Emma")
    write_django.enqueue("Persuasion")

    outcomes = [event.outcome for event in arrived() if event.action == "enqueued"]
    assert outcomes == ["rolledback", "committed", "autocommit"]


@needs_tasks
@override_settings(HELIOGRAPH_SIGNALS=[])
def test_a_django_task_is_not_told_where_no_signal_is(facts: Arrived, write_django: Any) -> None:
    write_django.enqueue("Emma")

    assert [event for event in facts() if event.action == "enqueued"] == []
    assert [event.causationid for event in of(facts, "library.Book")] == [None]
