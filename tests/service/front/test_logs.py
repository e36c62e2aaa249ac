"""What a service writes: a line for each request, with its id, in a form for people or for programs; never a token."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import urllib3

from tests import live
from tests.service.cast import EVENTS, event
from tests.service.front.conftest import Start
from tests.service.front.locks import BLOCKED, locked
from tests.service.front.sockets import connected, head, post, rest


def ask(service: live.Service, method: str, path: str, key: str, body: Any = None, **headers: str) -> Any:
    own = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return urllib3.request(method, service.url + path, json=body, headers=own, retries=False, timeout=60)


def objects(service: live.Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]


def line_of(service: live.Service, request_id: str) -> dict[str, Any]:
    return live.eventually(
        lambda: next((each for each in objects(service) if each.get("request_id") == request_id), {})
    )


def test_an_access_line_is_one_json_object(start: Start, key: str, project: Any) -> None:
    service = start(LOG_FORMAT="json", LOG_LEVEL="INFO")
    ask(service, "POST", EVENTS, key, event(), X_Request_ID="mine-1")

    line = line_of(service, "mine-1")

    assert (line.pop("duration_ms") >= 0, line.pop("message").split(",")[0], bool(line.pop("time"))) == (
        True,
        "POST /api/v1/events/ 201",
        True,
    )
    assert line == {
        "level": "INFO",
        "logger": "heliograph.access",
        "request_id": "mine-1",
        "method": "POST",
        "route": "api/v1/events/",
        "status": 201,
        "project": project.pk,
        "key": key[:11],
    }


def test_the_service_says_nothing_of_good_requests_by_default(start: Start, key: str) -> None:
    service = start()
    ask(service, "POST", EVENTS, key, event())
    ask(service, "GET", "/nowhere", key)

    assert service.log.read_text() == ""


def test_the_line_for_people_has_the_request_id_too(start: Start, key: str) -> None:
    service = start(LOG_LEVEL="INFO")
    ask(service, "GET", EVENTS, key, X_Request_ID="mine-2")

    line = live.eventually(
        lambda: next((each for each in service.log.read_text().splitlines() if "mine-2" in each), "")
    )

    assert re.fullmatch(r"\S+ \S+ INFO heliograph\.access: GET /api/v1/events/ 200, \d+ ms \[mine-2\]", line)


def test_each_answer_has_a_request_id_refusals_of_the_front_as_well(start: Start, key: str) -> None:
    service = start(WEB_PATIENCE="1")
    answers = [
        ask(service, "GET", EVENTS, key),
        ask(service, "GET", EVENTS, "hg_no"),
        ask(service, "GET", "/nowhere", key),
        ask(service, "GET", "/healthz", key),
        ask(service, "POST", EVENTS, key, "x" * 6 * 1024 * 1024),
    ]
    with connected(service.url, 1) as (connection,):
        connection.sendall(head("POST", EVENTS, key, "Content-Length: 10", "X-Request-ID: slow"))
        slow = rest(connection)

    assert [answer.status for answer in answers] == [200, 401, 404, 200, 413]
    assert all(re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"]) for answer in answers)
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 5
    assert slow.startswith(b"HTTP/1.1 408 ")
    assert b"x-request-id: slow\r\n" in slow


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, "größe", "tab\there"])
def test_a_request_id_that_is_none_is_replaced(given: str, live_service: str, transactional_db: None, key: str) -> None:
    with connected(live_service, 1) as (connection,):
        request = post(key, b"{}", "Connection: close", "X-Request-ID: GIVEN").replace(
            b"GIVEN", given.encode("latin-1")
        )
        connection.sendall(request)

        answer = rest(connection)

    assert re.search(rb"\r\nx-request-id: [0-9a-f]{32}\r\n", answer)


def test_what_fails_is_told_with_the_id_of_its_request(start: Start, key: str) -> None:
    service = start(LOG_FORMAT="json")
    with ThreadPoolExecutor() as background, locked() as are_blocked:
        asked = background.submit(ask, service, "POST", EVENTS, key, event(), X_Request_ID="failed")
        live.eventually(lambda: are_blocked(1))
        end_blocked_sessions()
        answer = asked.result()

    line = line_of(service, "failed")

    assert (answer.status, answer.json()["code"]) == (503, "database_unavailable")
    assert (line["level"], line["logger"], line["route"]) == ("ERROR", "service.api.problems", "api/v1/events/")


def end_blocked_sessions() -> None:
    with psycopg.connect(live.database_address(), autocommit=True) as connection:
        connection.execute(BLOCKED.replace("count(*)", "pg_terminate_backend(pid)"))


def test_no_log_line_holds_a_token(start: Start, key: str) -> None:
    service = start(LOG_FORMAT="json", LOG_LEVEL="DEBUG")
    for method, path in [("POST", EVENTS), ("GET", EVENTS), ("GET", "/nowhere"), ("GET", f"{EVENTS}?type=")]:
        ask(service, method, path, key, event() if method == "POST" else None)
        ask(service, method, path, key[:-1])
    ask(service, "GET", EVENTS, key, X_Request_ID="last")
    live.eventually(lambda: '"last"' in service.log.read_text())

    assert key[11:-1] not in service.log.read_text()
    assert len(objects(service)) >= 9


def test_a_path_can_not_break_a_line(start: Start, key: str) -> None:
    service = start(LOG_LEVEL="INFO")
    ask(service, "GET", "/no%0Awhere", key, X_Request_ID="broken")

    live.eventually(lambda: "[broken]" in service.log.read_text())

    assert "GET /no%0Awhere 404" in service.log.read_text()
