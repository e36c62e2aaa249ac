"""The partitions of the event table: which months, made once, and exactly what is accepted fits in them."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from service.events import ids, partitions, tasks
from service.events.models import Event
from service.ingest import operations as ingest
from service.ingest.wire import Window
from service.projects.models import Project
from tests.service.cast import EVENTS, Api, event, problem, raw_event, uuid7
from tests.service.properties import bounded

UNSTORABLE = "0." + "0" * 17_000 + "1"
MILLISECOND = timedelta(milliseconds=1)
moments = st.timedeltas(timedelta(0), timedelta(days=157_000)).map(datetime(1971, 1, 1, tzinfo=UTC).__add__)


def rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def bounds() -> dict[str, tuple[UUID, UUID]]:
    """Return the partitions that there are, in order, each with its bounds as Postgres has them."""
    found = rows(
        "SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_class"
        " JOIN pg_inherits ON inhrelid = pg_class.oid WHERE inhparent = 'event'::regclass ORDER BY relname"
    )
    return {name: tuple(UUID(text) for text in re.findall(r"'([0-9a-f-]{36})'", bound)) for name, bound in found}  # type: ignore[misc]


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Run ``work`` in threads that begin at once, each on a connection of its own."""
    barrier = threading.Barrier(count)

    def run() -> Any:
        try:
            barrier.wait()
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(count)]]


@bounded(300)
@given(first=moments, span=st.timedeltas(timedelta(0), timedelta(days=900)))
@example(first=datetime(2028, 2, 29, 23, 59, 59, 999999, tzinfo=UTC), span=timedelta(microseconds=1))
@example(first=datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), span=timedelta(0))
@example(first=datetime(2026, 12, 1, tzinfo=UTC), span=timedelta(days=31))
@example(first=datetime(2027, 1, 31, tzinfo=UTC), span=timedelta(days=1))
def test_months_cover_a_span_without_gap_or_overlap_or_excess(first: datetime, span: timedelta) -> None:
    months = partitions.months(first, first + span)

    assert months[0].start <= first < months[0].next.start
    assert months[-1].start <= first + span < months[-1].next.start
    assert [month.next for month in months[:-1]] == months[1:]
    assert all(timedelta(days=28) <= month.next.start - month.start <= timedelta(days=31) for month in months)
    assert len({month.table for month in months}) == len(months)


def test_the_partitions_cover_what_is_accepted_and_two_months_more(db: None) -> None:
    now = timezone.now()

    found = list(bounds().values())

    assert found[0][0] <= ids.floor(now - timedelta(days=365))
    assert found[-1][1] > ids.floor(now + timedelta(hours=24) + timedelta(days=62))
    assert [upper for _, upper in found[:-1]] == [lower for lower, _ in found[1:]]


def test_a_partition_begins_with_its_month(db: None) -> None:
    for name, (lower, upper) in bounds().items():
        begin = datetime.strptime(name, "event_%Y_%m").replace(tzinfo=UTC)

        assert lower.int == int(begin.timestamp()) * 1000 << 80
        assert upper.int == int((begin + timedelta(days=32)).replace(day=1).timestamp()) * 1000 << 80


