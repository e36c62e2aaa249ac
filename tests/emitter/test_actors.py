"""Whom an event names: without a query, without running a model's code, and never at the cost of the event."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path

import emitter
from emitter import actors
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Author, Book
from tests.emitter.library.signals import book_lent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


class Guest(User):
    """Whose own properties ask the database."""

    class Meta:
        proxy = True
        app_label = "auth"

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]
        return Author.objects.exists()

    @property
    def pk(self) -> Any:
        return Author.objects.count() or 7


class Bearer:
    """A token's bearer, whom its own code knows."""

    asked = 0

    @property
    def is_authenticated(self) -> bool:
        Bearer.asked += 1
        return Author.objects.count() == 0

    @property
    def pk(self) -> str:
        return "billing"


class Broken:
    @property
    def is_authenticated(self) -> bool:
        raise LookupError("no such token")

    @property
    def pk(self) -> str:
        raise LookupError("no such token")


class BrokenKey(Broken):
    is_authenticated = True  # type: ignore[assignment]


class Busy(Bearer):
    """Whose own code tells something itself."""

    @property
    def pk(self) -> str:
        book_lent.send(None)
        return "busy"


KINDS = {kind.__name__: kind for kind in (Bearer, Broken, BrokenKey, Busy)}


def as_kind(request: HttpRequest, kind: str) -> HttpResponse:
    request.user = KINDS[kind]()  # type: ignore[assignment]
    for number in range(3):
        Book.objects.create(title=str(number))
    with emitter.context():
        Book.objects.create(title="in a block")
    return HttpResponse()


def as_guest(request: HttpRequest) -> HttpResponse:
    request.user = Guest(id=7)
    Book.objects.create(title="Emma")
    return HttpResponse()


def hijack(request: HttpRequest) -> HttpResponse:
    for key in (7, 8, 7):
        request.user = User(pk=key)
        Book.objects.create(title=str(key))
    return HttpResponse()


def hijack_busily(request: HttpRequest) -> HttpResponse:
    request.user = User(pk=7)
    Book.objects.create(title="before")
    request.user = Busy()  # type: ignore[assignment]
    Book.objects.create(title="after")
    return HttpResponse()


def sign_up(request: HttpRequest) -> HttpResponse:
    request.user = user = User(username="ada")
    Book.objects.create(title="before")
    user.save()
    Book.objects.create(title="after")
    return HttpResponse()


def sign_out(request: HttpRequest) -> HttpResponse:
    request.user = User(pk=7)
    Book.objects.create(title="before")
    request.user = AnonymousUser()
    Book.objects.create(title="after")
    return HttpResponse()


urlpatterns = [
    path("as/<str:kind>", as_kind),
    path("guest", as_guest),
    path("hijack", hijack),
    path("hijack-busily", hijack_busily),
    path("signup", sign_up),
    path("signout", sign_out),
]


@pytest.fixture(autouse=True)
def _nobody_was_asked() -> Iterator[None]:
    yield
    Bearer.asked = 0


def books(facts: Arrived) -> list[str | None]:
    return [event.actor for event in facts() if event.sender == "library.Book"]


def test_no_code_of_a_users_model_is_run(facts: Arrived, client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        client.get("/guest")

    assert len(queries) == 1  # the book
    assert books(facts) == ["auth.User/7"]


@pytest.mark.parametrize("kind", ["Bearer", "Busy"])
def test_who_is_no_model_is_asked_once_a_request(facts: Arrived, client: Client, kind: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        client.get(f"/as/{kind}")

    assert len([each for each in queries if "library_author" in each["sql"]]) == Bearer.asked == 1
    assert books(facts) == [f"tests.emitter.test_actors.{kind}/{'billing' if kind == 'Bearer' else 'busy'}"] * 4


@pytest.mark.parametrize("kind", ["Broken", "BrokenKey"])
def test_a_user_that_fails_costs_the_name_and_not_the_event(
    facts: Arrived, client: Client, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "heliograph"):
        assert client.get(f"/as/{kind}").status_code == 200

    assert books(facts) == [None] * 4
    assert len(facts()) == 6
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", [Broken, BrokenKey])
def test_an_actor_that_fails_is_left_out(facts: Arrived, kind: type) -> None:
    with emitter.context(actor=kind()):
        book_lent.send(None)

    assert [event.actor for event in facts()] == [None]


def test_the_actor_is_the_user_that_the_request_has_now(facts: Arrived, client: Client) -> None:
    client.get("/hijack")

    assert books(facts) == ["auth.User/7", "auth.User/8", "auth.User/7"]


def test_what_a_user_tells_while_it_is_asked_is_not_told_of_the_one_before(facts: Arrived, client: Client) -> None:
    client.get("/hijack-busily")

    (own,) = [event for event in facts() if event.type.endswith("book_lent")]
    assert own.actor == "tests.emitter.test_actors.Busy/busy"


def test_a_user_saved_meanwhile_is_named(facts: Arrived, client: Client) -> None:
    client.get("/signup")

    assert books(facts)[1] == f"auth.User/{User.objects.get().pk}"


def test_after_a_logout_nobody_is_named(facts: Arrived, client: Client) -> None:
    client.get("/signout")

    assert books(facts) == ["auth.User/7", None]
    assert facts()[0].actor == "auth.User/7"  # the start, which was waiting for one


def test_a_known_user_is_not_looked_at_again(facts: Arrived, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    real = actors.known_user
    monkeypatch.setattr(actors, "known_user", lambda request: looks.append(1) or real(request))

    client.get("/guest")

    assert len(looks) <= 2  # at the start, where there is none, and once for all of the rest
    assert books(facts) == ["auth.User/7"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("cron", "cron"), ("", None), ("a\0b\ud800c", "a\ufffdb\ufffdc"), ("x" * 300, "x" * 255),
        ("https://ada:hunter2@example.com", "https://ada:[masked]@example.com"),
        ("token=abcdef123456", "token=[masked]"), ("diagnosis=flu", "diagnosis=[masked]"),
    ],
)  # fmt: skip
@override_settings(HELIOGRAPH_MASK_NAMES=["diagnosis"])
def test_a_given_actor_is_cleaned(facts: Arrived, given: str, told: str | None) -> None:
    with emitter.context(actor=given):
        book_lent.send(None)

    assert [event.actor for event in facts()] == [told]


def test_a_key_that_is_a_text_is_cleaned() -> None:
    class Text:
        is_authenticated = True
        pk = "password=hunter2\0"

    assert actors.actor_of(Text()) == (
        "tests.emitter.test_actors.test_a_key_that_is_a_text_is_cleaned.<locals>.Text/password=[masked]"
    )
