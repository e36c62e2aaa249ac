"""The same events by many connections at once: each is stored once, told once as accepted, and nobody deadlocks."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import urllib3
from django.db import connection, transaction
from django.db.models import Count, DateTimeField, Sum
from django.db.models.functions import Trunc
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from service.events import operations
from service.events.models import Arrival, Delta, Event
from service.events.operations import Row
from service.projects.models import Project
from service.stats import models as stats_models
from service.stats import operations as stats
from service.stats.dimensions import rolled
from service.telemetry import operations as telemetry
from service.telemetry.models import Emitter
from tests import live
from tests.service.cast import EVENTS, Api, event, uuid7

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


def posts_of(number: int, events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return what one of many writers posts: single events, small and large batches, all of them others' too, and
    always some that are new; each other writer from the last to the first.
    """
    rng = random.Random(number)
    posts = [rng.sample(events[40 * n :][:300], rng.choice([1, 1, 1, 30, 250])) for n in range(40)]
    return [sorted(post, key=itemgetter("id"), reverse=bool(number % 2)) for post in posts]


def test_eight_writers_of_two_processes_store_and_count_each_event_once(
    transactional_db: None, key: str, project: Project, tmp_path: Path
) -> None:
    types = ["shop.signals.paid", "shop.signals.sent"]
    emitter = str(uuid4())
    events = [event(emitterid=emitter, sequence=str(n + 1), type=types[n % 2]) for n in range(1_900)]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    posts = [posts_of(number, events) for number in range(8)]
    together = threading.Barrier(8)
    deadlocks = count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")

    def send(number: int, address: str) -> list[tuple[int, Any]]:
        with urllib3.connection_from_url(address, timeout=60, retries=False) as http:
            bodies = [json.dumps(post if len(post) > 1 else post[0]).encode() for post in posts[number]]
            answers = []
            for body in bodies:
                together.wait(60)
                answers.append(http.request("POST", EVENTS, body=body, headers=headers))
        return [(answer.status, answer.json()) for answer in answers]

    named = make_conninfo(live.database_address(), application_name="eight writers")
    with (
        live.service(tmp_path / "one", DATABASE_URL=named) as one,
        live.service(tmp_path / "other", DATABASE_URL=named) as other,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(chain(*pool.map(send, range(8), [one, one, other, other] * 2)))
    # Postgres has told of each deadlock when its connection is gone; the service may have mended it by storing anew.
    live.eventually(lambda: not count("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'eight writers'"))

    sent = {each["id"] for post in chain(*posts) for each in post}
    assert {status for status, _ in answers} <= {200, 201}
    assert sum(receipt["accepted"] for _, receipt in answers) == len(sent)
    assert sum(receipt["accepted"] + receipt["duplicates"] for _, receipt in answers) == sum(map(len, chain(*posts)))
    assert Counter(str(each) for each in Event.objects.values_list("id", flat=True)) == Counter(sent)
    counted = Delta.objects.order_by("type").values_list("type").annotate(Sum("count"))
    assert list(counted) == list(Event.objects.order_by("type").values_list("type").annotate(Count("id")))
    assert told_by_type(Api(key=key)) == Counter(Event.objects.values_list("type", flat=True))
    stats.fold(project.pk)
    assert told_by_type(Api(key=key)) == Counter(Event.objects.values_list("type", flat=True))
    assert counted_by_type(1) == stored_by_type("hour")
    assert counted_by_type(24) == stored_by_type("day")
    assert Counter(str(each) for arrival in Arrival.objects.all() for each in arrival.ids) == Counter(sent)
    telemetry.fold(project.pk)
    assert Emitter.objects.get().stored == len(sent)
    assert count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == deadlocks


def told_by_type(api: Api) -> dict[str, int]:
    """Return the sums of the histogram's buckets."""
    groups = api.get("/api/v1/stats/histogram/?group_by=type").json()["groups"]
    return {group["value"]: sum(group["counts"]) for group in groups}


def counted_by_type(hours: int) -> dict[Any, int]:
    counts = stats_models.Count.objects.filter(rolled=rolled(("type",)), hours=hours)
    return {(each.series.type, each.moment): each.count for each in counts.select_related("series")}


def stored_by_type(interval: str) -> dict[Any, int]:
    stored = Event.objects.annotate(moment=Trunc("occurred_at", interval, tzinfo=UTC, output_field=DateTimeField()))
    return {(kind, moment): count for kind, moment, count in stored.values_list("type", "moment").annotate(Count("id"))}


def count(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


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