@bounded(15)
@given(now=st.timedeltas(timedelta(0), timedelta(days=2500)).map(datetime(2026, 1, 1, tzinfo=UTC).__add__))
@example(now=datetime(2028, 2, 29, tzinfo=UTC))
@example(now=datetime(2031, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
def test_whenever_it_runs_all_that_is_accepted_has_a_partition(db: None, now: datetime) -> None:
    window = (partitions.horizon(now), now + timedelta(hours=24) + timedelta(days=62))
    with transaction.atomic():
        partitions.ensure(now)
        found = bounds().values()
        again = partitions.ensure(now)
        ready = partitions.ready(now)
        transaction.set_rollback(True)

    assert again == []
    assert ready
    for moment in window:
        assert any(lower <= ids.floor(moment) < upper for lower, upper in found)


def test_making_partitions_again_makes_none(db: None) -> None:
    assert partitions.ensure(timezone.now()) == []


def test_a_missing_partition_is_made_again_and_told(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"event_{timezone.now():%Y_%m}"
    before = bounds()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name}")
    assert not partitions.ready(timezone.now())

    call_command("ensure_partitions")

    assert capsys.readouterr().out == f"{name}\n"
    assert bounds() == before
    assert partitions.ready(timezone.now())


def test_the_hourly_task_makes_the_partitions(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE event_{timezone.now():%Y_%m}")

    tasks.ensure_partitions.func(timestamp=0)

    assert partitions.ready(timezone.now())


@pytest.mark.parametrize(("before", "ready"), [(timedelta(days=7), False), (timedelta(days=7, milliseconds=1), True)])
def test_it_is_ready_while_the_coming_week_has_its_partitions(before: timedelta, ready: bool, db: None) -> None:
    (month,) = partitions.months(timezone.now(), timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE event DETACH PARTITION {month.next.table}")

    assert partitions.ready(month.next.start - before) is ready


def test_many_threads_at_once_make_each_partition_once(extra_partitions: None) -> None:
    later = timezone.now() + timedelta(days=1200)
    wanted = {month.table for month in partitions.months(partitions.horizon(later), later + timedelta(days=63))}
    missing = wanted - bounds().keys()

    made = in_threads(8, lambda: partitions.ensure(later))

    assert sorted(name for names in made for name in names) == sorted(missing)
    assert bounds().keys() >= wanted


def test_partitions_are_made_while_events_are_written_and_read(extra_partitions: None, api: Api) -> None:
    def make() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")
        return partitions.ensure(timezone.now() + timedelta(days=100))

    with transaction.atomic():
        api.send(event())
        api.list()
        (made,) = in_threads(1, make)

    assert made


@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        (timedelta(days=365) + MILLISECOND, False),
        (timedelta(days=365), True),
        (timedelta(0), True),
        (-timedelta(hours=24) + MILLISECOND, True),
        (-timedelta(hours=24), False),
    ],
)
@pytest.mark.parametrize("bits", [0, (1 << 74) - 1])
def test_an_id_at_the_edge_is_accepted_or_refused_exactly(
    age: timedelta, accepted: bool, bits: int, project: Project
) -> None:
    now = timezone.now()
    now -= timedelta(microseconds=now.microsecond % 1000)
    milliseconds = (now - age - ids.EPOCH) // MILLISECOND
    edge = UUID(int=milliseconds << 80 | 7 << 76 | bits >> 62 << 64 | 2 << 62 | bits & (1 << 62) - 1)

    receipt = ingest.store(project.pk, ingest.read([raw_event(id=f'"{edge}"')], Window.at(now, 365, ())))

    assert (receipt.accepted, receipt.rejected) == ((1, 0) if accepted else (0, 1))
    assert [error.code for error in receipt.errors] == ([] if accepted else ["id_out_of_range"])


def test_the_retention_that_is_set_is_the_horizon(api: Api, settings: Any) -> None:
    settings.RETENTION_DAYS = 30
    sent = [event(id=str(uuid7(timezone.now() - timedelta(days=days)))) for days in (29, 31)]

    answer = api.send(sent)

    assert [(error["index"], error["code"]) for error in answer.json()["errors"]] == [(1, "id_out_of_range")]
    assert "last 30 days" in answer.json()["errors"][0]["detail"]


def test_an_event_stands_in_the_partition_of_its_id(api: Api) -> None:
    moment = timezone.now() - timedelta(days=100)
    api.send(event(id=str(uuid7(moment))))

    assert rows("SELECT tableoid::regclass::text FROM event") == [(f"event_{moment:%Y_%m}",)]


@pytest.fixture
def no_month(transactional_db: None) -> Iterator[None]:
    """Take away the table of the current month."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE event_{timezone.now():%Y_%m}")
    yield
    partitions.ensure(timezone.now())


def earlier_event(**attributes: Any) -> dict[str, Any]:
    return event(id=str(uuid7(timezone.now() - timedelta(days=40))), **attributes)


@pytest.mark.parametrize(("earlier", "now"), [(0, 1), (1, 1), (30, 2)])
def test_events_without_a_partition_are_told_to_come_again_and_the_others_are_stored(
    earlier: int, now: int, no_month: None, api: Api
) -> None:
    good = [earlier_event() for _ in range(earlier)]
    batch = [event(), *good, *[event() for _ in range(now - 1)]]

    answers = [api.send(batch) for _ in range(2)]
    stored = {str(each) for each in Event.objects.values_list("id", flat=True)}
    partitions.ensure(timezone.now())
    after = api.send(batch)

    for answer in answers:
        problem(answer, 503, "partition_missing")
        assert int(answer.headers["Retry-After"]) > 0
    assert stored == {each["id"] for each in good}
    assert (after.json()["accepted"], after.json()["duplicates"]) == (now, earlier)


def test_neither_an_event_that_cant_be_stored_nor_the_size_of_a_batch_keeps_the_others_from_it(
    no_month: None, api: Api
) -> None:
    unstorable = raw_event(id=f'"{earlier_event()["id"]}"', data=UNSTORABLE)
    good = [json.dumps(earlier_event(data="x" * 9_000)).encode() for _ in range(9)]
    answer = api.send(b"[%s]" % b",".join([unstorable, *good[:4], raw_event(), *good[4:], unstorable]))

    problem(answer, 503, "partition_missing")
    assert Event.objects.count() == 9


def test_a_dry_run_tells_of_a_missing_partition(no_month: None, api: Api) -> None:
    batch = json.dumps([event(), earlier_event()]).encode()

    problem(api.call("POST", f"{EVENTS}?dry_run=true", batch, "application/json"), 503, "partition_missing")
    assert Event.objects.count() == 0
