"""Heads of requests, which strangers send too: whatever is in one, it is no error of ours, and it leaves nothing."""

import urllib3

from service.front import environ
from tests.service.cast import EVENTS, PROBLEM, raw_event
from tests.service.front.conftest import Start
from tests.service.front.sockets import connected, head, rest

# Of codecs that are none of text, that take none, or take not this; of what can't be decoded.
UNREADABLE = [
    "application/json; charset=hex",
    "application/json; charset=undefined",
    "application/json; charset=idna",
    "application/json; charset=utf-16",
    "application/json; charset*=bogus''%41",
    "application/json; charset*=utf-8''%00",
    "text/plain; charset*=bogus''%41",
]


def ask(method: str, url: str, media_type: str, key: str = "") -> tuple[int, str]:
    headers = {"Content-Type": media_type} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = raw_event() if method == "POST" else b""
    answer = urllib3.request(method, url, body=body, headers=headers, retries=False, timeout=60)
    return answer.status, answer.headers["Content-Type"].split(";")[0]


def test_a_content_type_that_cannot_be_read_is_refused_and_nothing_worse(start: Start, key: str) -> None:
    service = start()
    unknown, events = f"{service.url}/healthzz", service.url + EVENTS
    for media_type in UNREADABLE:
        assert ask("GET", f"{unknown}?a=b", media_type) == (404, PROBLEM), media_type
        assert ask("GET", f"{events}?a=b", media_type) == (401, PROBLEM), media_type
        assert ask("GET", f"{events}?page_size=1", media_type, key) == (200, "application/json"), media_type
        assert ask("POST", f"{events}?dry_run=true", media_type, key) == (415, PROBLEM), media_type

    assert service.log.read_text() == ""


def test_a_head_may_be_long_but_not_without_end(live_service: str, transactional_db: None, key: str) -> None:
    def answer(size: int) -> bytes:
        with connected(live_service, 1) as (connection,):
            connection.sendall(head("GET", EVENTS, key, "X-Long: " + "x" * size, "Connection: close"))
            return rest(connection)

    assert answer(30_000).startswith(b"HTTP/1.1 200 ")
    assert answer(200_000)[:13] in {b"HTTP/1.1 431 ", b""}  # reset, where the kernel held unread bytes


def test_long_names_of_headers_are_taken_and_not_kept() -> None:
    environ.known_name_of.cache_clear()
    headers = [(b"x-" + b"%d" % number * 100, b"value") for number in range(1000, 1020)]

    known = environ.headers_of({"headers": [*headers, (b"x-short", b"value")]})

    assert len(known) == 21
    assert known["HTTP_X_" + "1000" * 100] == "value"
    assert environ.known_name_of.cache_info().currsize == 1
