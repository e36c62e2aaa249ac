"""The same events by many connections at once: each is stored once, told once as accepted, and nobody deadlocks."""

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3
from django.db import connection, transaction
from django.utils import timezone

from service.events import operations
from service.events.models import Event
from service.events.operations import Row
from service.projects.models import Project
from tests.service.cast import EVENTS, event, uuid7

SENDERS = 4
ROUNDS = 12


def overlapping(events: list[dict[str, Any]]) -> list[bytes]:
    """Return a body for each sender: most of ``events``, in an order of its own, some of them twice."""
    chosen = [random.sample(events, len(events) * 9 // 10) for _ in range(SENDERS)]
    return [json.dumps(each + each[:10]).encode() for each in chosen]


def test_the_same_events_by_many_connections_are_stored_once(
    transactional_db: None, live_service: str, key: str, project: Project
) -> None:
    rounds = [[event(data={"n": number}) for number in range(300)] for _ in range(ROUNDS)]
    bodies = [overlapping(events) for events in rounds]
    together = threading.Barrier(SENDERS)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(number: int) -> list[Any]:
        answers = []
        with urllib3.connection_from_url(live_service, timeout=60, retries=False) as http:
            for round_of_bodies in bodies:
                together.wait()
                answers.append(http.request("POST", EVENTS, body=round_of_bodies[number], headers=headers))
        return answers

    with ThreadPoolExecutor(SENDERS) as pool:
        answers = [answer for each in pool.map(send, range(SENDERS)) for answer in each]

    sent = {each["id"] for events in bodies for body in events for each in json.loads(body)}
    receipts = [answer.json() for answer in answers]
    assert {answer.status for answer in answers} == {200}
    assert sum(receipt["accepted"] for receipt in receipts) == len(sent)
    assert all(receipt["accepted"] + receipt["duplicates"] == 280 for receipt in receipts)
    assert {str(each) for each in Event.objects.values_list("id", flat=True)} == sent
    assert Event.objects.count() == len(sent)


def test_one_event_by_many_connections_is_accepted_once(transactional_db: None, live_service: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps(event()).encode()
    with urllib3.PoolManager(retries=False, maxsize=16) as http, ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda _: http.request("POST", live_service + EVENTS, body=body, headers=headers), range(64))
        )

    assert sorted(answer.status for answer in answers) == [200] * 63 + [201]
    assert Event.objects.count() == 1


def row(event_id: str) -> Row:
    return Row(id=event_id, type="a", source="a", occurred_at=timezone.now())


def is_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
        return bool(cursor.fetchone()[0])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("order", [1, -1])
def test_writers_of_the_same_events_wait_for_each_other_instead_of_deadlocking(
    order: int, transactional_db: None, project: Project
) -> None:
    """Two writers meet at the worst moment: one has stored the first event, and needs the second."""
    first, second = sorted(str(uuid7()) for _ in range(2))
    stored: list[set[str]] = []

    def store_both() -> None:
        stored.append(operations.store(project.pk, [row(first), row(second)][::order]))
        connection.close()

    other = threading.Thread(target=store_both)
    with transaction.atomic():
        operations.store(project.pk, [row(first)])
        other.start()
        until(is_waiting)
        mine = operations.store(project.pk, [row(second)])
    other.join()

    assert mine == {second}
    assert stored == [set()]
    assert Event.objects.count() == 2
