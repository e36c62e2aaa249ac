"""A project that keeps its events for less long than the service: what is taken, told and deleted."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from service.events import operations as events
from service.events import partitions, queries
from service.events.models import Event
from service.projects import operations as projects
from service.projects import remembered, retention
from service.projects.models import Project, Scope
from service.projects.remembered import Memory
from service.retention import operations, tasks
from service.retention.pace import Pace
from service.stats import operations as stats
from service.stats.models import Count, Series, Signal
from service.telemetry.models import Emitter
from tests.service.cast import Api, event, problem, uuid7
from tests.service.properties import bounded
from tests.service.retention.test_expiry import counted_anew, figures, in_a_thread, prompt, row

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember nothing."""
    monkeypatch.setattr(remembered, "SECONDS", 0.0)


def keep(project: Project, days: int | None) -> None:
    Project.objects.filter(pk=project.pk).update(retention_days=days)


def ages(project: Project) -> list[int]:
    now = timezone.now()
    return sorted((now - each.occurred_at).days for each in Event.objects.filter(project_id=project.pk))


@pytest.mark.parametrize(("own", "days"), [(None, 365), (30, 30), (1, 1), (365, 365), (9999, 365)])
def test_meta_tells_what_is_taken(own: int | None, days: int, project: Project, api: Api) -> None:
    keep(project, own)

    told = api.get("/api/v1/meta/").json()

    assert told["retention_days"] == days
    oldest = datetime.fromisoformat(told["accepted_ids"]["oldest"])
    sent = [event(id=str(uuid7(oldest + place))) for place in (-MINUTE, MINUTE)]
    answer = api.send(sent).json()
    assert [(each["index"], each["code"]) for each in answer["errors"]] == [(0, "id_out_of_range")]
    assert f"the last {days} days" in answer["errors"][0]["detail"]
    assert answer["accepted"] == 1


def test_of_another_project_nothing_changes(project: Project, api: Api, neighbours_api: Api) -> None:
    keep(project, 30)
    old = uuid7(timezone.now() - 40 * DAY)

    problem(api.send(event(id=str(old))), 422, "id_out_of_range")
    assert neighbours_api.send(event(id=str(old))).status_code == 201


def test_what_is_older_goes_and_nothing_else(project: Project, neighbour: Project) -> None:
    now = timezone.now()
    for each in (project, neighbour):
        events.store(each.pk, [row(now - age * DAY) for age in (0, 29, 31, 90, 200)])
    keep(project, 30)

    assert operations.expire_early(now, Pace()) == 3
    assert operations.expire_early(now, Pace()) == 0

    assert ages(project) == [0, 29]
    assert ages(neighbour) == [0, 29, 31, 90, 200]


def test_an_event_stays_for_an_hour_after_its_id_is_refused(project: Project) -> None:
    now = timezone.now()
    events.store(project.pk, [row(now - 30 * DAY - partitions.GRACE + place) for place in (-MINUTE, MINUTE)])
    keep(project, 30)

    assert operations.expire_early(now, Pace()) == 1


def test_its_emitters_go_too(project: Project, neighbour: Project) -> None:
    for each in (project, neighbour):
        for age in (29, 31):
            seen = timezone.now() - age * DAY
            Emitter.objects.create(project_id=each.pk, id=uuid7(), source="/a", first_seen=seen, last_seen=seen)
    keep(project, 30)

    operations.expire_early(timezone.now(), Pace())

    assert [Emitter.objects.filter(project_id=each.pk).count() for each in (project, neighbour)] == [1, 2]


def test_many_batches_go_one_after_the_other_and_a_run_ends_in_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 10)
    events.store(project.pk, [row(timezone.now() - 60 * DAY + number * MINUTE) for number in range(35)])
    keep(project, 30)

    assert operations.expire_early(timezone.now(), Pace(seconds=0)) == 0
    tasks.remove.func(timestamp=0)

    assert ages(project) == []


@bounded(20)
@given(
    stored=st.lists(
        st.tuples(st.integers(27 * 1440, 33 * 1440), st.sampled_from([0, 0, -1440, 1440, 60]), st.sampled_from("ab")),
        max_size=25,
    ),
    folds=st.sets(st.integers(0, 25)),
)
@example(stored=[(each, 0, "a") for each in range(43_258, 43_264)], folds={5})
def test_the_counts_are_those_of_the_table_at_any_moment(stored: list[Any], folds: set[int], db: None) -> None:
    project = Project.objects.create(name=str(uuid7()), retention_days=30)
    now = timezone.now()
    for place, (minutes, skew, kind) in enumerate(stored):
        events.store(project.pk, [row(now - minutes * MINUTE, skew * MINUTE, type=kind)])
        if place in folds:
            stats.fold_some(project.pk, 3)

    operations.expire_early(now, Pace())

    assert figures(project) == counted_anew(project)
    stats.fold(project.pk)
    assert figures(project) == counted_anew(project)
    assert not Count.objects.filter(project_id=project.pk, count__lte=0).exists()
    assert not Series.objects.filter(project_id=project.pk, count__lte=0).exists()
    for each in Signal.objects.filter(project_id=project.pk):
        alike = Event.objects.filter(project_id=project.pk, type=each.type).order_by("occurred_at")
        times = list(alike.values_list("occurred_at", flat=True))
        assert (each.count, each.first_seen, each.last_seen) == (len(times), times[0], times[-1])


def test_readers_and_writers_dont_wait_for_it(transactional_db: None, project: Project) -> None:
    now = timezone.now()
    events.store(project.pk, [row(now - 60 * DAY), row(now)])
    keep(project, 30)

    with transaction.atomic():
        assert sum(operations.expire_project(project.pk, 30, now)) == 1
        in_a_thread(lambda: prompt(lambda: events.store(project.pk, [row(timezone.now() - 50 * DAY)])))
        in_a_thread(lambda: prompt(lambda: list(queries.of_project(project.pk))))


def test_a_change_is_effective_in_two_seconds_and_needs_no_query_until_then(
    project: Project, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(remembered, "SECONDS", 2.0)
    memory: Memory[int] = Memory(10)
    monkeypatch.setattr(retention, "_days", memory)
    api = Api(key=projects.create_key(project, [Scope.EVENTS_WRITE]))
    assert api.get("/api/v1/meta/").json()["retention_days"] == 365
    keep(project, 30)

    with django_assert_num_queries(0):
        assert retention.days_of(project.pk) == 365
    memory.values = {name: (read_at - 2.1, days) for name, (read_at, days) in memory.values.items()}

    assert retention.remembered_days(project.pk) is None
    assert retention.days_of(project.pk) == 30


def test_what_went_is_told_of_nowhere_before_a_fold_and_after(project: Project, api: Api) -> None:
    now = timezone.now()
    events.store(project.pk, [row(now - age * DAY, type=kind) for age, kind in ((1, "a"), (40, "a"), (40, "gone"))])
    stats.fold(project.pk)
    keep(project, 30)
    operations.expire_early(now, Pace())

    for fold in (False, True):
        if fold:
            stats.fold(project.pk)
        since = f"time__gte={(now - 60 * DAY):%Y-%m-%d}"
        told = [
            api.get(f"/api/v1/{address}").json()
            for address in ("signals/", f"stats/top/?by=type&{since}", f"stats/histogram/?group_by=type&{since}")
        ]
        assert [(each["type"], each["count"]) for each in told[0]["results"]] == [("a", 1)]
        assert (told[1]["count"], told[1]["values"]) == (1, 1)
        assert [each["value"] for each in told[2]["groups"]] == ["a"]
        assert (told[2]["count"], sum(told[2]["counts"])) == (1, 1)
