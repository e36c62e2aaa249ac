"""A range of time is found among the ids exactly, however far an event's time is from its id's."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.events import ids, operations, queries, ranges
from service.events.conditions import Before, Criteria, Since
from service.events.models import STRAY, Event
from service.events.operations import Row
from service.projects.models import Project
from tests.service.cast import uuid7
from tests.service.properties import bounded

DAY = timedelta(days=1)
ONE = timedelta(microseconds=1)
BASE = timezone.now().replace(minute=0, second=0, microsecond=0) - 10 * DAY
edges = st.sampled_from([timedelta(0), ONE, -ONE, timedelta(minutes=5), timedelta(milliseconds=1)])
moments = st.builds(lambda step, edge: BASE + step * timedelta(hours=6) + edge, st.integers(-4, 4), edges)
skews = st.sampled_from([timedelta(0), DAY, -DAY, timedelta(hours=3), ids.NEAR, -ids.NEAR, ids.NEAR + ONE])


def row(moment: datetime, skew: timedelta) -> Row:
    """Return an event of about ``moment``, as ingest has it: at most 24 h from the id's time, of whole milliseconds."""
    minted = uuid7(moment + skew)
    of_id = ids.time_of(str(minted))
    return Row(id=str(minted), type="a", source="/a", occurred_at=min(max(moment, of_id - DAY), of_id + DAY))


@bounded(100)
@given(told=st.lists(st.tuples(moments, skews), max_size=12), since=st.none() | moments, until=st.none() | moments)
def test_each_event_of_the_range_is_in_one_part(
    db: None, told: list[Any], since: datetime | None, until: datetime | None
) -> None:
    project = Project.objects.create(name=str(uuid7()))
    operations.store(project.pk, [row(moment, skew) for moment, skew in told])
    criteria = Criteria((*([Since(since)] if since else []), *([Before(until)] if until else [])))
    wanted = [
        each.id
        for each in Event.objects.filter(project_id=project.pk).order_by("id")
        if (since is None or each.occurred_at >= since) and (until is None or each.occurred_at < until)
    ]

    found = queries.matching(project.pk, criteria)

    assert [each for (each,) in found.first(13, "gt")] == wanted


@bounded(50)
@given(told=st.lists(st.tuples(moments, skews), max_size=12))
def test_all_events_are_in_the_range_of_all(db: None, told: list[Any]) -> None:
    project = Project.objects.create(name=str(uuid7()))
    latest = row(timezone.now(), DAY - timedelta(seconds=1))
    operations.store(project.pk, [*(row(moment, skew) for moment, skew in told), latest])

    assert queries.of_project(project.pk).filter(ranges.of_all(project.pk)).count() == len(told) + 1


@pytest.mark.parametrize(
    ("apart", "is_stray"),
    [(ids.NEAR, False), (ids.NEAR + ONE, True), (timedelta(0), False), (DAY, True)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_stray_is_over_five_minutes_from_its_id(
    apart: timedelta, sign: int, is_stray: bool, project: Project
) -> None:
    minted = uuid7(BASE)
    occurred = ids.time_of(str(minted)) + sign * apart
    operations.store(project.pk, [Row(id=str(minted), type="a", source="/a", occurred_at=occurred)])

    assert queries.of_project(project.pk).filter(STRAY).exists() is is_stray


def plan(sql: str, parameters: list[Any]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {sql}", parameters)
        return "\n".join(line for (line,) in cursor.fetchall())


def test_few_events_are_read_besides_those_of_an_hour_and_its_partitions(project: Project) -> None:
    """The events of the days around it, of which each has a stray among a hundred."""
    hour = timedelta(hours=1)
    rows = [row(BASE + number * hour / 50, timedelta(0)) for number in range(-2000, 2000)]
    strays = [row(BASE + number * hour, 12 * hour) for number in range(-20, 20)]
    operations.store(project.pk, [*rows, *strays])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE event")
    found = queries.matching(project.pk, Criteria((Since(BASE), Before(BASE + hour))))

    told = plan(*found.statement(100, "gt"))

    removed = [int(line.split(":")[1]) for line in told.splitlines() if "Rows Removed by Filter" in line]
    assert sum(removed) < 60, told  # the strays, and ten minutes of the others
    assert told.count("Scan using") + told.count("Scan on") <= 6, told  # of three parts, each in two months at the most
