"""One request among others: inside of a context, inside of another request, after one, at the same time as one."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from io import BytesIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core import signals
from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import include, path

import emitter
from emitter import contexts
from emitter.event import Event
from tests.emitter.conftest import Arrived
from tests.emitter.library.signals import book_lent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

OURS = "emitter.middleware.HeliographMiddleware"
SHARED = HttpResponse(b"no")

kept: list[Any] = []
meeting = threading.Barrier(2, timeout=30)
async_meeting: list[asyncio.Barrier] = []


def told(request: HttpRequest, **given: Any) -> HttpResponse:
    book_lent.send(None)
    kept.append(weakref.ref(request))
    return HttpResponse()


def nested(request: HttpRequest) -> HttpResponse:
    Client().get("/told", headers={"X-Request-ID": "nested"})
    book_lent.send(None)
    return HttpResponse()


async def anested(request: HttpRequest) -> HttpResponse:
    await AsyncClient().get("/told", headers={"X-Request-ID": "nested"})
    await book_lent.asend(None)
    return HttpResponse()


def logged_in(request: HttpRequest) -> HttpResponse:
    with emitter.context(correlationid="inner"):
        login(request, User.objects.get(), "django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


def outlived(request: HttpRequest) -> HttpResponse:
    request.user = User(pk=7)
    kept.append(copy_context())
    return HttpResponse()


def left_open(request: HttpRequest) -> HttpResponse:
    def steps() -> Iterator[None]:
        with emitter.context(correlationid="inner", actor="inner"):
            yield

    running = steps()
    next(running)
    kept.append(running)
    return HttpResponse()


def close_left_open(request: HttpRequest) -> HttpResponse:
    kept.pop().close()
    book_lent.send(None)
    return HttpResponse()


def shared(request: HttpRequest) -> HttpResponse:
    meeting.wait()
    return SHARED


async def ashared(request: HttpRequest) -> HttpResponse:
    await async_meeting[0].wait()
    return SHARED


class TimeUp(BaseException):
    """As a server's time limit raises."""


def time_up(request: HttpRequest) -> HttpResponse:
    raise TimeUp


def broken(request: HttpRequest, token: str) -> HttpResponse:
    raise LookupError


urlpatterns = [
    path("told", told),
    path("nested", nested),
    path("anested", anested),
    path("logged-in", logged_in),
    path("outlived", outlived),
    path("left-open", left_open),
    path("close-left-open", close_left_open),
    path("shared", shared),
    path("ashared", ashared),
    path("time-up", time_up),
    path("invite/<str:token>/", told),
    path("broken/<str:token>/", broken),
    path("of/<slug:api_key>/", include([path("<int:pin>/<str:name>/", told)])),
    path("plain/<str:author>/", told, {"token": "given"}),
]


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    yield
    kept.clear()


def ids(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.type.rpartition(".")[2], event.correlationid) for event in events]


def environ(url: str, **headers: str) -> dict[str, Any]:
    return {**RequestFactory().get(url, headers=headers).environ, "wsgi.input": BytesIO()}


def ask(url: str, **headers: str) -> None:
    WSGIHandler()(environ(url, **headers), lambda *args: None).close()


async def ask_async(url: str, headers: list[tuple[bytes, bytes]]) -> None:
    scope = {
        "type": "http", "method": "GET", "path": url, "raw_path": b"", "query_string": b"a=token123",
        "http_version": "1.1", "scheme": "http", "client": ("9.9.9.9", 1), "server": ("testserver", 80),
        "headers": [(b"host", b"testserver"), *headers],
    }  # fmt: skip
    asking = ApplicationCommunicator(get_asgi_application(), scope)
    await asking.send_input({"type": "http.request"})
    await asking.receive_output(30)
    await asking.receive_output(30)
    await asking.wait(30)


def test_a_request_made_in_a_context_gives_it_back(facts: Arrived, client: Client) -> None:
    with emitter.context(correlationid="outer", actor="cron"):
        client.get("/told", headers={"X-Request-ID": "asked"})
        book_lent.send(None)
    assert contexts.current() is None

    assert [event.correlationid for event in facts()] == ["asked"] * 3 + ["outer"]
    assert [event.actor for event in facts()] == [None] * 3 + ["cron"]


