"""Who does it, in which request, task or command: known late, passed on, and never anybody else's."""

import asyncio
import threading
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from io import BytesIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import BaseCommand, call_command
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from django.utils.functional import SimpleLazyObject

import emitter
from emitter import actors, contexts
from emitter.event import Event
from emitter.middleware import HeliographMiddleware
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Author, Book
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 100
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

meeting = threading.Barrier(MANY, timeout=30)
seats = threading.BoundedSemaphore(20)  # as many connections as the tests' server has to spare
async_meeting: list[asyncio.Barrier] = []
async_seats: list[asyncio.Semaphore] = []


def meet(request: HttpRequest, number: int) -> HttpResponse:
    book_lent.send(None, number=number)
    meeting.wait()  # from here on all requests are under way
    request.user = User(pk=number)
    with seats:
        Book.objects.create(title=str(number))
        connection.close()
    meeting.wait()
    book_lent.send(None, number=number)
    return HttpResponse()


async def meet_async(request: HttpRequest, number: int) -> HttpResponse:
    await book_lent.asend(None, number=number)
    await async_meeting[0].wait()
    request.user = User(pk=number)
    async with async_seats[0]:
        await Book.objects.acreate(title=str(number))
        await sync_to_async(lambda: connection.close())()  # noqa: PLW0108  # of the thread that it runs in
    await async_meeting[0].wait()
    await book_lent.asend(None, number=number)
    return HttpResponse()


def become(request: HttpRequest, who: str) -> HttpResponse:
    Book.objects.create(title="before")
    request.user = AnonymousUser() if who == "nobody" else User(pk=int(who))
    Book.objects.create(title="after")
    return HttpResponse()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        Book.objects.create(title="streamed")
        yield b"all"

    return StreamingHttpResponse(parts())


def in_block(request: HttpRequest) -> HttpResponse:
    with emitter.context(correlationid="inner"):
        Book.objects.create(title="before")
        request.user = User(pk=7)
        Book.objects.create(title="after")
    return HttpResponse()


urlpatterns = [
    path("meet/<int:number>", meet),
    path("ameet/<int:number>", meet_async),
    path("become/<str:who>", become),
    path("stream", stream),
    path("block", in_block),
]
urls = pytest.mark.urls(__name__)


def numbers(events: list[Event]) -> dict[str, set[tuple[str | None, Any]]]:
    """Return, by correlation id, who is told to have done what."""
    found = defaultdict(set)
    for event in events:
        data = event.data or {}
        what = data.get("number") or (data.get("fields") or {}).get("title") or str(data.get("path")).rpartition("/")[2]
        if not event.type.endswith("request_started"):  # which tells no path
            found[str(event.correlationid)].add((event.actor, int(what)))
    return found


EACH_ITS_OWN = {f"request-{number}": {(f"auth.User/{number}", number)} for number in range(1, MANY + 1)}


@urls
def test_a_hundred_threads_tell_each_their_own_actor_and_request(facts: Arrived) -> None:
    handler = WSGIHandler()

    def ask(number: int) -> None:
        environ = RequestFactory().get(f"/meet/{number}", headers={"X-Request-ID": f"request-{number}"}).environ
        response = handler({**environ, "wsgi.input": BytesIO()}, lambda *args: None)
        response.close()
        assert contexts.current() is None

    with ThreadPoolExecutor(MANY) as pool:
        list(pool.map(ask, range(1, MANY + 1)))

    assert len(facts()) == 5 * MANY
    assert numbers(facts()) == EACH_ITS_OWN


@urls
def test_a_hundred_async_tasks_tell_each_their_own_actor_and_request(facts: Arrived) -> None:
    async def ask(number: int) -> None:
        scope = {
            "type": "http", "method": "GET", "path": f"/ameet/{number}", "raw_path": b"", "query_string": b"",
            "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("testserver", 80),
            "headers": [(b"host", b"testserver"), (b"x-request-id", f"request-{number}".encode())],
        }  # fmt: skip
        asking = ApplicationCommunicator(get_asgi_application(), scope)
        await asking.send_input({"type": "http.request"})
        assert (await asking.receive_output(30))["status"] == 200
        assert (await asking.receive_output(30))["type"] == "http.response.body"
        await asking.wait(30)

    async def ask_all() -> None:
        async_meeting[:], async_seats[:] = [asyncio.Barrier(MANY)], [asyncio.Semaphore(20)]
        await asyncio.gather(*(ask(number) for number in range(1, MANY + 1)))

    async_to_sync(ask_all)()

    assert len(facts()) == 5 * MANY
    assert numbers(facts()) == EACH_ITS_OWN


