"""Clients that are slow, stuck or rude: they get what they deserve, and nobody else waits for them."""

import http.client
import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from service.events.models import Event
from tests import live
from tests.service.cast import EVENTS, Api, event, raw_event
from tests.service.front.conftest import Start
from tests.service.front.sockets import are_untouched, connected, first_bytes, head, post, rest
from tests.service.front.streams import LONG

STREAMS = "tests.service.front.stream_settings"
STUCK = 40  # ten times the threads of the service
MEBIBYTE = 1024 * 1024


class Honest:
    """A client that sends events one after the other on one connection."""

    def __init__(self, url: str, key: str) -> None:
        address = urlsplit(url)
        self.http = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(self, path: str = EVENTS) -> int:
        self.http.request("POST", path, json.dumps(event()), self.headers)
        answer = self.http.getresponse()
        answer.read()
        return answer.status

    def seconds(self, times: int = 20) -> float:
        """Return what sending one event takes, in the middle of several."""
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            assert self.send() == 201
            taken.append(time.perf_counter() - begun)
        return statistics.median(taken)


@contextmanager
def honest(url: str, key: str) -> Iterator[Honest]:
    client = Honest(url, key)
    yield client
    client.http.close()


def silent(_key: str) -> bytes:
    return b""


def half_a_head(key: str) -> bytes:
    return head("POST", EVENTS, key)[:-10]


def no_body(key: str) -> bytes:
    return head("POST", EVENTS, key, "Content-Length: 1000")


def half_a_body(key: str) -> bytes:
    return head("POST", EVENTS, key, "Content-Length: 2000000") + bytes(1_000_000)


def half_a_chunk(key: str) -> bytes:
    return head("POST", EVENTS, key, "Transfer-Encoding: chunked") + b"1000\r\nhalf"


def body_of_a_get(key: str) -> bytes:
    return head("GET", EVENTS, key, "Content-Length: 1000") + b"half"


@pytest.mark.parametrize("stuck", [silent, half_a_head, no_body, half_a_body, half_a_chunk, body_of_a_get])
def test_who_is_stuck_while_sending_holds_nobody_up(stuck: Callable[[str], bytes], start: Start, key: str) -> None:
    service = start(WEB_PATIENCE="60")
    with honest(service.url, key) as client, connected(service.url, STUCK) as connections:
        before = client.seconds()
        for connection in connections:
            connection.sendall(stuck(key))

        during = client.seconds()

        assert are_untouched(connections)
        assert during < 10 * before


def test_who_does_not_read_a_long_answer_holds_nobody_up(start: Start, key: str) -> None:
    service = start(DJANGO_SETTINGS_MODULE=STREAMS, WEB_PATIENCE="60", WEB_MEMORY="1000")
    with honest(service.url, key) as client, connected(service.url, 12, receive_buffer=4096) as connections:
        before = client.seconds()
        for connection in connections:
            connection.sendall(head("GET", "/long", key))
            assert first_bytes(connection).startswith(b"HTTP/1.1 200 ")

        during = client.seconds()

        assert during < 10 * before


def test_a_long_answer_arrives_whole(start: Start, key: str) -> None:
    service = start(DJANGO_SETTINGS_MODULE=STREAMS)
    with connected(service.url, 1) as (connection,):
        connection.sendall(head("GET", "/long", key, "Connection: close"))

        lines, _, body = rest(connection).partition(b"\r\n\r\n")

    assert length_of(lines) == len(LONG)
    assert body == LONG


def length_of(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


@pytest.mark.parametrize("stuck", [no_body, half_a_body, half_a_chunk, body_of_a_get])
def test_who_is_stuck_while_sending_is_told_so_and_loses_the_connection(
    stuck: Callable[[str], bytes], start: Start, key: str
) -> None:
    service = start(WEB_PATIENCE="1")
    with connected(service.url, 1) as (connection,):
        connection.sendall(stuck(key))

        answer = rest(connection)

    assert answer.startswith(b"HTTP/1.1 408 ") or answer == b""  # reset, where the kernel held unread bytes
    if answer:
        assert b"application/problem+json" in answer
        assert b'"code":"request_timeout"' in answer
        assert b"connection: close" in answer


def test_who_does_not_read_loses_the_connection(start: Start, key: str) -> None:
    service = start(DJANGO_SETTINGS_MODULE=STREAMS, WEB_PATIENCE="1")
    with connected(service.url, 1, receive_buffer=4096) as (connection,):
        own = connection.getsockname()
        connection.sendall(head("GET", "/long", key))
        begun = first_bytes(connection)

        live.eventually(lambda: not is_open(own))

        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MEBIBYTE)
        assert len(begun + rest(connection)) < length_of(begun) == len(LONG)