def test_a_request_made_in_a_request_gives_it_back(facts: Arrived, client: Client) -> None:
    client.get("/nested", headers={"X-Request-ID": "outer"})

    assert ids(facts()) == [
        ("request_started", "outer"),
        ("request_started", "nested"), ("book_lent", "nested"), ("request_finished", "nested"),
        ("book_lent", "outer"), ("request_finished", "outer"),
    ]  # fmt: skip
    assert contexts.current() is None


def test_an_async_request_made_in_a_request_gives_it_back(facts: Arrived) -> None:
    async_to_sync(AsyncClient().get)("/anested", headers={"X-Request-ID": "outer"})

    assert ids(facts()) == [
        ("request_started", "outer"),
        ("request_started", "nested"), ("book_lent", "nested"), ("request_finished", "nested"),
        ("book_lent", "outer"), ("request_finished", "outer"),
    ]  # fmt: skip


@pytest.mark.parametrize("url", ["/told", "/time-up"])
def test_a_request_that_never_ended_is_not_around_the_next(facts: Arrived, url: str) -> None:
    with emitter.context(correlationid="server"):
        for _ in range(3):
            with suppress(TimeUp):
                WSGIHandler()(environ(url), lambda *args: None)  # and nobody closes what it returns
        now = contexts.current()
        assert now is not None
        assert now.visit is not None
        assert now.visit.around is not None
        assert now.visit.around.correlationid == "server"

        ask("/told")

        now = contexts.current()
        assert now is not None
        assert now.correlationid == "server"


def test_a_generator_closed_in_a_later_request_brings_nothing_of_an_earlier_one(facts: Arrived, client: Client) -> None:
    client.get("/left-open", headers={"X-Request-ID": "first"})
    assert contexts.current() is None
    client.get("/close-left-open", headers={"X-Request-ID": "second"})

    assert [(event.correlationid, event.actor) for event in facts()] == [("first", None)] * 2 + [("second", None)] * 3


def test_two_requests_that_share_a_response_are_told_each_once(facts: Arrived) -> None:
    def ask_shared(name: str) -> None:
        response = WSGIHandler()(environ("/shared", **{"X-Request-ID": name}), lambda *args: None)
        meeting.wait()  # both have been answered, and neither has been closed
        response.close()
        assert contexts.current() is None

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask_shared, ["one", "two"]))

    assert sorted(ids(facts())) == [
        (name, each) for name in ("request_finished", "request_started") for each in ("one", "two")
    ]


def test_two_async_requests_that_share_a_response_are_told_each_once(facts: Arrived) -> None:
    async def ask_both() -> None:
        async_meeting[:] = [asyncio.Barrier(2)]
        await asyncio.gather(*(ask_async("/ashared", [(b"x-request-id", name)]) for name in (b"one", b"two")))

    async_to_sync(ask_both)()

    assert sorted(ids(facts())) == [
        (name, each) for name in ("request_finished", "request_started") for each in ("one", "two")
    ]


@pytest.mark.parametrize("url", ["/told", "/logged-in"])
def test_a_request_that_has_ended_is_let_go_of_at_once(facts: Arrived, url: str) -> None:
    User.objects.create_user("ada")
    middleware = [OURS, "django.contrib.sessions.middleware.SessionMiddleware", f"{__name__}.keeping"]
    with override_settings(MIDDLEWARE=middleware):
        handler = WSGIHandler()
        gc.disable()
        try:
            handler(environ(url), lambda *args: None).close()
            assert kept[-1]() is None
        finally:
            gc.enable()


