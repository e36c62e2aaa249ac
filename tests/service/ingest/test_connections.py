"""``POST events/`` over real connections: bodies that are large, chunked, cut off or left unread."""

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.events.models import Event
from tests.service.cast import EVENTS, PROBLEM, event, raw_event

MEBIBYTE = 1024 * 1024


class Connection:
    """One kept-alive connection to the service."""

    def __init__(self, url: str, key: str) -> None:
        address = urlsplit(url)
        self.host, self.port = address.hostname, address.port
        self.key = key
        self.http = http.client.HTTPConnection(str(self.host), self.port, timeout=30)

    def request(
        self, method: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> "tuple[int, Any, Any]":
        own = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.http.request(method, EVENTS, body, own | named, encode_chunked="Transfer-Encoding" in named)
        answer = self.http.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())

    def raw(self, *lines: str, body: bytes = b"", half_close: bool = True) -> bytes:
        """Send a request as it is written and return all that comes back until the server closes."""
        head = [f"POST {EVENTS} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {self.key}"]
        head += ["Content-Type: application/json", *lines]
        with socket.create_connection((str(self.host), self.port or 0), timeout=30) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while piece := connection.recv(65536):
                    received += piece
            except ConnectionError:
                pass
            return received


@pytest.fixture
def line(transactional_db: None, live_service: str, key: str) -> Iterator[Connection]:
    connection = Connection(live_service, key)
    yield connection
    connection.http.close()


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def still_usable(line: Connection) -> bool:
    return line.request("POST", json.dumps(event()))[0] == 201


def test_bodies_over_the_limit_are_answered_and_the_connection_goes_on(line: Connection) -> None:
    large = raw_event().ljust(10 * MEBIBYTE)
    bomb = 4 * gzip.compress(bytes(64 * MEBIBYTE), compresslevel=1)

    answers = [
        line.request("POST", large),
        line.request("POST", pieces(large, 65536), Transfer_Encoding="chunked"),
        line.request("POST", bomb, Content_Encoding="gzip"),
        line.request("POST", pieces(bomb, 1000), Content_Encoding="gzip", Transfer_Encoding="chunked"),
    ]

    assert {(status, headers["Content-Type"], body["code"]) for status, headers, body in answers} == {
        (413, PROBLEM, "body_too_large")
    }
    assert Event.objects.count() == 0
    assert still_usable(line)


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_chunked_body_is_read_whole(size: int, line: Connection) -> None:
    sent = [event(data="x" * 20_000) for _ in range(200)]
    body = json.dumps(sent).encode()

    status, _, receipt = line.request("POST", pieces(body, size), Transfer_Encoding="chunked")

    assert len(body) > 4 * 1_000_000
    assert (status, receipt["accepted"]) == (200, 200)
    assert still_usable(line)


def test_a_body_that_nobody_read_is_not_taken_for_the_next_request(line: Connection) -> None:
    body = (f"POST {EVENTS} HTTP/1.1\r\n" * 50_000).encode()

    answers = [
        line.request("POST", body, key="hg_unknown"),
        line.request("POST", pieces(body, 65536), key="hg_unknown", Transfer_Encoding="chunked"),
        line.request("DELETE", body),
        line.request("POST", body, Content_Type="text/plain"),
        line.request("POST", body, Content_Encoding="br"),
        line.request("GET", body),
        line.request("GET", pieces(body, 65536), Transfer_Encoding="chunked"),
    ]

    assert [status for status, _, _ in answers] == [401, 401, 405, 415, 415, 200, 200]
    assert still_usable(line)


def test_a_body_beyond_all_patience_costs_its_sender_the_connection_only(line: Connection) -> None:
    try:
        status, headers, _ = line.request("POST", pieces(bytes(40 * MEBIBYTE), MEBIBYTE), Transfer_Encoding="chunked")
    except ConnectionError:
        status, headers = 413, {"Connection": "close"}
    line.http.close()

    assert status == 413
    assert headers["Connection"] == "close"
    assert still_usable(line)


def test_a_body_that_is_cut_off_stores_nothing(line: Connection) -> None:
    whole = raw_event()

    answers = [
        line.raw(f"Content-Length: {len(whole) + 10}", body=whole),
        line.raw(f"Content-Length: {len(whole)}", body=whole[:-1]),
        line.raw("Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n" % (len(whole) - 1, whole[:-1])),
        line.raw("Transfer-Encoding: chunked", body=b"%x\r\n%s" % (len(whole), whole[:-1])),
    ]

    assert all(answer == b"" or answer.startswith(b"HTTP/1.1 400 ") for answer in answers)
    assert Event.objects.count() == 0
    assert still_usable(line)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: x"],
        ["Content-Length: -1"],
        ["Content-Length: 1e3"],
        ["Content-Length: 99999999999999999999999"],
        ["Content-Length: 10", "Content-Length: 20"],
        ["Transfer-Encoding: gzip"],
    ],
)
def test_a_broken_length_is_refused_and_the_connection_closed(lines: list[str], line: Connection) -> None:
    answer = line.raw(*lines, body=raw_event(), half_close=False)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert Event.objects.count() == 0


def test_a_request_in_a_request_is_not_carried_out(line: Connection) -> None:
    inner = raw_event()
    smuggled = (
        f"POST {EVENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {line.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(inner)}\r\n\r\n"
    ).encode() + inner

    answer = line.raw(
        f"Content-Length: {len(smuggled) + 5}", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + smuggled
    )

    assert b" 201 " not in answer
    assert Event.objects.count() == 0


def test_a_length_of_nothing_is_an_empty_body(line: Connection) -> None:
    answer = line.raw("Connection: close", half_close=False)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"malformed_json" in answer


def test_a_client_that_asks_before_it_sends_is_answered(line: Connection) -> None:
    body = raw_event()

    answer = line.raw(
        f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close", body=body, half_close=False
    )

    assert b"HTTP/1.1 201 " in answer
