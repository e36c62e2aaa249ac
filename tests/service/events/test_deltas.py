"""What is written of each statement that stores: its counts add up to the table, its arrival names the new events."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Count, Max, Min, QuerySet, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from service.events import operations
from service.events.models import Arrival, Delta, Event
from service.events.operations import Row
from service.projects.models import Project
from tests.service.cast import Api, uuid7

KIND = ("project_id", "type", "source", "sender", "action", "outcome")


def row(moment: datetime, **columns: Any) -> Row:
    columns = {"type": "a", "source": "/a"} | columns
    return Row(id=str(uuid7(moment)), occurred_at=moment, **columns)


def some_row(now: datetime) -> Row:
    """Return a row that differs from others in anything, or in nothing, that is counted apart."""
    return row(
        now - random.choice([0, 0, 59, 60, 61]) * timedelta(minutes=1),
        type=random.choice("aab"),
        source=random.choice(["/a", "/a", "/b"]),
        sender=random.choice([None, "shop.Order", "shop.Line"]),
        action=random.choice([None, "created"]),
        outcome=random.choice([None, "committed"]),
    )


def by_kind(query: QuerySet[Any]) -> dict[tuple[Any, ...], int]:
    return {tuple(each[:-1]): each[-1] for each in query}


def test_the_deltas_add_up_to_the_table(project: Project, neighbour: Project) -> None:
    now = timezone.now()
    rows = [some_row(now) for _ in range(400)]

    for _ in range(30):
        operations.store(random.choice([project, neighbour]).pk, random.sample(rows, 60))

    counted = by_kind(Delta.objects.values_list(*KIND, "hour").annotate(Sum("count")))
    there = by_kind(Event.objects.values_list(*KIND, TruncHour("occurred_at", tzinfo=UTC)).annotate(Count("id")))
    assert len(there) > 20
    assert counted == there


def test_a_delta_tells_when_the_first_and_the_last_of_its_events_occurred(project: Project) -> None:
    now = timezone.now()

    operations.store(project.pk, [some_row(now) for _ in range(100)])

    bounds = Delta.objects.order_by().values_list(*KIND, "hour").annotate(first=Min("oldest"), last=Max("newest"))
    wanted = (
        Event.objects.order_by()
        .values_list(*KIND, TruncHour("occurred_at", tzinfo=UTC))
        .annotate(first=Min("occurred_at"), last=Max("occurred_at"))
    )
    assert sorted(bounds, key=repr) == sorted(wanted, key=repr)
    assert Delta.objects.count() == len(bounds)  # one for each kind in a statement


def test_a_zone_with_half_an_hour_counts_by_hours_of_utc(project: Project) -> None:
    moment = timezone.now().replace(minute=45)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'Asia/Kolkata'")

    operations.store(project.pk, [row(moment)])

    assert Delta.objects.filter(hour=moment.replace(minute=0, second=0, microsecond=0)).exists()


def test_what_is_there_already_is_neither_counted_nor_arrives(project: Project) -> None:
    rows = [row(timezone.now()) for _ in range(3)]
    operations.store(project.pk, rows[:2])

    operations.store(project.pk, rows[:2])
    operations.store(project.pk, rows)

    assert [delta.count for delta in Delta.objects.order_by("count")] == [1, 2]
    assert sorted(len(arrival.ids) for arrival in Arrival.objects.all()) == [1, 2]
    assert {str(each) for arrival in Arrival.objects.all() for each in arrival.ids} == {each.id for each in rows}


def test_an_arrival_is_of_the_transaction_that_stored_its_events(transactional_db: None, api: Api) -> None:
    project = Project.objects.get()
    with transaction.atomic():
        operations.store(project.pk, [row(timezone.now()) for _ in range(2)])
        operations.store(project.pk, [row(timezone.now()) for _ in range(3)])
    operations.store(project.pk, [row(timezone.now())])

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT cardinality(ids), bool_and(event.xmin = arrival.tx::xid) FROM event_arrival AS arrival"
            " JOIN event ON event.project_id = arrival.project_id AND event.id = ANY(ids)"
            " GROUP BY tx, arrival.id, ids ORDER BY tx, 1"
        )
        found = cursor.fetchall()
        cursor.execute("SELECT count(DISTINCT tx), bool_and(id = ids[1]) FROM event_arrival")
        transactions = cursor.fetchone()

    assert found == [(2, True), (3, True), (1, True)]
    assert transactions == (2, True)


@pytest.mark.parametrize("table", [Delta, Arrival])
def test_nothing_is_written_of_a_statement_that_stored_nothing(table: type[Delta | Arrival], project: Project) -> None:
    rows = [row(timezone.now())]
    operations.store(project.pk, rows)

    operations.store(project.pk, rows)

    assert table.objects.count() == 1