@pytest.mark.parametrize("size", [20_000, 200_000])
def test_who_does_not_read_a_short_answer_loses_the_connection(start: Start, api: Api, key: str, size: int) -> None:
    service = start(WEB_PATIENCE="1")
    assert api.send([event(data="x" * size)]).status_code == 200
    with connected(service.url, 5, receive_buffer=4096) as connections:
        for connection in connections:
            connection.sendall(head("GET", EVENTS, key))
            assert first_bytes(connection).startswith(b"HTTP/1.1 200 ")

        own = [connection.getsockname() for connection in connections]
        # Without it, granian's patience for the next head would end them after 30 s: those that it could hand over.
        live.eventually(lambda: not any(map(is_open, own)), 15)


def is_open(address: object) -> bool:
    """Tell whether any process of ours has a connection to ``address`` that it didn't shut down."""
    connections = psutil.net_connections("tcp4")
    return any(each.raddr == address and each.status == psutil.CONN_ESTABLISHED for each in connections)


def test_who_sends_slowly_but_steadily_is_waited_for(start: Start, key: str) -> None:
    service = start(WEB_PATIENCE="1")
    body = json.dumps(event(data="x" * 100_000)).encode()
    with connected(service.url, 1) as (connection,):
        request = post(key, body, "Connection: close")
        begun = time.monotonic()
        while request:
            connection.sendall(request[:8_000])
            request = request[8_000:]
            time.sleep(0.2)  # 40,000 bytes a second

        assert time.monotonic() - begun > 2
        assert rest(connection).startswith(b"HTTP/1.1 201 ")


def test_bodies_that_fill_the_memory_give_way_to_an_honest_one(start: Start, key: str) -> None:
    service = start(WEB_PATIENCE="60", WEB_MEMORY="8")
    hoard = head("POST", EVENTS, key, f"Content-Length: {5 * MEBIBYTE}") + bytes(4 * MEBIBYTE)
    with connected(service.url, 4) as connections, honest(service.url, key) as client:
        for connection in connections[:2]:
            connection.sendall(hoard)
        time.sleep(2.5)  # as long as nobody is called slow
        for connection in connections[2:]:
            connection.sendall(hoard)

        statuses = {client.send() for _ in range(10)}
        first = [rest(connection) for connection in connections[:2]]

    assert statuses == {201}
    assert any(b'"code":"overloaded"' in answer for answer in first)
    assert all(answer == b"" or b"Retry-After: " in answer.title() for answer in first)


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(start: Start, key: str) -> None:
    service = start(WEB_PATIENCE="60")
    with connected(service.url, 1) as (connection,):
        connection.sendall(head("POST", EVENTS, key, f"Content-Length: {6 * MEBIBYTE}", "Expect: 100-continue"))

        answer = rest(connection)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer


def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing_behind(start: Start, key: str) -> None:
    service = start(WEB_PATIENCE="60", WEB_MEMORY="8", WEB_WAITING="0")
    for _ in range(10):
        with connected(service.url, 1) as (connection,):
            connection.sendall(head("POST", EVENTS, key, f"Content-Length: {4 * MEBIBYTE}") + bytes(3 * MEBIBYTE))

    with honest(service.url, key) as client:
        assert {client.send() for _ in range(5)} == {201}
    assert Event.objects.count() == 5
    assert "Traceback" not in service.log.read_text()


def test_an_answer_to_head_has_no_body_and_the_connection_goes_on(
    live_service: str, transactional_db: None, key: str
) -> None:
    with connected(live_service, 1) as (connection,):
        connection.sendall(head("HEAD", EVENTS, key) + head("GET", "/healthz", key, "Connection: close"))

        answer = rest(connection)

    first, _, second = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")


def test_requests_in_one_breath_are_answered_one_after_the_other(
    live_service: str, transactional_db: None, key: str
) -> None:
    bodies = [raw_event() for _ in range(5)]
    with connected(live_service, 1) as (connection,):
        connection.sendall(
            b"".join(post(key, body) for body in bodies[:-1]) + post(key, bodies[-1], "Connection: close")
        )

        answer = rest(connection)

    assert answer.count(b"HTTP/1.1 201 ") == 5
    assert Event.objects.count() == 5


def test_a_header_with_an_underscore_does_not_pose_as_another(
    live_service: str, transactional_db: None, key: str
) -> None:
    body = raw_event()
    with connected(live_service, 1) as (connection,):
        connection.sendall(post("hg_none", body, "Authorization_: x", "content_encoding: gzip", "Connection: close"))

        assert rest(connection).startswith(b"HTTP/1.1 401 ")