def test_a_hundred_threads_and_tasks_without_requests_share_no_context(facts: Arrived) -> None:
    lined_up = threading.Barrier(MANY, timeout=30)

    def work(number: int) -> None:
        with emitter.context(actor=User(pk=number), correlationid=f"request-{number}"):
            lined_up.wait()
            book_lent.send(None, number=number)

    async def work_async(number: int) -> None:
        with emitter.context(actor=User(pk=number), correlationid=f"request-{number}"):
            await asyncio.sleep(0)
            await book_lent.asend(None, number=number)

    async def work_all() -> None:
        await asyncio.gather(*(work_async(number) for number in range(1, MANY + 1)))

    with ThreadPoolExecutor(MANY) as pool:
        list(pool.map(work, range(1, MANY + 1)))
    async_to_sync(work_all)()

    assert len(facts()) == 2 * MANY
    assert numbers(facts()) == EACH_ITS_OWN


@urls
def test_an_actor_found_out_late_is_told_of_what_came_before_as_well(facts: Arrived, client: Client) -> None:
    client.get("/become/7")

    assert len(facts()) == 4
    assert {event.actor for event in facts()} == {"auth.User/7"}


@urls
def test_nobody_is_no_actor(facts: Arrived, client: Client) -> None:
    client.get("/become/nobody")

    assert {event.actor for event in facts()} == {None}


@urls
def test_the_actor_of_one_request_is_not_that_of_the_next(facts: Arrived, client: Client) -> None:
    client.get("/become/7")
    client.get("/become/nobody")
    Book.objects.create(title="outside")

    assert [event.actor for event in facts()] == ["auth.User/7"] * 4 + [None] * 5
    assert facts()[-1].correlationid is None


@urls
def test_a_block_in_a_request_learns_of_its_actor_late_too(facts: Arrived, client: Client) -> None:
    client.get("/block")

    assert {event.actor for event in facts()} == {"auth.User/7"}
    assert [event.correlationid for event in facts()].count("inner") == 2


@urls
def test_what_is_saved_while_a_response_streams_belongs_to_its_request(facts: Arrived, client: Client) -> None:
    assert b"".join(client.get("/stream")) == b"all"  # type: ignore[arg-type]

    assert len(facts()) == 3
    assert len({event.correlationid for event in facts()}) == 1


