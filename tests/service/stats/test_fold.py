"""Adding up deltas: nothing lost and nothing twice, while events arrive, by many at once, and when it is killed."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from service.events import operations as events
from service.events.models import Delta, Event
from service.events.operations import Row
from service.projects.models import Project
from service.stats import operations, queries, tasks
from service.stats.dimensions import DIMENSIONS, GROUP_BY, GROUPINGS, rolled
from service.stats.models import Count, Series
from service.stats.queries import Question
from service.stats.spans import Span
from tests import live
from tests.service.cast import Api, event, uuid7

# Folds, and tells when it has begun a transaction that isn't committed yet.
FOLDER = """
import sys, time
import django
django.setup()
from django.db import transaction
from service.stats import operations
with transaction.atomic():
    operations.fold(int(sys.argv[1]))
    print("folded", flush=True)
    time.sleep(60)
"""
NOW = timezone.now()
ALL_DAYS = Span(*(NOW.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days) for days in (-9, 3)))


def row(number: int = 0) -> Row:
    moment = NOW - timedelta(minutes=37 * (number % 300))
    return Row(
        id=str(uuid7(moment)),
        type=f"type {number % 7}",
        source="/a",
        occurred_at=moment,
        sender=random.choice([None, "a", "b"]),
        action=random.choice([None, "created"]),
    )


def told(project: Project) -> int:
    return sum(
        queries.histogram(Question(project_id=project.pk, span=ALL_DAYS, interval="hour"), 0)[-1].counts.values()
    )


def test_the_task_folds_all_projects(project: Project, neighbour: Project) -> None:
    events.store(project.pk, [row()])
    events.store(neighbour.pk, [row()])

    tasks.fold_deltas.func(timestamp=0)

    assert Delta.objects.count() == 0
    assert (told(project), told(neighbour)) == (1, 1)


def test_a_project_is_folded_by_itself(project: Project, neighbour: Project) -> None:
    events.store(project.pk, [row()])
    events.store(neighbour.pk, [row()])

    operations.fold(project.pk)

    assert {delta.project_id for delta in Delta.objects.all()} == {neighbour.pk}
    assert {count.project_id for count in Count.objects.all()} == {project.pk}
    assert (told(project), told(neighbour)) == (1, 1)


def test_more_than_a_chunk_is_folded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "CHUNK", 3)
    for number in range(10):
        events.store(project.pk, [row(number)])

    operations.fold(project.pk)

    assert Delta.objects.count() == 0
    assert told(project) == 10


def test_each_grouping_holds_every_event_once_by_hour_and_by_day(project: Project) -> None:
    for number in range(30):
        events.store(project.pk, [row(number), row(number + 1)])
        if number % 4 == 0:
            operations.fold(project.pk)
    operations.fold(project.pk)

    for grouping in GROUPINGS:
        for hours in (1, 24):
            counts = Count.objects.filter(rolled=rolled(grouping), hours=hours)
            assert sum(count.count for count in counts) == 60
        series = Series.objects.filter(rolled=rolled(grouping))
        assert sum(each.count for each in series) == 60
        assert {tuple(getattr(each, name) for name in grouping) for each in series} == {
            tuple(getattr(each, name) for name in grouping) for each in Event.objects.all()
        }
        assert all(getattr(each, name) is None for each in series for name in set(DIMENSIONS) - set(grouping))


def test_values_of_any_length_and_letter_are_counted(api: Api, project: Project) -> None:
    """An index on the values themselves would refuse them, and no fold would ever succeed again."""
    long = dict.fromkeys(("type", "source", "sender"), "\N{GRINNING FACE}" * 255) | {"action": "\N{GRINNING FACE}" * 64}
    odd = dict.fromkeys(("type", "source", "sender", "action"), '",()\\{}NULL%s\n')
    assert api.send([event(**long), event(**odd), event(**long)]).json()["accepted"] == 3

    operations.fold(project.pk)

    by_sender = queries.top(Question(project_id=project.pk, span=ALL_DAYS, by=GROUP_BY["sender"]), None)
    assert by_sender.found == [(long["sender"], 2), (odd["sender"], 1)]


def test_nobody_who_sends_waits_for_a_fold(transactional_db: None, project: Project) -> None:
    events.store(project.pk, [row(1)])

    def send() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")
        try:
            events.store(project.pk, [row(1)])
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        operations.fold(project.pk)
        pool.submit(send).result()

    assert told(project) == 2


@pytest.mark.parametrize("name", ["fold", "forget"])
def test_who_changes_counts_waits_for_the_fold_that_is_not_committed(
    name: str, transactional_db: None, project: Project
) -> None:
    """Before it takes anything: two that had taken some would wait for each other's series."""
    events.store(project.pk, [row(1)])
    operations.fold(project.pk)
    Series.objects.update(oldest=NOW - timedelta(days=10_000))
    events.store(project.pk, [row(1)])

    def change() -> None:
        operations.fold(project.pk) if name == "fold" else list(operations.forget())
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            operations.fold(project.pk)
            other = pool.submit(change)
            live.eventually(waits_for_a_turn)
        other.result()

    assert told(project) == 2


