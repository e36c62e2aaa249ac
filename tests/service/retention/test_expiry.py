"""Months that aren't kept any more go as a whole, whoever reads meanwhile and wherever it was killed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from service.events import operations as events
from service.events import partitions, queries, removal
from service.events.models import Delta, Event
from service.events.operations import Row
from service.events.partitions import GRACE, Month
from service.projects.models import Project
from service.retention import operations, tasks
from service.stats import operations as stats
from service.stats.models import Count, Series, Signal
from service.telemetry.models import Emitter
from tests.service.cast import uuid7
from tests.service.events.test_partitions import in_threads
from tests.service.properties import bounded

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def row(moment: datetime, skew: timedelta = timedelta(), **values: Any) -> Row:
    return Row(**{"id": str(uuid7(moment + skew)), "type": "a", "source": "/a", "occurred_at": moment} | values)


def gone_at(table: str) -> datetime:
    """Return the moment at which a month may be dropped."""
    return Month.of(table).next.start + timedelta(days=settings.RETENTION_DAYS) + GRACE


def figures(project: Project) -> dict[str, Any]:
    """Return all that is counted, in the counts and the deltas together."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT hour, type, sender, sum(count) FROM ("
            " SELECT moment AS hour, type, sender, event_count.count FROM event_count"
            "  JOIN event_series ON event_series.project_id = event_count.project_id AND id = series_id"
            "  WHERE event_count.project_id = %(project)s AND event_count.rolled = %(signals)s AND hours = 1"
            " UNION ALL SELECT hour, type, sender, count FROM event_delta WHERE project_id = %(project)s"
            ") AS counted GROUP BY hour, type, sender HAVING sum(count) <> 0",
            {"project": project.pk, "signals": stats.SIGNALS},
        )
        return {str(found[:3]): int(found[3]) for found in cursor.fetchall()}


def counted_anew(project: Project) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT date_trunc('hour', occurred_at, 'UTC'), type, sender, count(*) FROM event"
            " WHERE project_id = %s GROUP BY 1, 2, 3",
            [project.pk],
        )
        return {str(found[:3]): int(found[3]) for found in cursor.fetchall()}


def in_a_thread(work: Callable[[], Any]) -> Any:
    return in_threads(1, work)[0]