def keeping(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        kept.append(weakref.ref(request))
        return get_response(request)

    return middleware


def test_what_a_request_left_running_still_belongs_to_it(facts: Arrived, client: Client) -> None:
    client.get("/outlived", headers={"X-Request-ID": "asked"})
    kept[-1].run(book_lent.send, None)

    assert [(event.correlationid, event.actor) for event in facts()] == [("asked", "auth.User/7")] * 3


def test_a_login_in_a_block_tells_the_address(facts: Arrived, client: Client) -> None:
    User.objects.create_user("ada")

    client.get("/logged-in", REMOTE_ADDR="9.9.9.9")

    (event,) = [event for event in facts() if event.action == "logged_in"]
    assert event.data == {"ip": "9.9.9.9"}
    assert event.correlationid == "inner"


@pytest.mark.parametrize(
    ("url", "told_path"),
    [
        ("/invite/Zm9vYmFy/", "/invite/[masked]/"),
        ("/broken/Zm9vYmFy/", "/broken/[masked]/"),
        ("/of/Zm9vYmFy/1234/ada/", "/of/[masked]/[masked]/ada/"),
        ("/plain/Zm9vYmFy/", "/plain/Zm9vYmFy/"),
        ("/invite/Zm9vYmFy", None),  # no route, until its slash is added
        ("/of/Zm9vYmFy/0012/ada/", "/of/[masked]/00[masked]/ada/"),
    ],
)
def test_a_path_is_told_without_what_its_route_calls_secret(facts: Arrived, url: str, told_path: str | None) -> None:
    Client(raise_request_exception=False).get(f"{url}?token=Zm9vYmFy&q=hello")

    told_data = [event.data for event in facts() if event.data is not None and ".core." in event.type]
    assert [data.get("path") for data in told_data[1:]] == [told_path] * (len(told_data) - 1)
    assert "path" not in told_data[0]
    assert "hello" not in str(told_data)
    assert ("Zm9vYmFy" in str(told_data)) == url.startswith("/plain")


@override_settings(HELIOGRAPH_MASK_NAMES=["author"], HELIOGRAPH_MASK_SECRET="a secret")
def test_names_of_the_settings_are_masked_in_paths_too(facts: Arrived, client: Client) -> None:
    client.get("/plain/ada/")

    assert facts()[-1].data is not None
    assert facts()[-1].data["path"].startswith("/plain/[masked:")


@pytest.mark.urls("tests.emitter.urls")
def test_a_path_is_told_as_it_was_asked_for(facts: Arrived, client: Client) -> None:
    client.get("/buy/Mémoires", SCRIPT_NAME="/shop")

    assert facts()[-1].data is not None
    assert facts()[-1].data["path"] == "/shop/buy/Mémoires"


@override_settings(HELIOGRAPH_MASK_NAMES=["diagnosis"])
def test_an_id_with_a_name_of_the_settings_is_not_taken_over(facts: Arrived, client: Client) -> None:
    client.get("/told", headers={"X-Request-ID": "diagnosis=flu"})

    assert "flu" not in str(facts())


@pytest.mark.parametrize(
    ("address", "ip"),
    [("203.0.113.7:49152", "203.0.113.7"), ("[2001:db8::1]:443", "2001:db8::1"), ("2001:db8::1", "2001:db8::1"),
     ("[2001:db8::1]", "2001:db8::1"), ("unknown", None), ("/run/socket", None), ("", None), ("<script>", None)],
)  # fmt: skip
def test_an_address_is_told_without_its_port_and_nothing_else_is(
    facts: Arrived, client: Client, address: str, ip: str | None
) -> None:
    client.get("/told", REMOTE_ADDR=address)
    with override_settings(HELIOGRAPH_TRUSTED_PROXIES=1):
        client.get("/told", headers={"X-Forwarded-For": f"6.6.6.6, {address or '-'}"})

    assert [event.data.get("ip") for event in facts() if event.data and event.type.endswith("started")] == [ip, ip]


def test_a_header_in_two_lines_is_read_as_one(facts: Arrived) -> None:
    headers = [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2")]

    with override_settings(HELIOGRAPH_TRUSTED_PROXIES=2):
        async_to_sync(ask_async)("/told", headers)

    assert facts()[0].data == {"method": "GET", "ip": "1.1.1.1"}
    assert "token123" not in str(facts())


def test_an_end_that_had_no_start_ends_nothing(facts: Arrived) -> None:
    with emitter.context(correlationid="outer"):
        signals.request_finished.send(None)
        book_lent.send(None)

    assert ids(facts()) == [("book_lent", "outer")]
