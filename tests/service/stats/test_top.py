"""``GET stats/top/``: the most frequent values, and what can't be asked."""

from typing import Any

import pytest

from service.projects.models import Project
from service.stats import operations
from tests.service.cast import Api, event, problem
from tests.service.stats import plain

ADDRESS = "/api/v1/stats/top/"


def top(api: Api, query: str = "") -> Any:
    return plain.told(api.get(f"{ADDRESS}?{query}"))


def test_values_come_with_their_share_of_all_events(api: Api) -> None:
    api.send([event(type=kind) for kind in ("a", "b", "b", "c")])

    answer = top(api, "limit=2")

    assert (answer["by"], answer["count"], answer["values"]) == ("type", 4, 3)
    assert answer["results"] == [
        {"value": "b", "count": 2, "share": 0.5},
        {"value": "a", "count": 1, "share": 0.25},
    ]


def test_objects_of_two_senders_are_told_apart(api: Api) -> None:
    api.send([event(sender=sender, subject=f"{sender}/1") for sender in ("a", "a", "b")] + [event(sender="a")])

    answer = top(api, "by=object")

    assert [(each["value"], each["count"]) for each in answer["results"]] == [("a/1", 2), ("b/1", 1), (None, 1)]


def test_without_events_there_is_nothing_and_no_division(api: Api) -> None:
    answer = top(api)

    assert (answer["count"], answer["values"], answer["results"]) == (0, 0, [])


def test_another_project_is_not_counted(api: Api, neighbours_api: Api, neighbour: Project) -> None:
    neighbours_api.send([event(), event()])
    operations.fold(neighbour.pk)
    neighbours_api.send(event())

    assert [top(api, f"by={by}")["count"] for by in ("type", "actor", "object")] == [0, 0, 0]
    assert top(neighbours_api)["count"] == 3


@pytest.mark.parametrize(
    ("query", "named", "code"),
    [
        ("by=data", "by", "invalid_parameter"),
        ("by=", "by", "invalid_parameter"),
        ("limit=1.5", "limit", "invalid_parameter"),
        ("interval=day", "interval", "unknown_parameter"),
        ("group_by=type", "group_by", "unknown_parameter"),
    ],
)
def test_what_can_not_be_used_is_refused_by_name(query: str, named: str, code: str, api: Api) -> None:
    problem(api.get(f"{ADDRESS}?{query}"), 400, code, named)
