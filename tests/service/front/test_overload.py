"""More at once than the service can do: refused at once, never left to hang; and what was taken is answered."""

import http.client
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.events.models import Event
from service.front.application import STREAMS
from service.ingest.quick import SMALL
from tests import live
from tests.service.cast import EVENTS, PROBLEM, event
from tests.service.front.conftest import Start
from tests.service.front.locks import locked
from tests.service.front.sockets import connected, first_bytes, head

ALONE = "x" * SMALL  # in a body, so that it has a thread of its own


def send(url: str, key: str) -> tuple[int, Any, Any]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", EVENTS, json.dumps(event(data=ALONE)), headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, answer.headers, body


def ask(url: str, key: str, path: str) -> int:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def test_whoever_finds_no_room_is_refused_at_once(start: Start, key: str, background: ThreadPoolExecutor) -> None:
    service = start(WEB_THREADS="2", WEB_WAITING="3")
    with locked() as are_blocked:
        taken: list[Future[Any]] = []
        answered = threading.Semaphore(0)
        for _ in range(9):
            taken.append(background.submit(send, service.url, key))
            taken[-1].add_done_callback(lambda _: answered.release())
        for _ in range(4):  # 2 run and 3 wait until the lock is gone
            assert answered.acquire(timeout=60)
        live.eventually(lambda: are_blocked(2))
        refused = [each.result() for each in taken if each.done()]
        waiting = [each for each in taken if not each.done()]
        alive = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=60)
        alive.request("GET", "/healthz")
        health = alive.getresponse().status
        alive.close()

    assert [(status, body["code"]) for status, _, body in refused] == [(503, "overloaded")] * 4
    assert all(headers["Content-Type"] == PROBLEM and int(headers["Retry-After"]) > 0 for _, headers, _ in refused)
    assert [each.result()[0] for each in waiting] == [201] * 5
    assert Event.objects.count() == 5
    assert health == 200


def test_whoever_waited_too_long_is_refused_rather_than_served_late(
    start: Start, key: str, background: ThreadPoolExecutor
) -> None:
    service = start(WEB_THREADS="1", WEB_PATIENCE="1")
    with locked() as are_blocked:
        first = background.submit(send, service.url, key)
        live.eventually(lambda: are_blocked(1))
        status, _, body = background.submit(send, service.url, key).result(30)  # while the other still waits

    assert first.result()[0] == 201
    assert (status, body["code"]) == (503, "overloaded")
    assert Event.objects.count() == 1


def test_slow_questions_leave_threads_for_what_comes_in(start: Start, key: str, background: ThreadPoolExecutor) -> None:
    service = start(WEB_THREADS="4", WEB_PATIENCE="60")
    with locked("emitter") as are_blocked:
        asked = [background.submit(ask, service.url, key, "/api/v1/emitters/") for _ in range(8)]
        live.eventually(lambda: are_blocked(2))
        stored = [background.submit(send, service.url, key).result(30)[0] for _ in range(3)]
        ready = ask(service.url, key, "/readyz")

    assert (stored, ready) == ([201] * 3, 200)
    assert [each.result() for each in asked] == [200] * 8


def test_exports_are_so_many_at_once_and_take_nothing_from_what_comes_in(
    start: Start, key: str, background: ThreadPoolExecutor
) -> None:
    service = start(
        WEB_THREADS="2",
        WEB_WAITING="2",
        WEB_PATIENCE="60",
        DJANGO_SETTINGS_MODULE="tests.service.front.stream_settings",
    )
    with connected(service.url, STREAMS + 8, receive_buffer=4096) as connections:
        statuses = Counter()
        for connection in connections:
            connection.sendall(head("GET", "/endless", ""))
            statuses[first_bytes(connection).split()[1]] += 1
        stored = [background.submit(send, service.url, key).result(30)[0] for _ in range(3)]

    assert statuses == {b"200": STREAMS + 1, b"503": 7}
    assert stored == [201] * 3


def test_what_was_taken_is_answered_before_the_service_ends(
    start: Start, key: str, background: ThreadPoolExecutor
) -> None:
    service = start()
    with locked() as are_blocked:
        taken = [background.submit(send, service.url, key) for _ in range(3)]
        live.eventually(lambda: are_blocked(3))
        service.process.send_signal(signal.SIGTERM)
        live.eventually(lambda: is_refused(service.url))

    assert [each.result()[0] for each in taken] == [201] * 3
    assert service.process.wait(30) == 0
    assert Event.objects.count() == 3


def is_refused(url: str) -> bool:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=5)
    try:
        connection.connect()
    except OSError:
        return True
    finally:
        connection.close()
    return False
