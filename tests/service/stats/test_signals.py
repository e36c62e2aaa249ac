"""``GET signals/``: each type and sender once, in pages, of the own project."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from service.projects.models import Project
from service.stats import operations
from tests.service.cast import Api, event, problem
from tests.service.stats import plain

ADDRESS = "/api/v1/signals/"


def signals(api: Api, query: str = "") -> list[tuple[str, str | None]]:
    return [named(each) for each in plain.told(api.get(f"{ADDRESS}?{query}"))["results"]]


def named(signal: Any) -> tuple[str, str | None]:
    return signal["type"], signal["sender"]


def test_pages_hold_each_signal_once_newest_seen_first_half_of_them_folded(api: Api, project: Project) -> None:
    sent = [event(type=f"t{number}", sender=sender) for number in range(5) for sender in ("a", "b", None)]
    for number, each in enumerate(sent):
        api.send(each)
        if number % 4 == 1:
            operations.fold(project.pk)

    found, address = [], f"{ADDRESS}?page_size=4"
    while address:
        page = plain.told(api.get(address))
        found += page["results"]
        address = page["next"]

    assert sorted(map(named, found), key=str) == sorted(((e["type"], e.get("sender")) for e in sent), key=str)
    assert [each["last_seen"] for each in found] == sorted((each["last_seen"] for each in found), reverse=True)


@pytest.mark.parametrize("hours", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_first_and_last_seen_are_of_the_earliest_and_the_latest_in_whatever_order_they_come(
    hours: tuple[int, ...], api: Api, project: Project
) -> None:
    moments = [timezone.now() - timedelta(hours=hour) for hour in hours]
    for moment in moments:
        api.send(event(time=moment.isoformat()))
        operations.fold(project.pk)

    (signal,) = plain.told(api.get(ADDRESS))["results"]

    assert [datetime.fromisoformat(signal[name]) for name in ("first_seen", "last_seen")] == [
        min(moments),
        max(moments),
    ]


def test_signals_that_were_last_seen_at_once_are_on_one_page_or_the_next(api: Api) -> None:
    api.send([event(type=f"t{number}", time="2026-11-20T00:00:00Z", id=f"{number}") for number in range(9)])

    found, address = [], f"{ADDRESS}?page_size=2"
    while address:
        page = plain.told(api.get(address))
        found += [each["type"] for each in page["results"]]
        address = page["next"]

    assert sorted(found) == [f"t{number}" for number in range(9)]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("type=save", [("save", None), ("save", "Order")]),
        ("type__in=save,delete", [("delete", "Order"), ("save", None), ("save", "Order")]),
        ("type__startswith=sa", [("save", None), ("save", "Order"), ("saved", "Basket")]),
        ("sender=Order", [("delete", "Order"), ("save", "Order")]),
        ("sender__in=Basket,Order&type__startswith=save", [("save", "Order"), ("saved", "Basket")]),
    ],
)
def test_signals_can_be_filtered(query: str, kept: list[Any], api: Api) -> None:
    pairs = [("save", "Order"), ("save", None), ("saved", "Basket"), ("delete", "Order")]
    api.send([event(type=kind, sender=sender) for kind, sender in pairs])

    assert sorted(signals(api, query), key=str) == sorted(kept, key=str)


def test_another_project_is_not_told_of(api: Api, neighbours_api: Api, neighbour: Project) -> None:
    neighbours_api.send(event(type="theirs"))
    operations.fold(neighbour.pk)
    neighbours_api.send(event(type="theirs too"))

    assert signals(api) == []
    assert len(signals(neighbours_api)) == 2


@pytest.mark.parametrize("name", ["actor", "q", "time__gte", "object_id", "data.a", "limit"])
def test_what_signals_do_not_have_can_not_be_asked(name: str, api: Api) -> None:
    document = problem(api.get(f"{ADDRESS}?{name}=x"), 400, "unknown_parameter", name)

    assert "type__startswith" in document["detail"]
