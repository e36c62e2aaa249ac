"""Requests, and what happens in them."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from emitter import contexts
from tests.emitter.conftest import Arrived

pytestmark = pytest.mark.django_db(transaction=True)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_is_told_at_its_start_and_at_its_end(facts: Arrived, client: Client) -> None:
    client.get("/buy/Emma")

    started, saved, finished = facts()
    assert (started.type, finished.type) == (
        "django.core.signals.request_started",
        "django.core.signals.request_finished",
    )
    assert started.data == {"method": "GET", "ip": "127.0.0.1"}
    assert finished.data is not None
    assert finished.data.pop("duration") > 0
    assert finished.data == {
        "method": "GET",
        "path": "/buy/Emma",
        "ip": "127.0.0.1",
        "route": "/buy/<str:title>",
        "status": 201,
    }
    assert started.correlationid is not None
    assert {started.correlationid} == {saved.correlationid, finished.correlationid}


def test_two_requests_have_two_contexts_and_none_is_left_behind(facts: Arrived, client: Client) -> None:
    client.get("/buy/Emma")
    client.get("/buy/Persuasion")

    assert len({event.correlationid for event in facts()}) == 2
    assert contexts.current() is None


def test_ids_of_the_caller_are_taken_over(facts: Arrived, client: Client) -> None:
    client.get("/buy/Emma", headers={"X-Request-ID": "abc-123", "traceparent": TRACEPARENT})

    assert {(event.correlationid, event.traceparent) for event in facts()} == {("abc-123", TRACEPARENT)}


@pytest.mark.parametrize("request_id", ["", "two words", "x" * 256, "line\tbreak", "ü"])
def test_an_id_that_is_not_well_formed_is_not_taken_over(facts: Arrived, client: Client, request_id: str) -> None:
    client.get("/buy/Emma", headers={"X-Request-ID": request_id, "traceparent": "00-zz"})

    (correlation_id,) = {event.correlationid for event in facts()}
    assert correlation_id not in {request_id, None}
    assert {event.traceparent for event in facts()} == {None}


def test_an_exception_is_told_by_its_type_and_not_by_its_words(facts: Arrived) -> None:
    Client(raise_request_exception=False).get("/broken")

    _, raised, finished = facts()
    assert raised.type == "django.core.signals.got_request_exception"
    assert raised.data is not None
    assert raised.data["exception"] == "builtins.LookupError"
    assert finished.data is not None
    assert finished.data["status"] == 500


def test_an_async_request_has_one_context_from_start_to_end(facts: Arrived) -> None:
    async_to_sync(AsyncClient().get)("/abuy/Emma")

    told = facts()
    assert [event.type.rpartition(".")[2] for event in told] == ["request_started", "post_save", "request_finished"]
    assert len({event.correlationid for event in told}) == 1
    assert told[2].data is not None
    assert (told[2].data["status"], told[2].data["route"]) == (201, "/abuy/<str:title>")


def test_logging_in_and_out_names_the_user(facts: Arrived, client: Client) -> None:
    user = User.objects.create_user("ada", password="a long password")

    client.post("/login", {"username": "ada", "password": "a long password"})
    client.get("/logout")

    told = {event.action: event for event in facts() if event.action in {"logged_in", "logged_out"}}
    assert {(event.actor, event.subject) for event in told.values()} == {
        (f"auth.User/{user.pk}", f"auth.User/{user.pk}")
    }
    assert len(told) == 2


def test_a_failed_login_tells_the_name_and_no_password(facts: Arrived, client: Client) -> None:
    client.post("/login", {"username": "ada", "password": "hunter2"})

    (event,) = [event for event in facts() if event.type.endswith("user_login_failed")]
    assert event.action == "login_failed"
    assert event.data is not None
    assert event.data["credentials"]["username"] == "ada"
    assert "hunter2" not in str(facts())


def test_the_actor_is_who_the_project_found_out_by_itself(facts: Arrived, client: Client) -> None:
    user = User.objects.create_user("ada")
    client.force_login(user)

    client.get("/buy/Emma?ask=1")

    assert [event.actor for event in facts() if event.sender == "library.Book"] == [f"auth.User/{user.pk}"]


def test_the_user_is_never_looked_up_for_our_sake(facts: Arrived, client: Client, django_assert_num_queries) -> None:
    client.force_login(User.objects.create_user("ada"))

    with django_assert_num_queries(1):  # the book's insert: no session, no user
        client.get("/buy/Emma")

    assert [event.actor for event in facts() if event.sender == "library.Book"] == [None]
