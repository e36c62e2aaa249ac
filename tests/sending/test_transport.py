"""Batches over HTTP, against a real server on a loopback socket."""

import gc
import json
import logging
import os
import platform
import re
import signal
import socket
import uuid

import pytest

from emitter.event import Refusal, Result
from emitter.exceptions import ConfigurationError, HeliographError, PermanentError, TemporaryError
from emitter.transport import LONGEST_ANSWER, HttpTransport
from tests.sending.service import KEY, TAKEN, Service, an_event, problem, reset_connection, running


@pytest.fixture
def service():
    with running(Service()) as server:
        yield server


@pytest.fixture
def transport(service):
    return HttpTransport(service.url, KEY, timeout=5)


@pytest.fixture
def unused_url():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def silent_url():
    """Where connections are accepted by the kernel and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_batch_is_posted_as_the_contract_says(service, transport):
    result = transport.send([an_event(1), an_event(2)])

    assert result == Result(accepted=2, duplicates=0, rejected=0)
    (request,) = service.requests
    assert (request.command, request.path) == ("POST", "/api/v1/events/")
    assert request.headers["Authorization"] == "Bearer hg_secret"
    assert request.headers["Content-Type"] == "application/cloudevents-batch+json"
    assert request.headers["Content-Encoding"] is None
    assert request.headers["Cookie"] is None
    version = re.escape(platform.python_version())
    assert re.fullmatch(rf"django-heliograph/\S+ python/{version}", request.headers["User-Agent"])
    assert [event["id"][-1] for event in json.loads(request.body)] == ["1", "2"]


@pytest.mark.parametrize(
    ("suffix", "path"),
    [
        ("", "/api/v1/events/"),
        ("/", "/api/v1/events/"),
        ("/helio", "/helio/api/v1/events/"),
        ("/a/b/", "/a/b/api/v1/events/"),
    ],
)
def test_the_url_may_have_a_path(service, suffix, path):
    HttpTransport(service.url + suffix, KEY).send([an_event()])

    assert service.requests[0].path == path


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "begin with http"),
        ("127.0.0.1:8000", "begin with http"),
        ("localhost", "begin with http"),
        ("ftp://example.org", "begin with http"),
        (" http://example.org", "parsed"),
        ("http://", "host"),
        ("http:///path", "host"),
        ("http://example.org:port", "parsed"),
        ("http://example.org:99999", "parsed"),
        ("http://exa mple.org", "parsed"),
        ("http://user:hunter2@example.org", "password"),
        ("http://example.org/?a=1", "without"),
        ("http://example.org/#a", "without"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_with_its_fault(url, fault):
    with pytest.raises(ConfigurationError, match=fault) as caught:
        HttpTransport(url, KEY)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "hg_s3cret\n", "hg s3cret", "hg_s3crét", "hg_s3cret\r\nX-Evil: 1"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key):
    with pytest.raises(ConfigurationError) as caught:
        HttpTransport("http://example.org", key)

    assert "s3cr" not in str(caught.value)


def test_a_large_body_is_compressed_and_a_small_one_is_not(service):
    events = [an_event(number) for number in range(20)]

    HttpTransport(service.url, KEY, gzip_above=100).send(events)
    HttpTransport(service.url, KEY, gzip_above=100_000).send(events)

    large, small = service.requests
    assert (large.headers["Content-Encoding"], small.headers["Content-Encoding"]) == ("gzip", None)
    assert int(large.headers["Content-Length"]) * 3 < int(small.headers["Content-Length"])
    assert large.body == small.body


def test_the_connection_is_kept(service, transport):
    for number in range(5):
        transport.send([an_event(number)])

    assert len(service.requests) == 5
    assert len(service.connections) == 1


def test_the_connection_is_kept_after_a_refusal(service, transport):
    service.answers = [(429, {}, problem("Slow down", "")), (401, {}, b""), (200, {}, TAKEN)]

    for _ in range(2):
        with pytest.raises(HeliographError):
            transport.send([an_event()])
    transport.send([an_event()])

    assert len(service.connections) == 1


def test_a_connection_the_service_closed_is_opened_anew(service, transport):
    service.answers = [(200, {"Connection": "close"}, TAKEN), (200, {}, TAKEN)]

    transport.send([an_event()])
    transport.send([an_event()])

    assert len(service.connections) == 2


def test_reset_leaves_the_old_connection_alone(service, transport):
    transport.send([an_event()])
    transport.reset()
    transport.send([an_event()])

    assert len(service.connections) == 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_resets_leaves_the_parents_connection_open(service, transport):
    transport.send([an_event()])
    child = os.fork()
    if not child:
        signal.alarm(10)
        try:
            transport.reset()
            gc.collect()
            transport.send([an_event()])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    transport.send([an_event()])

    assert len(service.requests) == 3
    assert len(service.connections) == 2


def test_refused_items_are_told(service, transport):
    errors = [{"index": 1, "id": "x", "code": "too_old", "detail": "…"}, {"index": 2, "id": None, "code": "bad"}]
    service.answer(207, {"accepted": 1, "duplicates": 1, "rejected": 2, "errors": errors})

    result = transport.send([an_event(number) for number in range(4)])

    assert (result.accepted, result.duplicates, result.rejected) == (1, 1, 2)
    assert result.errors == (
        Refusal(index=1, id=str(uuid.UUID(int=1)), code="too_old", detail="…"),
        Refusal(index=2, id=str(uuid.UUID(int=2)), code="bad"),
    )


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_these_answers_are_temporary(service, transport, status):
    service.answer(status, problem("Busy", "later"))

    with pytest.raises(TemporaryError, match=f"{status}: Busy: later") as caught:
        transport.send([an_event()])

    assert not caught.value.permanent
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [429, 503, 500])
def test_retry_after_is_handed_on(service, transport, status):
    service.answer(status, Retry_After="17")

    with pytest.raises(TemporaryError) as caught:
        transport.send([an_event()])

    assert caught.value.retry_after == 17


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 201, 204])
def test_these_answers_are_permanent(service, transport, status):
    service.answer(status, b"" if status == 204 else problem("No", "because"))

    with pytest.raises(PermanentError, match=str(status)) as caught:
        transport.send([an_event()])

    assert caught.value.permanent
    assert caught.value.status == status
    assert len(service.requests) == 1


def test_a_problem_is_told_in_one_short_line(service, transport):
    service.answer(401, problem("Unknown\nkey", "x" * 9_999))

    with pytest.raises(PermanentError, match=r"/api/v1/events/ answered 401: Unknown key: x+$") as caught:
        transport.send([an_event()])

    assert caught.value.detail.startswith("Unknown key: x")
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"title": 1}', b"[" * 100_000, b"\xff", b"x" * 5_000_000])
def test_an_unreadable_problem_is_still_told_by_its_status(service, transport, body):
    service.answer(404, body)

    with pytest.raises(PermanentError, match="404: Not Found"):
        transport.send([an_event()])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in to the hotel's network</html>",
        b"[]",
        b"{}",
        b'{"status": "ok"}',
        b'{"duplicates": 0, "rejected": 0}',
        b'{"accepted": 0, "rejected": 0}',
        b'{"accepted": 0, "duplicates": 0}',
        b'{"accepted": "1", "duplicates": 0, "rejected": 0}',
        b"[" * 100_000,
        b"\xff\xfe",
        b" " * LONGEST_ANSWER + json.dumps({"accepted": 1, "duplicates": 0, "rejected": 0}).encode(),
    ],
    ids=["empty", "html", "list", "object", "stranger", "a", "d", "r", "string", "deep", "binary", "long"],
)
def test_a_200_that_is_not_the_services_is_temporary(service, transport, body):
    service.answer(200, body)

    with pytest.raises(TemporaryError, match="something else"):
        transport.send([an_event()])

    service.answer(200, TAKEN)
    assert transport.send([an_event()]).accepted == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(service, transport, status):
    with Service() as elsewhere:
        service.answer(status, Location=elsewhere.url + "/api/v1/events/")

        with pytest.raises(PermanentError, match=f"{status}: redirects aren't followed.*{elsewhere.server_port}"):
            transport.send([an_event()])

        elsewhere.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.get_request()
    assert len(service.requests) == 1


def test_no_cookie_is_kept(service, transport):
    service.answer(200, TAKEN, Set_Cookie="a=b")

    transport.send([an_event()])
    transport.send([an_event()])

    assert service.requests[1].headers["Cookie"] is None


def test_a_batch_too_large_is_halved(service, transport):
    too_large, taken = (413, {}, problem("Too large", "")), (200, {}, TAKEN)
    service.answers = [too_large, too_large, taken, taken, taken]

    result = transport.send([an_event(number) for number in range(4)])

    sizes = [len(batch) for batch in service.batches()]
    assert sizes == [4, 2, 1, 1, 2]
    assert service.batches()[2] + service.batches()[3] + service.batches()[4] == service.batches()[0]
    assert result.accepted == 4


def test_an_event_too_large_by_itself_is_refused_and_the_others_arrive(service, transport):
    too_large, taken = (413, {}, problem("Too large", "256 KiB an event")), (200, {}, TAKEN)
    service.answers = [too_large, too_large, taken]

    result = transport.send([an_event(1), an_event(2)])

    assert (result.accepted, result.rejected) == (1, 1)
    (refusal,) = result.errors
    assert (refusal.id, refusal.code) == (str(uuid.UUID(int=1)), "too_large")
    assert "256 KiB" in refusal.detail


def test_what_cannot_be_encoded_stays_and_the_others_go(service, transport):
    result = transport.send([an_event(1), an_event(2, data={"a": object()}), an_event(3)])

    assert (result.accepted, result.unencodable, result.unencodable_at) == (2, 1, (1,))
    assert [identity[-1] for identity in service.batches()[0]] == ["1", "3"]


def test_nothing_is_posted_when_nothing_can_be_encoded(service, transport):
    result = transport.send([an_event(data={"a": object()})])

    assert result.unencodable == 1
    assert service.requests == []


def test_a_service_that_is_away_is_temporary(unused_url):
    with pytest.raises(TemporaryError, match=r"127\.0\.0\.1.*refused"):
        HttpTransport(unused_url, KEY).send([an_event()])


def test_trying_again_is_left_to_the_worker(unused_url):
    with pytest.raises(TemporaryError) as caught:
        HttpTransport(unused_url, KEY).send([an_event()])

    assert "retries" not in str(caught.value)


def test_a_name_that_does_not_resolve_is_temporary():
    with pytest.raises(TemporaryError):
        HttpTransport("http://a..b:1", KEY).send([an_event()])


def test_a_service_that_does_not_answer_is_temporary(silent_url):
    with pytest.raises(TemporaryError, match="timed out"):
        HttpTransport(silent_url, KEY, timeout=0.05).send([an_event()])


@pytest.mark.parametrize("timeout", [0.05, 0.0, -1.0])
def test_a_call_may_shorten_the_timeout(silent_url, timeout):
    with pytest.raises(TemporaryError, match="timed out"):
        HttpTransport(silent_url, KEY, timeout=600).send([an_event()], timeout=timeout)


def test_a_call_cannot_lengthen_the_timeout(silent_url):
    with pytest.raises(TemporaryError, match="timed out"):
        HttpTransport(silent_url, KEY, timeout=0.05).send([an_event()], timeout=600)


def test_a_connection_reset_amid_the_answer_is_temporary_and_the_next_is_new(service, transport):
    def break_off(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b'{"accepted": ')
        reset_connection(request)

    service.answers = [break_off, (200, {}, TAKEN)]

    with pytest.raises(TemporaryError):
        transport.send([an_event()])

    assert transport.send([an_event()]).accepted == 1
    assert len(service.connections) == 2


def test_a_connection_reset_before_the_answer_is_temporary(service, transport):
    service.answers = [reset_connection]

    with pytest.raises(TemporaryError):
        transport.send([an_event()])


def test_an_answer_that_is_not_http_is_temporary(service, transport):
    def babble(request):
        request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        request.close_connection = True

    service.answers = [babble]

    with pytest.raises(TemporaryError):
        transport.send([an_event()])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/9.9\r\n\r\n",
        b"\xff\x00" * 100,
    ],
)
def test_an_answer_that_breaks_the_rules_of_http_is_temporary_and_the_next_is_read(service, transport, answer):
    def say(request):
        request.wfile.write(answer)
        request.close_connection = True

    service.answers = [say, (200, {}, TAKEN)]

    with pytest.raises(TemporaryError):
        transport.send([an_event()])

    assert transport.send([an_event()]).accepted == 1


def test_interim_answers_are_passed_over(service, transport):
    def say(request):
        request.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        request.answer(200, {}, {"accepted": 1, "duplicates": 0, "rejected": 0})

    service.answers = [say, (200, {}, TAKEN)]

    assert transport.send([an_event()]).accepted == 1
    assert transport.send([an_event(1), an_event(2)]).accepted == 2
    assert len(service.connections) == 1


def test_the_key_is_nowhere_to_be_read(service, transport, caplog):
    caplog.set_level(logging.DEBUG)
    told = [repr(transport)]
    echoes = [
        (401, {}, problem(f"Unknown key {KEY}", KEY)),
        (503, {}, problem("Busy", KEY)),
        (302, {"Location": f"https://example.org/?key={KEY}"}, b""),
    ]
    for service.answers[0] in echoes:
        with pytest.raises(HeliographError) as caught:
            transport.send([an_event()])
        error = caught.value
        told += [str(error), repr(error), getattr(error, "detail", ""), str(error.__cause__)]

    refusals = [{"index": 0, "id": None, "code": "bad", "detail": f"sent with {KEY}"}]
    service.answer(207, {"accepted": 0, "duplicates": 0, "rejected": 1, "errors": refusals})
    told.append(repr(transport.send([an_event()])))

    assert "sent with [key]" in told[-1]
    assert KEY not in " ".join([*told, caplog.text])