def detach(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE event DETACH PARTITION {table} CONCURRENTLY")


def test_a_month_goes_when_none_of_its_ids_is_accepted_any_more(months: list[str], project: Project) -> None:
    oldest = months[0]
    before = gone_at(oldest) - timedelta(microseconds=1)

    assert operations.expire(before) == []
    assert operations.expire(gone_at(oldest)) == [oldest]
    assert sorted(partitions.present().all) == months[1:]
    assert operations.expire(gone_at(oldest)) == []


def test_all_months_that_expired_go_and_no_other(months: list[str], project: Project) -> None:
    kept = row(Month.of(months[3]).start)
    events.store(project.pk, [row(Month.of(table).start) for table in months[:3]] + [kept])

    assert operations.expire(gone_at(months[2])) == months[:3]
    assert [str(each.id) for each in Event.objects.all()] == [kept.id]


# From the last days of the month that goes to the first of the next, of events up to a day from their ids.
@bounded(25)
@given(
    stored=st.lists(
        st.tuples(
            st.integers(-5 * 24 * 60, 5 * 24 * 60),
            st.sampled_from([0] * 3 + [-1440, 1440, 600, -600, 60, -60, 2, -2]),
            st.sampled_from(["a", "b"]),
            st.sampled_from([None, "shop.Order"]),
        ),
        max_size=25,
    ),
    folds=st.sets(st.integers(0, 25)),
    folded_before=st.booleans(),
)
@example(stored=[(each, 0, "a", None) for each in (-1441, -1440, -1439, -1, 0, 1)], folds=set(), folded_before=True)
@example(stored=[(-1, 2, "a", None), (1, -2, "a", None)], folds=set(), folded_before=True)
@example(stored=[(-60, 600, "a", None), (60, -600, "a", None)], folds=set(), folded_before=True)
@example(
    stored=[(-1440, 1439, "a", None), (1439, -1440, "a", None), (-1, 60, "a", None)], folds={1}, folded_before=True
)
def test_the_counts_are_those_of_the_table_at_any_moment(
    stored: list[Any], folds: set[int], folded_before: bool, months: list[str]
) -> None:
    project = Project.objects.create(name=str(uuid7()))
    partitions.ensure(timezone.now())
    end = Month.of(months[0]).next.start
    for place, (minutes, skew, kind, sender) in enumerate(stored):
        moment = end + timedelta(minutes=minutes)
        events.store(project.pk, [row(moment, timedelta(minutes=skew), type=kind, sender=sender)])
        if place in folds:
            stats.fold_some(project.pk, 3)
    if folded_before:
        stats.fold(project.pk)
    assert figures(project) == counted_anew(project)

    operations.expire(gone_at(months[0]))

    assert figures(project) == counted_anew(project)
    stats.fold(project.pk)
    assert figures(project) == counted_anew(project)
    of_project = {"project_id": project.pk}
    assert not Count.objects.filter(**of_project, count__lte=0).exists()
    assert not Series.objects.filter(**of_project, count__lte=0).exists()
    assert {
        (each.type, each.sender): (each.first_seen, each.last_seen) for each in Signal.objects.filter(**of_project)
    } == {
        (kind, sender): (min(times), max(times))
        for kind in "ab"
        for sender in (None, "shop.Order")
        if (
            times := list(
                Event.objects.filter(**of_project, type=kind, sender=sender).values_list("occurred_at", flat=True)
            )
        )
    }


def test_emitters_and_all_else_that_is_told_of_a_month_go_with_it(months: list[str], project: Project) -> None:
    moment = Month.of(months[0]).start + DAY
    events.store(project.pk, [row(moment, emitter_id=uuid7(), sequence=1)])
    stats.fold_all()
    now = gone_at(months[0])

    operations.expire(now)
    operations.expire(timezone.now() + timedelta(days=366))

    assert not any(table.objects.exists() for table in (Event, Delta, Count, Series, Signal, Emitter))


def test_who_reads_a_month_keeps_it_and_nobody_waits(
    months: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "PATIENCE", "200ms")
    events.store(project.pk, [row(Month.of(months[0]).start), row(timezone.now())])
    now = gone_at(months[0])

    with transaction.atomic():
        assert queries.of_project(project.pk).count() == 2
        dropped = in_a_thread(lambda: operations.expire(now))
        in_a_thread(lambda: prompt(lambda: events.store(project.pk, [row(timezone.now())])))
        in_a_thread(lambda: prompt(lambda: list(queries.of_project(project.pk))))

    assert dropped == []
    assert months[0] in partitions.present().leaving
    assert operations.expire(now) == [months[0]]
    assert queries.of_project(project.pk).count() == 2


def test_on_a_cluster_a_month_waits_briefly_for_who_reads_and_goes_with_the_next_run(
    months: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "is_cluster", lambda: True)
    monkeypatch.setattr(partitions, "BRIEF", "50ms")
    events.store(project.pk, [row(Month.of(months[0]).start), row(timezone.now())])
    now = gone_at(months[0])

    with transaction.atomic():
        assert queries.of_project(project.pk).count() == 2
        assert in_a_thread(lambda: operations.expire(now)) == []
    assert partitions.present().attached == set(months)

    assert operations.expire(now) == [months[0]]
    assert queries.of_project(project.pk).count() == 1


def test_a_detached_month_that_somebody_reads_is_dropped_by_the_next_run(
    months: list[str], project: Project, extra_partitions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `pg_dump` does."""
    monkeypatch.setattr(partitions, "PATIENCE", "50ms")
    detach(months[0])
    now = gone_at(months[0])

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {months[0]}")
        assert in_a_thread(lambda: operations.expire(now)) == []
        in_a_thread(lambda: prompt(lambda: partitions.ensure(now)))

    assert operations.expire(now) == [months[0]]


@pytest.mark.parametrize("steps", range(12))
def test_a_month_is_gone_before_its_space_is_and_one_that_was_killed_in_between_is_gone_on_with(
    steps: int, months: list[str], project: Project
) -> None:
    events.store(project.pk, [row(Month.of(months[0]).next.start - HOUR, 2 * HOUR), row(Month.of(months[0]).start)])
    now = gone_at(months[0])

    assert partitions.drop_expired(now) == [months[0]]
    assert sorted(partitions.present().all) == months[1:]
    assert partitions.gone() == [f"{months[0]}_gone"]
    assert taken(months[0]) > steps
    list(islice(partitions.free(), steps))
    operations.expire(now)

    assert partitions.gone() == []
    assert taken(months[0]) == 0
    assert figures(project) == counted_anew(project)


def taken(table: str) -> int:
    """Return how many tables and indexes of a month there are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname LIKE %s", [f"{table}%"])
        return int(cursor.fetchone()[0])


def test_a_month_that_is_gone_is_made_anew_beside_its_old_space_and_neither_goes_for_the_other(
    months: list[str], project: Project
) -> None:
    """As when the retention was lowered by mistake, and raised again at once."""
    now = gone_at(months[0])
    assert partitions.drop_expired(now) == [months[0]]
    partitions.ensure(timezone.now())
    events.store(project.pk, [row(Month.of(months[0]).start)])

    assert partitions.drop_expired(now) == []
    partitions.ensure(timezone.now())
    assert queries.of_project(project.pk).count() == 1
    list(partitions.free())

    assert partitions.gone() == []
    assert queries.of_project(project.pk).count() == 1
    assert operations.expire(now) == [months[0]]
    assert partitions.gone() == []


def test_the_space_of_a_month_that_somebody_reads_is_freed_by_the_next_run(
    months: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `pg_dump` does."""
    monkeypatch.setattr(partitions, "PATIENCE", "50ms")
    now = gone_at(months[0])
    partitions.drop_expired(now)

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {months[0]}_gone")
        assert in_a_thread(lambda: operations.expire(now)) == []
        in_a_thread(lambda: prompt(lambda: partitions.ensure(now)))
        in_a_thread(lambda: prompt(lambda: events.store(project.pk, [row(timezone.now())])))
    assert partitions.gone() == [f"{months[0]}_gone"]

    operations.expire(now)
    assert partitions.gone() == []


def test_this_is_no_cluster(db: None) -> None:
    assert not partitions.is_cluster()


def prompt(work: Callable[[], Any]) -> Any:
    """Do ``work``, which fails if it has to wait."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '1ms'")
    return work()


def test_one_that_was_killed_while_it_waited_for_readers_is_gone_on_with(
    months: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.store(project.pk, [row(Month.of(months[0]).start)])
    with transaction.atomic():
        queries.of_project(project.pk).count()
        in_a_thread(lambda: leave_in_the_midst(months[0]))
    assert partitions.present().leaving == {months[0]}

    assert operations.expire(gone_at(months[0])) == [months[0]]
    assert months[0] not in partitions.present().all


def leave_in_the_midst(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    with pytest.raises(DatabaseError):
        detach(table)


def test_one_that_was_killed_before_it_dropped_is_gone_on_with(months: list[str], project: Project) -> None:
    events.store(project.pk, [row(Month.of(months[0]).next.start - HOUR), row(Month.of(months[1]).start)])
    stats.fold_all()
    detach(months[0])

    assert operations.expire(gone_at(months[0])) == [months[0]]
    assert figures(project) == counted_anew(project)


def test_what_is_dropped_and_what_is_counted_out_are_one(
    months: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.store(project.pk, [row(Month.of(months[0]).next.start - HOUR)])
    with monkeypatch.context() as patched:
        patched.setattr(removal, "BEYOND", removal.BEYOND + ";SELECT 1 / 0")
        with pytest.raises(DatabaseError):
            operations.expire(gone_at(months[0]))
    assert partitions.present().loose == {months[0]}
    assert Delta.objects.count() == 1

    operations.expire(gone_at(months[0]))

    assert figures(project) == {}


def test_a_month_comes_back_when_the_retention_is_raised_before_it_was_dropped(
    months: list[str], project: Project
) -> None:
    events.store(project.pk, [row(Month.of(months[0]).start + DAY), row(Month.of(months[1]).start)])
    stats.fold_all()
    detach(months[0])
    assert queries.of_project(project.pk).count() == 1

    operations.expire(timezone.now())
    partitions.ensure(timezone.now())

    assert queries.of_project(project.pk).count() == 2
    assert figures(project) == counted_anew(project)
    assert sorted(partitions.existing()) == months


def test_one_of_many_at_once_drops(months: list[str], project: Project) -> None:
    now = gone_at(months[1])

    dropped = in_threads(4, lambda: operations.expire(now))
    dropped.append(operations.expire(now))

    assert sorted(name for names in dropped for name in names) == months[:2]


def test_a_detached_month_is_never_forgotten_before_it_is_dropped(months: list[str], project: Project) -> None:
    events.store(project.pk, [row(Month.of(months[0]).start + DAY)])
    stats.fold_all()
    detach(months[0])

    list(stats.forget())

    assert sum(figures(project).values()) == 1


def test_nothing_of_others_tables_is_touched(months: list[str], project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE event_1999_01_copy (); CREATE TABLE event_old ()")
        try:
            operations.expire(gone_at(months[0]))
            cursor.execute("SELECT count(*) FROM pg_class WHERE relname IN ('event_1999_01_copy', 'event_old')")
            assert cursor.fetchone() == (2,)
        finally:
            cursor.execute("DROP TABLE event_1999_01_copy, event_old")


def test_the_hourly_task_drops_what_expired(
    months: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RETENTION_DAYS", 100)

    tasks.expire.func(timestamp=0)

    assert min(partitions.existing()) >= Month.of(months[8]).table


@pytest.mark.parametrize("task", [tasks.expire, tasks.remove])
def test_nothing_goes_for_a_clock_of_the_service_that_is_ahead_of_the_databases(
    task: Any, months: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    Project.objects.filter(pk=project.pk).update(retention_days=30)
    events.store(project.pk, [row(timezone.now() - DAY)])
    with monkeypatch.context() as patched:
        patched.setattr(tasks.timezone, "now", lambda: datetime.now(UTC) + timedelta(days=400))
        task.func(timestamp=0)

    assert queries.of_project(project.pk).count() == 1
    assert sorted(partitions.existing()) == months


def test_readyz_fails_when_a_month_is_a_week_late(
    months: list[str], project: Project, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = gone_at(months[0]) + partitions.NEEDED
    assert partitions.overdue(late - timedelta(microseconds=1)) == []
    assert partitions.overdue(late) == [months[0]]
    partitions.drop_expired(gone_at(months[0]))
    assert partitions.overdue(late) == [months[0]], "It takes space."
    list(partitions.free())
    assert partitions.overdue(late) == []
    monkeypatch.setattr(partitions, "overdue", lambda now: [months[0]])

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["retention"] == "overdue: run the worker"
