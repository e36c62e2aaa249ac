"""Every refusal is a problem document, whoever refuses: a view, Django REST framework, or Django."""

import json
from typing import Any

import pytest
from django.test import Client

from service.events import queries
from tests.service.cast import EVENTS, PROBLEM, Api, problem, uuid7


@pytest.mark.parametrize(
    "address",
    [
        "/nothing",
        "/api/",
        "/api/v1/",
        "/api/v1/nothing/",
        "/api/v2/events/",
        f"{EVENTS}7/",
        f"{EVENTS}x/",
        f"{EVENTS}{str(uuid7()).upper()}/",
        f"{EVENTS}{uuid7()}/x/",
        "/%00/",
        "/%ff/",
        "/é/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_address_is_a_problem(method: str, address: str, api: Api) -> None:
    problem(api.call(method, address), 404, "not_found")


def test_an_unknown_event_is_a_problem_that_names_it(api: Api) -> None:
    unknown = uuid7()

    assert str(unknown) in problem(api.read(unknown), 404, "not_found")["detail"]


@pytest.mark.parametrize("address", [EVENTS, f"{EVENTS}{uuid7()}/"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "BREW", "scopes"])
def test_a_method_that_is_not_offered_is_a_problem(method: str, address: str, api: Api) -> None:
    answer = api.call(method, address, b"{}", "application/json")

    problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


def test_an_event_cant_be_posted_to(api: Api) -> None:
    problem(api.call("POST", f"{EVENTS}{uuid7()}/", b"{}", "application/json"), 405, "method_not_allowed")


def test_the_options_of_an_address_can_be_asked_for(api: Api) -> None:
    answer = api.call("OPTIONS", EVENTS)

    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json; charset=utf-8", "application/cloudevents+json", "text/html", "nonsense"]
)
def test_the_answer_is_json_whatever_the_client_says_it_accepts(accept: str, api: Api) -> None:
    answer = api.get(EVENTS, Accept=accept)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_an_address_without_its_slash_is_no_redirect_which_would_lose_what_is_posted(api: Api) -> None:
    answer = api.call("POST", EVENTS.removesuffix("/"), b"{}", "application/json")

    problem(answer, 404, "not_found")
    assert EVENTS in answer.json()["detail"]


def test_sending_takes_no_parameter(api: Api) -> None:
    problem(api.call("POST", f"{EVENTS}?dry=1", b"{}", "application/json"), 400, "unknown_parameter")


def test_an_unknown_host_is_a_problem(api: Api) -> None:
    problem(api.get(EVENTS, Host="evil.example"), 400, "bad_request")


def test_a_fault_of_ours_is_a_problem_that_tells_nothing_of_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr(queries, "by_id", fail)

    answer = api.read(uuid7())

    problem(answer, 500, "server_error")
    assert b"42" not in answer.content


def test_the_problems_of_one_kind_have_one_type_and_title(api: Api) -> None:
    answers = [api.list(page_size=0), api.list(page_size="x"), api.list(cursor="x")]

    documents = [json.loads(answer.content) for answer in answers]

    assert len({(document["type"], document["title"]) for document in documents}) == 1
    assert len({document["detail"] for document in documents}) > 1


def test_a_problem_says_what_it_is_in_plain_utf_8(api: Api) -> None:
    answer = api.get(f"{EVENTS}?gr%C3%B6%C3%9Fe=1")

    problem(answer, 400, "unknown_parameter", "größe")
    assert answer.headers["Content-Type"] == PROBLEM


@pytest.mark.parametrize("address", [EVENTS, f"{EVENTS}export/", "/api/v1/meta/", "/api/v1/schema/", "/admin/login/"])
@pytest.mark.parametrize("query", ["type=a%ED%A0%80b", "data.%FF=1", "%FF", "q=%E2%82", "type=\xff"])
def test_a_query_string_that_is_not_utf_8_is_refused(query: str, address: str, api: Api) -> None:
    answer = api.client.get(address, QUERY_STRING=query)

    assert "UTF-8" in problem(answer, 400, "bad_request")["detail"]


@pytest.mark.parametrize("count", [1_000, 1_001])
def test_a_thousand_parameters_are_looked_at_and_no_more(
    count: int, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    answer = api.get(f"{EVENTS}?{'&'.join(['tpye=1'] * count)}")

    if count == 1_000:
        problem(answer, 400, "unknown_parameter", "tpye")
    else:
        assert "1000 query parameters" in problem(answer, 400, "bad_request")["detail"]
    assert not caplog.records


@pytest.mark.parametrize("address", ["/api/v1/schema/", "/api/v1/docs/"])
@pytest.mark.parametrize("query", ["lang=de", "version=2", "example=fresh"])
def test_the_documentation_ignores_no_parameter_either(query: str, address: str, client: Client) -> None:
    problem(client.get(f"{address}?{query}"), 400, "unknown_parameter", query.partition("=")[0])


def test_examples_are_fresh_or_those_of_the_file(client: Client) -> None:
    problem(client.get("/api/v1/schema/?examples=old"), 400, "invalid_parameter", "examples")


def test_a_page_that_a_browser_asks_for_is_not_cut_off_by_the_api(client: Client, db: None) -> None:
    answer = client.get("/", headers={"Accept": "text/html"})

    assert answer.status_code == 302
    assert answer.headers["Location"] == "/api/v1/docs/"
