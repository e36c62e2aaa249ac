"""Adding up tallies: nothing lost and nothing twice, while events arrive, by many at once, and when it is killed."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import urllib3
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from service.events.models import Tally
from service.projects.models import Project
from service.telemetry import operations, tasks
from service.telemetry.models import Emitter
from tests import live
from tests.service.cast import EVENTS, Api, numbered

# Folds one chunk after another, and tells when it has begun a transaction that isn't committed yet.
FOLDER = """
import sys, time
import django
django.setup()
from service.telemetry import operations
add = operations.add
def slowly(project_id, seen):
    add(project_id, seen)
    print("added", flush=True)
    time.sleep(60)
operations.add = slowly
operations.fold(int(sys.argv[1]))
"""


def test_the_task_folds_all_projects(api: Api, neighbours_api: Api) -> None:
    api.send(numbered(uuid4(), 1))
    neighbours_api.send(numbered(uuid4(), 1))

    tasks.fold_tallies.func(timestamp=0)

    assert Tally.objects.count() == 0
    assert Emitter.objects.count() == 2


def test_a_project_is_folded_by_itself(api: Api, neighbours_api: Api, project: Project) -> None:
    api.send(numbered(uuid4(), 1))
    neighbours_api.send(numbered(uuid4(), 1))

    operations.fold(project.pk)

    assert not Tally.objects.filter(project_id=project.pk).exists()
    assert Tally.objects.exclude(project_id=project.pk).exists()
    assert [emitter.project_id for emitter in Emitter.objects.all()] == [project.pk]


def test_more_than_a_chunk_is_folded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "CHUNK", 3)
    emitters = [uuid4() for _ in range(10)]
    api.send([each for emitter in emitters for each in numbered(emitter, 1, 2)])

    found = api.emitters()

    assert sorted(read["emitterid"] for read in found) == sorted(map(str, emitters))
    assert {read["stored"] for read in found} == {2}


def test_to_fold_nothing_costs_one_query(project: Project) -> None:
    with CaptureQueriesContext(connection) as queries:
        operations.fold(project.pk)

    assert len(queries) == 1


def test_an_emitter_that_is_folded_in_parts_was_first_and_last_seen_when_its_events_came(
    transactional_db: None, api: Api
) -> None:
    emitter = uuid4()
    seen = []
    for number in (1, 2, 3):
        api.send(numbered(emitter, number))
        seen.append(api.emitter(emitter))
    recorded = sorted(each["recordedtime"] for each in api.list().json()["results"])

    assert [read["first_seen"] for read in seen] == recorded[:1] * 3
    assert [read["last_seen"] for read in seen] == recorded


def test_who_asks_waits_for_a_fold_that_has_begun(transactional_db: None, api: Api, project: Project) -> None:
    """Its tallies are taken and not added yet: an answer now would be without them."""
    emitter = uuid4()
    api.send(numbered(emitter, 1, 2))
    answers = []

    def ask() -> None:
        answers.append(api.emitter(emitter)["stored"])
        connection.close()

    asking = threading.Thread(target=ask)
    with transaction.atomic():
        operations.fold_some(project.pk)
        asking.start()
        live.eventually(lambda: locks_waited_for() == 1)
    asking.join()

    assert answers == [2]


def locks_waited_for() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        count: int = cursor.fetchone()[0]
        return count


def test_nobody_who_sends_waits_for_a_fold(transactional_db: None, api: Api, project: Project) -> None:
    emitter = uuid4()
    api.send(numbered(emitter, 1))

    def send() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")
        try:
            status: int = api.send(numbered(emitter, 2)).status_code
            return status
        finally:
            connection.close()

    with transaction.atomic():
        operations.fold_some(project.pk)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(send).result() == 200

    assert api.emitter(emitter)["stored"] == 2


def test_nothing_is_lost_or_doubled_while_many_send_and_many_fold(
    transactional_db: None, live_service: str, api: Api, project: Project
) -> None:
    emitter, senders, each = uuid4(), 4, 40
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    done = threading.Event()

    def send(number: int) -> set[int]:
        with urllib3.connection_from_url(live_service, timeout=60, retries=False) as http:
            firsts = [1 + 3 * (number + senders * step) for step in range(each)]
            bodies = [json.dumps(numbered(emitter, first, first + 1, first + 2)) for first in firsts]
            return {http.request("POST", EVENTS, body=body, headers=headers).status for body in bodies}

    def fold() -> None:
        while not done.is_set():
            operations.fold(project.pk)
        connection.close()

    with ThreadPoolExecutor(senders) as sending, ThreadPoolExecutor(3) as folding:
        folds = [folding.submit(fold) for _ in range(3)]
        statuses = set().union(*sending.map(send, range(senders)))
        done.set()
        for future in folds:
            future.result()

    total = 3 * senders * each
    read = api.emitter(emitter)
    assert statuses == {200}
    assert (read["stored"], read["captured"], read["missing"], read["gaps"]) == (total, total, 0, [])
    assert Tally.objects.count() == 0


def test_a_fold_that_is_killed_loses_and_doubles_nothing(transactional_db: None, api: Api, project: Project) -> None:
    emitter = uuid4()
    api.send(numbered(emitter, 1, 2, 4))
    live.kill_once_it_says("added", FOLDER, project.pk)

    read = api.emitter(emitter)

    assert (read["stored"], read["gaps"]) == (3, [[3, 3]])
    assert Tally.objects.count() == 0
