"""Streamed answers: pulled as their clients take them, by no thread meanwhile, and closed when they leave."""

import socket
import time
from typing import Any

import psutil
import pytest
import urllib3

from tests import live
from tests.service.front.conftest import Start
from tests.service.front.sockets import connected, first_bytes, head, rest
from tests.service.front.streams import CHUNK

READERS = 12


@pytest.fixture
def service(start: Start) -> live.Service:
    return start(DJANGO_SETTINGS_MODULE="tests.service.front.stream_settings", WEB_PATIENCE="60", WEB_THREADS="2")


def state(service: live.Service) -> Any:
    return urllib3.request("GET", f"{service.url}/state", retries=False, timeout=60).json()


def is_at_rest(service: live.Service) -> bool:
    before = state(service)
    time.sleep(0.3)
    return bool(state(service) == before)


def open_streams(connections: list[socket.socket], path: str) -> None:
    for connection in connections:
        connection.sendall(head("GET", path, ""))
        assert first_bytes(connection).startswith(b"HTTP/1.1 200 ")


def test_a_stream_arrives_whole(service: live.Service) -> None:
    answer = urllib3.request("GET", f"{service.url}/finite", timeout=60)

    assert answer.data == 100 * CHUNK
    assert state(service) == {"pulled": 100, "closed": 1}


def test_readers_that_are_slow_hold_no_thread_and_no_memory(service: live.Service) -> None:
    with connected(service.url, READERS, receive_buffer=4096) as connections:
        open_streams(connections, "/endless")

        live.eventually(lambda: is_at_rest(service))

        assert state(service)["pulled"] < READERS * 200  # 12 MiB each: what the kernel takes, and little of ours
        assert state(service)["closed"] == 0


def test_a_stream_is_closed_when_its_reader_leaves(service: live.Service) -> None:
    with connected(service.url, READERS, receive_buffer=4096) as connections:
        open_streams(connections, "/endless")

    live.eventually(lambda: state(service)["closed"] == READERS)
    live.eventually(lambda: is_at_rest(service))
    assert service.log.read_text() == ""


@pytest.mark.parametrize(
    ("path", "error"), [("/failing", "ValueError: no more"), ("/timing-out", "TimeoutError: of a query")]
)
def test_a_stream_that_fails_does_not_look_complete_and_is_told(service: live.Service, path: str, error: str) -> None:
    with connected(service.url, 1) as (connection,):
        connection.sendall(head("GET", path, ""))

        answer = rest(connection)

    assert not answer.endswith(b"0\r\n\r\n")  # nor, perhaps, has it begun
    live.eventually(lambda: error in service.log.read_text())
    assert state(service)["closed"] == 1


def test_a_stream_that_is_ended_for_a_reason_breaks_off_and_the_log_has_the_reason(service: live.Service) -> None:
    with connected(service.url, 1) as (connection,):
        connection.sendall(head("GET", "/ending", ""))

        answer = rest(connection)

    assert not answer.endswith(b"0\r\n\r\n")
    live.eventually(lambda: "/ending broke off: That was enough." in service.log.read_text())
    assert "Traceback" not in service.log.read_text()


def test_what_readers_leave_of_streams_is_held_from_the_memory(start: Start) -> None:
    service = start(DJANGO_SETTINGS_MODULE="tests.service.front.stream_settings", WEB_PATIENCE="60", WEB_MEMORY="8")
    with connected(service.url, 8, receive_buffer=4096) as connections:
        open_streams(connections[:4], "/large")  # a piece of each is 2 MiB
        time.sleep(2.5)  # as long as nobody is called slow
        assert state(service)["closed"] == 0

        open_streams(connections[4:], "/large")

        live.eventually(lambda: state(service)["closed"] == 4)


def test_what_waits_for_its_own_time_needs_no_thread(service: live.Service) -> None:
    with connected(service.url, READERS) as connections:
        open_streams(connections, "/ticks")
        assert state(service)["closed"] == 0
        for connection in connections:
            assert b"tick" in first_bytes(connection)

    live.eventually(lambda: state(service)["closed"] == READERS)


def test_an_answer_to_head_pulls_nothing(service: live.Service) -> None:
    answer = urllib3.request("HEAD", f"{service.url}/endless", timeout=60)

    assert (answer.status, answer.data) == (200, b"")
    assert state(service) == {"pulled": 0, "closed": 0}


def test_readers_that_read_nothing_lose_their_connections_and_leave_nothing_open(start: Start) -> None:
    service = start(DJANGO_SETTINGS_MODULE="tests.service.front.stream_settings", WEB_PATIENCE="1")
    state(service)
    (worker,) = [each for each in psutil.Process(service.process.pid).children() if each.num_threads() > 4]
    before = worker.num_fds()
    with connected(service.url, 5, receive_buffer=4096) as connections:
        open_streams(connections, "/endless")

        live.eventually(lambda: state(service)["closed"] == 5)

    live.eventually(lambda: worker.num_fds() <= before)