@pytest.mark.parametrize(
    ("proxies", "forwarded", "ip"),
    [(0, "1.1.1.1", "9.9.9.9"), (1, "1.1.1.1", "1.1.1.1"), (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
     (2, "6.6.6.6, 1.1.1.1, 2.2.2.2", "1.1.1.1"), (2, "1.1.1.1", "9.9.9.9"), (1, "", "9.9.9.9")],
)  # fmt: skip
def test_the_address_is_what_trusted_proxies_say(
    facts: Arrived, client: Client, proxies: int, forwarded: str, ip: str
) -> None:
    with override_settings(HELIOGRAPH_TRUSTED_PROXIES=proxies):
        client.get("/none", headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR="9.9.9.9")

    started = facts()[0]
    assert started.data is not None
    assert started.data["ip"] == ip


def test_a_trace_gives_the_correlation_id_where_no_other_is_given(facts: Arrived, client: Client) -> None:
    client.get("/none", headers={"traceparent": TRACEPARENT})

    assert {event.correlationid for event in facts()} == {TRACEPARENT[3:35]}
    assert {event.traceparent for event in facts()} == {TRACEPARENT}


def test_a_request_that_began_without_the_signal_has_a_context_from_the_middleware(facts: Arrived) -> None:
    def answer(request: HttpRequest) -> HttpResponse:
        Book.objects.create(title="Emma")
        return HttpResponse()

    HeliographMiddleware(answer)(RequestFactory().get("/", headers={"X-Request-ID": "abc"}))
    contexts.enter(None)

    assert facts()[0].correlationid == "abc"


def test_no_actor_is_made_up() -> None:
    asleep = SimpleLazyObject(lambda: pytest.fail("evaluated"))

    assert [actors.actor_of(user) for user in (None, AnonymousUser(), User(), asleep)] == [None] * 4


def test_a_user_whose_truth_is_odd_is_an_actor_all_the_same(facts: Arrived) -> None:
    class Falsy(User):
        class Meta:
            proxy = True
            app_label = "auth"

        def __bool__(self) -> bool:
            raise AssertionError("the project's code is not called")

    request = HttpRequest()
    request.user = Falsy(pk=7)

    assert actors.actor_of(actors.known_user(request)) == "auth.User/7"


def test_a_context_gives_what_it_was_given_and_ends(facts: Arrived) -> None:
    with emitter.context(actor="cron", correlationid="nightly", traceparent=TRACEPARENT):
        Book.objects.create(title="Emma")
        with emitter.context(actor=User(pk=7)):
            Book.objects.create(title="Persuasion")
    Book.objects.create(title="Sanditon")

    assert [(event.actor, event.correlationid, event.traceparent) for event in facts()] == [
        ("cron", "nightly", TRACEPARENT), ("auth.User/7", "nightly", TRACEPARENT), (None, None, None),
    ]  # fmt: skip


def test_a_context_is_a_decorator(facts: Arrived) -> None:
    @emitter.context(actor="cron")
    def nightly() -> None:
        Book.objects.create(title="Emma")

    nightly()
    nightly()

    assert [event.actor for event in facts()] == ["cron", "cron"]
    assert len({event.correlationid for event in facts()}) == 2


def test_a_thread_that_copies_the_context_is_in_it(facts: Arrived) -> None:
    with emitter.context(correlationid="abc", actor="cron"):
        thread = threading.Thread(target=copy_context().run, args=[book_lent.send, None])
        thread.start()
        thread.join()
        other = threading.Thread(target=book_lent.send, args=[None])
        other.start()
        other.join()

    assert [event.correlationid for event in facts()] == ["abc", None]


class Buy(BaseCommand):
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        Author.objects.create(name="Jane")
        Book.objects.create(title="Emma")


def test_a_command_is_a_context_and_two_are_two(facts: Arrived) -> None:
    call_command(Buy())
    call_command(Buy())

    first, second = facts()[:2], facts()[2:]
    assert len({event.correlationid for event in first}) == len({event.correlationid for event in second}) == 1
    assert first[0].correlationid != second[0].correlationid
    assert first[0].correlationid is not None
    assert contexts.current() is None


def test_a_command_called_in_a_context_stays_in_it(facts: Arrived) -> None:
    with emitter.context(correlationid="abc", actor="cron"):
        call_command(Buy())

    assert {(event.correlationid, event.actor) for event in facts()} == {("abc", "cron")}


def test_a_command_that_fails_leaves_its_context(facts: Arrived) -> None:
    class Failing(Buy):
        def handle(self, *args: Any, **options: Any) -> None:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        call_command(Failing())

    assert contexts.current() is None


@contextmanager
def requests_atomic() -> Iterator[None]:
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        yield
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


@pytest.mark.parametrize(("url", "outcome"), [("/buy/Emma", "committed"), ("/buy-and-fail", "rolledback")])
@pytest.mark.urls("tests.emitter.urls")
def test_an_atomic_request_decides_about_its_events(arrived: Arrived, url: str, outcome: str) -> None:
    with requests_atomic():
        Client(raise_request_exception=False).get(url)

    assert {event.outcome for event in arrived() if event.action == "created"} == {outcome}
    assert {event.outcome for event in arrived() if ".core." in event.type} == {None}


def test_a_request_in_an_open_transaction_is_told_at_once(facts: Arrived, client: Client) -> None:
    with transaction.atomic():
        client.get("/none")
        assert len(facts()) == 2


@pytest.mark.parametrize("given", ["two words", "x" * 256, "ü", "line\tbreak", "AKIAIOSFODNN7EXAMPLE", object(), 1.5])
def test_an_id_that_cannot_be_one_is_not_used(facts: Arrived, given: Any, caplog: pytest.LogCaptureFixture) -> None:
    with emitter.context(correlationid="outer"), emitter.context(correlationid=given):
        book_lent.send(None)
    with emitter.context(correlationid=given):
        book_lent.send(None)

    inner, alone = (event.correlationid for event in facts())
    assert inner == "outer"
    assert alone not in {None, given, "outer"}
    assert len([record for record in caplog.records if "correlationid" in record.message]) == 1


@pytest.mark.parametrize("given", [42, uuid.UUID(int=7)])
def test_a_number_or_uuid_can_be_an_id(facts: Arrived, given: Any) -> None:
    with emitter.context(correlationid=given):
        book_lent.send(None)

    assert facts()[0].correlationid == str(given)


@pytest.mark.parametrize(
    "given", ["00-zz", 7, TRACEPARENT.replace("00-", "ff-", 1), f"00-{'0' * 32}-b7ad6b7169203331-01",
              f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"],
)  # fmt: skip
def test_a_trace_that_is_none_is_ignored(facts: Arrived, client: Client, given: Any) -> None:
    with emitter.context(traceparent=given):
        book_lent.send(None)
    client.get("/none", headers={"traceparent": str(given)})

    assert {event.traceparent for event in facts()} == {None}
    assert str(given)[3:35] not in {event.correlationid for event in facts()}


def test_a_block_closed_from_elsewhere_raises_nothing_and_leaves_all_as_it_is(facts: Arrived) -> None:
    def steps() -> Iterator[None]:
        with emitter.context(correlationid="inner"):
            yield

    running = steps()
    copy_context().run(next, running)
    with emitter.context(correlationid="here"):
        running.close()
        book_lent.send(None)

    assert [event.correlationid for event in facts()] == ["here"]
    assert contexts.current() is None


def test_an_async_block_closed_by_another_task_raises_nothing() -> None:
    async def steps() -> AsyncIterator[None]:
        with emitter.context(correlationid="inner"):
            yield

    async def close_elsewhere() -> None:
        running = steps()
        await asyncio.create_task(anext(running))  # type: ignore[arg-type]
        await asyncio.create_task(running.aclose())  # type: ignore[attr-defined]
        assert contexts.current() is None

    asyncio.run(close_elsewhere())


def test_a_block_left_open_by_a_generator_ends_with_the_block_around() -> None:
    def steps() -> Iterator[None]:
        with emitter.context(correlationid="inner"):
            yield

    with emitter.context(correlationid="outer"):
        running = steps()
        next(running)

    assert contexts.current() is None
    running.close()
    assert contexts.current() is None


async def tell() -> None:
    await book_lent.asend(None)


def test_a_context_decorates_coroutines(facts: Arrived) -> None:
    @emitter.context(actor="cron")
    async def nightly() -> None:
        await asyncio.sleep(0)
        await tell()

    async def both() -> None:
        await asyncio.gather(nightly(), nightly(), tell())

    async_to_sync(both)()

    assert sorted(str(event.actor) for event in facts()) == ["None", "cron", "cron"]
    assert len({event.correlationid for event in facts()}) == 3


def test_a_context_decorates_generators_and_leaves_their_caller_out(facts: Arrived) -> None:
    @emitter.context(actor="cron")
    def nightly() -> Generator[int, str, str]:
        book_lent.send(None, number=0)
        try:
            book_lent.send(None, number=(yield 1))
        except ArithmeticError:
            book_lent.send(None, number=2)
        return "done"

    def run() -> Generator[int, Any, None]:
        assert (yield from nightly()) == "done"

    for step in (lambda running: running.send("sent"), lambda running: running.throw(ArithmeticError())):
        running = run()
        assert next(running) == 1
        book_lent.send(None, number="outside")
        with pytest.raises(StopIteration):
            step(running)

    assert [(event.data["number"], event.actor) for event in facts() if event.data] == [
        (0, "cron"), ("outside", None), ("sent", "cron"), (0, "cron"), ("outside", None), (2, "cron"),
    ]  # fmt: skip
    assert len({event.correlationid for event in facts()}) == 3


def test_a_context_decorates_async_generators_and_leaves_their_caller_out(facts: Arrived) -> None:
    @emitter.context(actor="cron")
    async def nightly() -> AsyncIterator[int]:
        await tell()
        yield 1
        await tell()

    async def run() -> None:
        async for _ in nightly():
            await tell()

    async_to_sync(run)()

    assert [event.actor for event in facts()] == ["cron", None, "cron"]


def test_one_context_may_be_entered_again_and_by_threads_at_once(facts: Arrived) -> None:
    block = emitter.context(actor="cron")
    both = threading.Barrier(2, timeout=30)

    def work() -> None:
        with block:
            both.wait()
            with block:
                book_lent.send(None)
            both.wait()
            book_lent.send(None)
        assert contexts.current() is None

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(work), pool.submit(work)]:
            each.result()

    assert [event.actor for event in facts()] == ["cron"] * 4
    assert len({event.correlationid for event in facts()}) == 2


def test_a_command_that_never_ends_gives_its_rounds_their_own_ids(facts: Arrived) -> None:
    class Looping(Buy):
        def handle(self, *args: Any, **options: Any) -> None:
            for number in range(2):
                with emitter.context(correlationid=f"round-{number}"):
                    book_lent.send(None)

    call_command(Looping())

    assert [event.correlationid for event in facts()] == ["round-0", "round-1"]