def waits_for_a_turn() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        return bool(cursor.fetchone()[0])


def test_a_reader_sees_what_a_fold_that_is_not_committed_has_taken(transactional_db: None, project: Project) -> None:
    events.store(project.pk, [row(number) for number in range(5)])
    seen = []

    def read() -> None:
        seen.append(told(project))
        connection.close()

    with transaction.atomic():
        operations.fold(project.pk)
        seen.append(told(project))
        reading = threading.Thread(target=read)
        reading.start()
        reading.join()

    assert [*seen, told(project)] == [5, 5, 5]


def test_a_fold_that_is_killed_loses_and_doubles_nothing(transactional_db: None, project: Project) -> None:
    events.store(project.pk, [row(number) for number in range(20)])
    live.kill_once_it_says("folded", FOLDER, project.pk)

    before = told(project)
    operations.fold(project.pk)

    assert (before, told(project)) == (20, 20)
    assert Delta.objects.count() == 0


@contextmanager
def one_snapshot() -> Iterator[None]:
    """See the database as it was at the first statement, in all of them."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def test_eight_writers_and_folds_all_the_time_leave_every_snapshot_exact(
    transactional_db: None, project: Project
) -> None:
    """Most events are sent by several of the writers, and some of what they write is rolled back.

    Nobody writes a batch before the one before is in a snapshot that is looked at, so that many different ones are.
    """
    pool_of_rows = [[row(number + 50 * batch) for number in range(50)] for batch in range(24)]
    done = threading.Event()
    seen: list[tuple[int, int]] = []
    looked = threading.Condition()

    def wait_until_it_is_looked_at() -> None:
        with looked:
            one_that_began_now = len(seen) + 2
            looked.wait_for(lambda: len(seen) >= one_that_began_now or done.is_set())

    def write(number: int) -> None:
        mixed = random.Random(number)
        for rows in mixed.sample(pool_of_rows, len(pool_of_rows)):
            with transaction.atomic():
                events.store(project.pk, mixed.sample(rows, 40))
                transaction.set_rollback(mixed.random() < 0.2)
            wait_until_it_is_looked_at()
        for rows in pool_of_rows:
            events.store(project.pk, rows)
        connection.close()

    def fold(chunk: int) -> None:
        while not done.is_set():
            operations.fold_some(project.pk, chunk)
        connection.close()

    def watch() -> None:
        try:
            while not done.is_set():
                with one_snapshot():
                    counts = (told(project), Event.objects.count())
                with looked:
                    seen.append(counts)
                    looked.notify_all()
        finally:
            done.set()
            with looked:
                looked.notify_all()
            connection.close()

    with ThreadPoolExecutor(8) as writing, ThreadPoolExecutor(3) as besides:
        others = [besides.submit(fold, 3), besides.submit(fold, 1000), besides.submit(watch)]
        try:
            list(writing.map(write, range(8)))
        finally:
            done.set()
        for future in others:
            future.result()
    operations.fold(project.pk)

    assert all(counted == stored for counted, stored in seen)
    assert len({stored for _, stored in seen}) > 3
    assert told(project) == Event.objects.count() == 24 * 50
    assert Delta.objects.count() == 0
