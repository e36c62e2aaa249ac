"""What came is read in the order of its commits, from any place on, each event once."""

import random
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from service.events import arrivals, operations
from service.events.arrivals import KEPT, Place
from service.events.models import Arrival
from service.events.operations import Row
from service.projects.models import Project
from tests.service.cast import uuid7

pytestmark = pytest.mark.django_db(transaction=True)  # only what is committed has come


def store(project: Project, number: int) -> set[UUID]:
    rows = [Row(id=str(uuid7()), type="a", source="/a", occurred_at=timezone.now()) for _ in range(number)]
    return {UUID(each) for each in operations.store(project.pk, rows)}


def all_since(project: Project, place: Place, size: Callable[[], int]) -> list[UUID]:
    found = []
    while some := arrivals.since(project.pk, place, size()):
        found += [each.id for each in some]
        place = some[-1].place
    return found


@pytest.mark.parametrize("seed", range(5))
def test_each_event_is_read_once_however_large_the_pages_are(project: Project, neighbour: Project, seed: int) -> None:
    rng = random.Random(seed)
    start = arrivals.now()
    sent = []
    for _ in range(20):
        sent.append(store(project, rng.randint(1, 9)))
        store(neighbour, 2)

    found = all_since(project, start, lambda: rng.randint(1, 25))

    assert set(found) == set().union(*sent)
    assert len(found) == len(set(found))
    in_order = iter(found)
    assert all({next(in_order) for _ in batch} == batch for batch in sent)
    assert arrivals.count(project.pk, start, arrivals.now()) == len(found)


def test_any_place_can_be_gone_on_from(project: Project) -> None:
    start = arrivals.now()
    for _ in range(4):
        store(project, 3)
    found = arrivals.since(project.pk, start, 100)

    for index, (_, place) in enumerate(found):
        read = Place.read(str(place))
        assert read == place
        assert arrivals.since(project.pk, read, 100) == found[index + 1 :]
        assert arrivals.count(project.pk, read, arrivals.now()) == len(found) - index - 1


def insert(project_id: int, tx: int, ids: list[UUID]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO event_arrival (project_id, tx, id, ids, stored_at) VALUES (%s, %s::xid8, %s, %s, now())",
            [project_id, str(tx), uuid7(), ids],
        )


@pytest.mark.parametrize("size", [1, 2, 100])
def test_transactions_are_numbers_also_when_they_get_a_digit_more(project: Project, size: int) -> None:
    expected = [uuid7() for _ in range(13)]
    for tx, event_id in enumerate(expected, 1):
        insert(project.pk, tx, [event_id])

    assert all_since(project, Place(1, arrivals.NONE, 0), lambda: size) == expected


def test_the_first_mark_is_that_of_the_smallest_number(project: Project) -> None:
    for tx in (9, 10):
        insert(arrivals.MARKS, tx, [])

    assert arrivals.is_whole(Place(9, arrivals.NONE, 0))
    assert not arrivals.is_whole(Place(8, arrivals.NONE, 0))


def test_what_an_earlier_transaction_still_writes_isnt_passed_over(project: Project) -> None:
    start, begun, done = arrivals.now(), threading.Event(), threading.Event()
    early: set[UUID] = set()

    def write() -> None:
        with transaction.atomic():
            early.update(store(project, 1))
            begun.set()
            assert done.wait(10)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(10)
    late = store(project, 1)
    before = arrivals.since(project.pk, start, 10)
    done.set()
    writer.join()

    assert before == []
    assert [each.id for each in arrivals.since(project.pk, start, 10)] == [*early, *late]


@pytest.mark.parametrize(
    "text", ["", "1", "1-2-3", f"{'9' * 19}-{'0' * 32}-0", f"1-{'0' * 32}-0\n", f"\uff11-{'0' * 32}-0"]
)
def test_what_names_no_place_is_none(text: str) -> None:
    assert Place.read(text) is None


def test_a_place_in_an_arrival_of_many_is_read() -> None:
    place = Place(1, UUID(int=7), 123_456)

    assert Place.read(str(place)) == place


def test_what_could_be_read_for_an_hour_is_forgotten_and_said_to_be(project: Project) -> None:
    now = timezone.now()
    arrivals.forget(now)
    start = arrivals.now()
    store(project, 3)
    arrivals.forget(now)

    assert arrivals.forget(now + KEPT - timedelta(seconds=1)) == 0
    assert arrivals.is_whole(start)
    arrivals.forget(now + KEPT)
    assert not Arrival.objects.filter(project_id=project.pk).exists()
    assert not arrivals.is_whole(start)
    assert arrivals.is_whole(arrivals.now())


def test_the_first_call_forgets_nothing(project: Project) -> None:
    start = arrivals.now()
    store(project, 3)

    arrivals.forget(timezone.now())

    assert arrivals.is_whole(start)
    assert len(arrivals.since(project.pk, start, 9)) == 3


def test_arrivals_of_a_database_that_was_replaced_are_forgotten(project: Project) -> None:
    start = arrivals.now()
    for project_id in (project.pk, arrivals.MARKS):
        insert(project_id, start.tx + 1_000_000, [])

    assert arrivals.is_whole(start)
    assert arrivals.forget(timezone.now()) == 2


def test_marks_do_not_pile_up(project: Project) -> None:
    now = timezone.now()
    for minutes in range(0, 300, 10):
        arrivals.forget(now + timedelta(minutes=minutes))

    assert Arrival.objects.count() <= KEPT / timedelta(minutes=10) + 1
