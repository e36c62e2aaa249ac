"""``GET stats/histogram/``: its buckets, its bounds, and what can't be asked."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from service.projects.models import Project
from service.stats import operations
from service.stats.dimensions import rolled
from tests.service.cast import Api, event, problem
from tests.service.stats import plain

ADDRESS = "/api/v1/stats/histogram/"
NOW = timezone.now()
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


def histogram(api: Api, query: str = "") -> Any:
    return plain.told(api.get(f"{ADDRESS}?{query}"))


def test_thirty_days_up_to_the_end_of_today_unless_told(api: Api) -> None:
    api.send([event(), event()])

    answer = histogram(api)

    assert answer["interval"] == "day"
    assert datetime.fromisoformat(answer["times"][0]) == MIDNIGHT - timedelta(days=29)
    assert datetime.fromisoformat(answer["time__lt"]) == MIDNIGHT + timedelta(days=1)
    assert answer["counts"] == [0] * 29 + [2]
    assert (answer["count"], answer["group_by"], answer["groups"], answer["others"]) == (2, None, [], None)


@pytest.mark.parametrize(
    ("interval", "buckets"), [("minute", 60), ("hour", 24), ("day", 30), ("week", 12), ("month", 12)]
)
def test_each_interval_goes_back_some_of_its_kind(interval: str, buckets: int, api: Api) -> None:
    api.send(event())

    answer = histogram(api, f"interval={interval}")

    assert len(answer["times"]) == len(answer["counts"]) == buckets
    assert answer["counts"][-1] == 1


def test_an_event_counts_from_its_acknowledgement_and_a_repeat_does_not(api: Api, project: Project) -> None:
    sent = event()

    seen = []
    for _ in range(2):
        api.send(sent)
        seen.append(histogram(api)["count"])
        operations.fold(project.pk)
        seen.append(histogram(api)["count"])

    assert seen == [1, 1, 1, 1]


def test_another_project_is_not_counted(api: Api, neighbours_api: Api, neighbour: Project) -> None:
    neighbours_api.send([event(), event()])
    operations.fold(neighbour.pk)
    neighbours_api.send(event())

    for query in ("", "interval=minute", "group_by=type", "actor=a"):
        assert histogram(api, query)["count"] == 0
    assert histogram(neighbours_api)["count"] == 3


@pytest.mark.parametrize(
    "query", ["", "group_by=actor", "interval=minute", "q=-sender:a", "time__gte=2026-01-01T12:34:56Z"]
)
def test_an_answer_is_one_statement(query: str, api: Api) -> None:
    api.send(event())

    with CaptureQueriesContext(connection) as queries:
        histogram(api, query)

    assert len([each for each in queries if "event_" in each["sql"]]) == 1


def test_whole_days_are_read_from_the_counts_that_tell_the_fewest_apart(api: Api) -> None:
    with CaptureQueriesContext(connection) as queries:
        histogram(api, "group_by=type")

    (statement,) = [each["sql"] for each in queries if "event_count" in each["sql"]]
    assert f'"rolled" = {rolled(("type",))}' in statement
    assert 'FROM "event" ' not in statement


def test_as_many_buckets_as_may_be_are_told_and_one_more_is_refused(api: Api) -> None:
    query = "interval=minute&time__gte=2026-11-20T00:00:00Z&time__lt=2026-11-20T16:40:{}Z"

    assert len(histogram(api, query.format("00"))["times"]) == 1000
    document = problem(api.get(f"{ADDRESS}?{query.format('01')}"), 400, "invalid_parameter", "interval")
    assert "1000" in document["detail"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("interval=second", "interval"),
        ("interval=Day", "interval"),
        ("group_by=data", "group_by"),
        ("group_by=object", "group_by"),
        ("group_by=", "group_by"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=٣", "limit"),
        ("limit=5&limit=6", "limit"),
        ("time__gte=2026-11-20&time__lt=2026-11-20T00:00:00Z", "time__lt"),
        ("time__gte=2026-11-21T00:00:00Z&time__lt=2026-11-20T00:00:00Z", "time__lt"),
        ("time__gte=9999-12-31T00:00:00Z", "time__lt"),
        ("time__lt=0001-01-01T00:00:00Z", "time__lt"),
        ("time__gte=0001-01-01T00:00:00Z&interval=day", "interval"),
        ("time__gte=yesterday", "time__gte"),
    ],
)
def test_what_can_not_be_used_is_refused_by_name(query: str, named: str, api: Api) -> None:
    problem(api.get(f"{ADDRESS}?{query}"), 400, "invalid_parameter", named)


@pytest.mark.parametrize("name", ["by", "page_size", "cursor", "ordering", "tpye"])
def test_an_unknown_parameter_is_refused_by_name(name: str, api: Api) -> None:
    problem(api.get(f"{ADDRESS}?{name}=x"), 400, "unknown_parameter", name)
