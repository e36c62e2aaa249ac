"""A range of time is found among the ids exactly, however far an event's time is from its id's."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.events import hours, ids, operations, queries
from service.events.models import Event
from service.events.operations import Row
from service.projects.models import Project
from service.stats import operations as stats
from tests.service.cast import uuid7
from tests.service.properties import bounded

DAY = timedelta(days=1)
ONE = timedelta(microseconds=1)
BASE = timezone.now().replace(minute=0, second=0, microsecond=0) - 10 * DAY
edges = st.sampled_from([timedelta(0), ONE, -ONE, timedelta(minutes=30), timedelta(milliseconds=1)])
moments = st.builds(lambda step, edge: BASE + step * timedelta(hours=6) + edge, st.integers(-12, 12), edges)
skews = st.sampled_from([timedelta(0), DAY, -DAY, timedelta(hours=3)])


@bounded(100)
@given(
    told=st.lists(st.tuples(moments, skews), max_size=12),
    folded=st.sets(st.integers(0, 12)),
    since=st.none() | moments,
    until=st.none() | moments,
)
def test_no_event_of_the_range_is_left_out(
    db: None, told: list[Any], folded: set[int], since: datetime | None, until: datetime | None
) -> None:
    project = Project.objects.create(name=str(uuid7()))
    for number, (moment, skew) in enumerate(told):
        minted = uuid7(moment + skew)
        # As ingest has it: at most 24 h from the id's own time, which is of whole milliseconds.
        occurred = min(max(moment, ids.time_of(str(minted)) - DAY), ids.time_of(str(minted)) + DAY)
        operations.store(project.pk, [Row(id=str(minted), type="a", source="/a", occurred_at=occurred)])
        if number in folded:
            stats.fold(project.pk)
    wanted = [
        each
        for each in Event.objects.filter(project_id=project.pk)
        if (since is None or each.occurred_at >= since) and (until is None or each.occurred_at < until)
    ]

    found = queries.of_project(project.pk).filter(hours.within(project.pk, since, until))

    assert {each.id for each in wanted} <= {each.id for each in found}


def test_the_events_of_an_hour_are_all_that_is_read_for_it(project: Project) -> None:
    for fold in (False, True):
        rows = [(uuid7(BASE + timedelta(hours=hour)), BASE + timedelta(hours=hour)) for hour in range(-20, 20)]
        operations.store(
            project.pk, [Row(id=str(each), type="a", source="/a", occurred_at=time) for each, time in rows]
        )
        if fold:
            stats.fold(project.pk)

        with CaptureQueriesContext(connection) as statements:
            found = queries.of_project(project.pk).filter(hours.within(project.pk, BASE, BASE + timedelta(hours=1)))
            assert {each.occurred_at for each in found} == {BASE}
        assert len(statements) == 1
