"""``GET events/{id}/``, and that no project ever sees another's events."""

from urllib.parse import parse_qs, urlsplit

import pytest

from service.events.models import Event
from tests.service.cast import EVENTS, Api, event, problem, uuid7


def test_an_event_is_read_by_its_id(api: Api) -> None:
    sent = event(data={"total": 12.5}, actor="auth.User/7")
    api.send([sent, event()])

    answer = api.read(sent["id"])

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert {name: value for name, value in answer.json().items() if name in sent} == sent
    assert answer.json().keys() - sent.keys() == {"time", "recordedtime"}


def test_an_event_reads_as_it_is_listed(api: Api) -> None:
    api.send(event(data=[1, None, {"a": []}], region="north", subject="x", traceparent=f"00-{'1' * 32}-{'2' * 16}-00"))

    (listed,) = api.list().json()["results"]

    assert api.read(listed["id"]).json() == listed


@pytest.mark.parametrize("name", ["type", "page_size", "x"])
def test_a_parameter_is_refused_by_name(name: str, api: Api) -> None:
    problem(api.get(f"{EVENTS}{uuid7()}/?{name}=1"), 400, "unknown_parameter", name)


def test_one_event_costs_one_query(api: Api, django_assert_num_queries: "object") -> None:
    sent = event()
    api.send(sent)

    with django_assert_num_queries(1):  # type: ignore[operator]
        api.read(sent["id"])


def test_a_neighbours_event_is_not_to_be_read(api: Api, neighbours_api: Api) -> None:
    mine, theirs = event(), event()
    api.send(mine)
    neighbours_api.send(theirs)

    assert api.read(mine["id"]).status_code == 200
    problem(api.read(theirs["id"]), 404, "not_found")
    problem(neighbours_api.read(mine["id"]), 404, "not_found")


def test_a_neighbours_events_are_not_listed(api: Api, neighbours_api: Api) -> None:
    mine, theirs = event(actor="ann"), event(actor="ann")
    api.send(mine)
    neighbours_api.send(theirs)

    for parameters in ({}, {"actor": "ann"}, {"type": mine["type"]}, {"time__gte": "2020-01-01"}):
        assert api.listed(**parameters) == [mine["id"]]
        assert neighbours_api.listed(**parameters) == [theirs["id"]]


def test_a_neighbours_cursor_leads_to_ones_own_events(api: Api, neighbours_api: Api) -> None:
    mine, theirs = ([event() for _ in range(4)] for _ in range(2))
    for my_event, their_event in zip(mine, theirs, strict=True):
        api.send(my_event)
        neighbours_api.send(their_event)
    older = api.list(page_size=2).json()["next"]
    newer = api.get(older).json()["previous"]

    seen = [each["id"] for link in (older, newer) for each in neighbours_api.get(link).json()["results"]]

    assert seen
    assert {each["id"] for each in theirs} >= set(seen)
    assert parse_qs(urlsplit(older).query)["cursor"]


def test_two_projects_can_have_an_event_of_the_same_id(api: Api, neighbours_api: Api) -> None:
    same = event(data={"of": "shop"})

    answers = [api.send(same), neighbours_api.send({**same, "data": {"of": "neighbour"}})]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert Event.objects.count() == 2
    assert api.read(same["id"]).json()["data"] == {"of": "shop"}
    assert neighbours_api.read(same["id"]).json()["data"] == {"of": "neighbour"}
