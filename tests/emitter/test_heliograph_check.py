"""What ``manage.py heliograph_check`` says of a service that is well, and of one that isn't, in each way it can be."""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from emitter import outlet
from emitter.event import Event, stamp
from emitter.worker import Worker
from tests.emitter.conftest import Arrived
from tests.sending.certificates import Authority
from tests.sending.proxy import Proxy
from tests.sending.service import STORED, TAKEN, Service, problem, running

KEY = "hg_k3ys3cr3t"
NAMES = ["settings", "address", "service", "key", "clock", "event", "again", "delivery"]


def meta(ahead: float = 0, **members: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return the answer of a service whose clock is that many seconds ahead of ours."""
    time = (datetime.now(UTC) + timedelta(seconds=ahead)).isoformat().replace("+00:00", "Z")
    return 200, {}, {"version": "1.2.3", "time": time, "limits": {"events": 1000}, "retention_days": 90, **members}


@pytest.fixture
def service() -> Iterator[Any]:
    with running(Service()) as server:
        server.meta = meta()
        server.answers = [(200, {}, STORED)]
        yield server


@pytest.fixture(autouse=True)
def _own_worker(monkeypatch: pytest.MonkeyPatch, arrived: Arrived) -> None:
    """Keep the worker of the process out of this."""


@contextmanager
def closed_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


def check(url: str, **settings: Any) -> tuple[dict[str, list[str]], str]:
    """Return the lines, as lists of status, detail and what to do by name, and all that was written."""
    with override_settings(HELIOGRAPH_URL=url, HELIOGRAPH_KEY=KEY, **settings):
        text, failure = run()
        written, its_failure = run("--json")
    told = json.loads(written)
    failed = sum(line["status"] == "FAILED" for line in told["lines"])
    assert failure == its_failure == (f"{failed} of {len(told['lines'])} failed." if failed else "")
    assert told["ok"] == (not failed)
    assert all(line["todo"] for line in told["lines"] if line["status"] in {"warning", "FAILED"})
    assert KEY not in text + written
    return {line["name"]: [line["status"], line["detail"], line["todo"]] for line in told["lines"]}, text + written


def run(*options: str) -> tuple[str, str]:
    """Return what the command writes, and what it fails with: an error whose exit code is 1."""
    out, failure = StringIO(), ""
    try:
        call_command("heliograph_check", *options, stdout=out, no_color=True)
    except CommandError as error:
        failure = str(error) * error.returncode
    return out.getvalue(), failure


def statuses(lines: dict[str, list[str]]) -> dict[str, str]:
    return {name: line[0] for name, line in lines.items()}


def test_a_service_that_is_well_has_an_ok_on_each_line(service: Any) -> None:
    lines, text = check(service.url)

    assert statuses(lines) == dict.fromkeys(NAMES, "ok")
    assert "1.2.3" in lines["service"][1]
    assert text.count("ok      ") == len(NAMES)


def test_the_event_goes_there_twice_and_is_one(service: Any) -> None:
    with override_settings(HELIOGRAPH_URL=service.url, HELIOGRAPH_KEY=KEY):
        call_command("heliograph_check", stdout=StringIO())

    sent = [json.loads(request.body) for request in service.requests]
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert (sent[0][0]["type"], sent[0][0]["source"]) == ("heliograph.check", "/tests")


def test_the_check_itself_captures_nothing(service: Any, arrived: Arrived) -> None:
    check(service.url)

    assert arrived() == []


def test_an_address_that_is_not_set_is_told() -> None:
    lines, _ = check("")

    assert statuses(lines) == {
        "settings": "warning",
        "address": "FAILED",
        **dict.fromkeys(["service", "key", "clock", "event", "again"], "skipped"),
        "delivery": "ok",
    }
    assert "HELIOGRAPH_URL" in lines["address"][2]


def test_bad_settings_are_the_first_line(service: Any) -> None:
    lines, _ = check(service.url, HELIOGRAPH_QUEUE_SIZE=0)

    assert lines["settings"][0] == "FAILED"
    assert "HELIOGRAPH_QUEUE_SIZE" in lines["settings"][1]
    assert lines["event"][0] == "ok"


def test_settings_of_which_the_project_wants_to_hear_nothing_are_not_told(service: Any) -> None:
    lines, _ = check(service.url, HELIOGRAPH_INTERVALL=5, SILENCED_SYSTEM_CHECKS=["heliograph.W026"])

    assert lines["settings"][0] == "ok"


def fails(lines: dict[str, list[str]], name: str, word: str) -> None:
    """Assert that this line fails first, with that word in what to do, and all after it were skipped."""
    assert [line for line, status in statuses(lines).items() if status == "FAILED"] == [name]
    assert word in lines[name][2]
    assert set(statuses(lines).values()) <= {"ok", "skipped", "FAILED", "warning"}


def test_a_closed_port_is_told() -> None:
    with closed_port() as port:
        lines, _ = check(f"http://127.0.0.1:{port}")

    fails(lines, "address", "Nothing listens")
    assert lines["event"][0] == "skipped"


def test_a_name_that_dns_does_not_know_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    lines, _ = check("http://heliograph.invalid")

    fails(lines, "address", "DNS")


def test_a_service_that_does_not_answer_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lines, _ = check(f"http://127.0.0.1:{listener.getsockname()[1]}", HELIOGRAPH_TIMEOUT=0.1)

    fails(lines, "address", "HELIOGRAPH_TIMEOUT")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets connections wait beyond a full backlog")
def test_an_address_that_swallows_connections_is_told() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address):
            lines, _ = check(f"http://127.0.0.1:{address[1]}", HELIOGRAPH_CONNECT_TIMEOUT=0.1)

    fails(lines, "address", "HELIOGRAPH_CONNECT_TIMEOUT")


def test_a_port_that_speaks_something_else_is_told() -> None:
    with running(Service()) as server:
        server.meta = None
        lines, _ = check(server.url)

    fails(lines, "address", "something else than HTTP")


def test_a_port_without_tls_is_told(service: Any) -> None:
    lines, _ = check(service.url.replace("http:", "https:"))

    fails(lines, "address", "does that port speak https")


def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with running(Service(authority.server("IP:127.0.0.1"))) as server:
        server.meta, server.answers = meta(), [(200, {}, STORED)]
        lines, _ = check(server.url)
        trusting, _ = check(server.url, HELIOGRAPH_CA_FILE=authority.file)

    fails(lines, "address", "HELIOGRAPH_CA_FILE")
    assert statuses(trusting) == dict.fromkeys(NAMES, "ok")


def test_a_file_that_is_none_is_told() -> None:
    lines, _ = check("https://heliograph.invalid", HELIOGRAPH_CA_FILE="/nowhere.pem")

    assert lines["settings"][0] == "FAILED"
    assert lines["address"][0] == "FAILED"
    assert "/nowhere.pem" in lines["address"][1]


def test_a_proxy_that_is_away_is_told(service: Any) -> None:
    with closed_port() as port:
        lines, text = check("https://heliograph.invalid", HELIOGRAPH_PROXY=f"http://me:wr0ng@127.0.0.1:{port}")

    fails(lines, "address", f"The proxy http://127.0.0.1:{port} is in the way")
    assert "wr0ng" not in text


def test_a_proxy_that_refuses_us_is_told_without_the_password() -> None:
    with running(Proxy("right")) as proxy:
        lines, text = check("https://heliograph.invalid", HELIOGRAPH_PROXY=f"http://me:wr0ng@127.0.0.1:{proxy.port}")

    fails(lines, "address", "another user and password")
    assert "wr0ng" not in text


def test_a_proxy_that_is_no_url_is_told_without_the_password() -> None:
    lines, text = check("https://heliograph.invalid", HELIOGRAPH_PROXY="socks5://me:wr0ng@127.0.0.1")

    assert lines["address"][0] == "FAILED"
    assert "wr0ng" not in text


def test_the_way_through_a_proxy_is_told(service: Any) -> None:
    lines, text = check("http://heliograph.invalid", HELIOGRAPH_PROXY=service.url.replace("//", "//me:s3cr3t@"))

    assert statuses(lines) == dict.fromkeys(NAMES, "ok")
    assert f"through the proxy {service.url}" in lines["address"][1]
    assert "s3cr3t" not in text


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_known_is_told(service: Any, status: int) -> None:
    service.meta = (status, {}, problem("Unknown key", f"{KEY} is not known"))

    lines, _ = check(service.url)

    fails(lines, "key", "create_key")
    assert [lines[name][0] for name in ("address", "service", "event", "again")] == ["ok", "ok", "skipped", "skipped"]
    assert service.requests == []


def test_a_key_that_may_not_write_is_told(service: Any) -> None:
    service.answers = [(403, {}, problem("Forbidden", ""))]

    lines, _ = check(service.url)

    fails(lines, "event", "scope events:write")
    assert [lines[name][0] for name in ("key", "again")] == ["ok", "skipped"]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ((404, {}, b"<html>"), "too old"),
        ((200, {}, b"<html>Sign in</html>"), "too old"),
        ((200, {}, {"version": "1"}), "too old"),
        ((301, {"Location": "https://elsewhere.invalid/"}, b""), "where it leads"),
        ((500, {}, b""), "trouble"),
        ((503, {}, problem("Database away", "")), "trouble"),
    ],
)
def test_what_is_no_service_or_none_that_is_well_is_told(service: Any, answer: Any, word: str) -> None:
    service.meta = answer

    lines, _ = check(service.url)

    fails(lines, "service", word)
    assert lines["address"][0] == "ok"
    assert [lines[name][0] for name in ("key", "clock")] == ["skipped", "skipped"]
    assert lines["event"][0] == "ok", "which tells that events are taken all the same"


@pytest.mark.parametrize(
    ("ahead", "status"),
    [(0, "ok"), (50, "ok"), (-50, "ok"), (70, "warning"), (-70, "warning"), (90_000, "FAILED"), (-90_000, "FAILED")],
)
def test_clocks_that_differ_are_told(service: Any, ahead: float, status: str) -> None:
    service.meta = meta(ahead)

    lines, _ = check(service.url)

    assert lines["clock"][0] == status
    assert ("behind" if ahead >= 0 else "ahead of") in lines["clock"][1] or not ahead


@pytest.mark.parametrize("time", ["", "now", "2026-99-99T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_clock_that_cannot_be_read_is_told(service: Any, time: str) -> None:
    service.meta = meta(time=time)

    lines, _ = check(service.url)

    assert lines["clock"][0] == "FAILED"


def test_an_event_that_is_refused_is_told_with_its_reason(service: Any) -> None:
    errors = [{"index": 0, "id": None, "code": "id_out_of_range", "detail": f"Too old, {KEY}"}]
    service.answers = [(207, {}, {"accepted": 0, "duplicates": 0, "rejected": 1, "errors": errors})]

    lines, _ = check(service.url)

    fails(lines, "event", "clock")
    assert "id_out_of_range: Too old" in lines["event"][1]


def test_an_event_that_was_not_kept_is_told(service: Any) -> None:
    service.answers = [(200, {}, TAKEN)]

    lines, _ = check(service.url)

    fails(lines, "again", "log")
    assert lines["event"][0] == "ok"


def test_a_service_that_goes_away_in_between_is_told(service: Any) -> None:
    def hang_up(request: Any) -> None:
        request.close_connection = True

    service.answers = [(200, {}, STORED), hang_up, (200, {}, STORED), hang_up]

    lines, _ = check(service.url)

    fails(lines, "again", "")
    assert lines["event"][0] == "ok"


def test_what_this_process_lost_is_told(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(outlet.make_transport())
    worker.close(0)
    worker.put(Event(id=stamp()[0], time="", source="", type=""))
    monkeypatch.setattr(outlet, "_worker", worker)

    lines, _ = check(service.url)

    assert lines["delivery"][0] == "warning"
    assert "shutdown 1" in lines["delivery"][1]
