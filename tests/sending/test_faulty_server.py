"""A service that does everything wrong: each event is stored, refused or counted as lost.

The server keeps the truth: what it stored, whatever it answered, and which events it turned away.
"""

import gzip
import json
import random
import socket
import socketserver
import struct
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate

import pytest

from emitter.event import Event, stamp
from emitter.retry import Retry
from emitter.transport import LONGEST_ANSWER, HttpTransport
from emitter.worker import Worker
from tests.sending.service import running

PATIENCE = 60  # seconds until the test fails
TIMEOUT = 0.2  # seconds: the client's
HASTY = Retry(base=0.001, cap=0.004, longest_retry_after=0.002)


class Faulty(socketserver.ThreadingTCPServer):
    """Answers with a fault of `faults`, dealt like cards; with none, as it should."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, seed, faults):
        super().__init__(("127.0.0.1", 0), _Visit)
        self.random = random.Random(seed)
        self.faults = list(faults)
        self.deck = []
        self.lock = threading.Lock()
        self.stored = {}  # by id, as it came first
        self.turned_away = set()
        self.changed = []  # what came again and was not the same
        self.posts = 0
        self.met = set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Say nothing: clients hang up on this server, and so does it."""

    def fault(self):
        with self.lock:
            if not self.faults or self.random.random() < 0.2:
                return honest
            if not self.deck:
                self.deck = self.random.sample(self.faults, len(self.faults))
            found = self.deck.pop()
            self.met.add(found.__name__)
            return found

    def store(self, events):
        """Return the receipt for the events."""
        with self.lock:
            new = [event for event in events if event["id"] not in self.stored]
            self.changed += [event for event in events if self.stored.get(event["id"], event) != event]
            self.stored.update({event["id"]: event for event in new})
        return {"accepted": len(new), "duplicates": len(events) - len(new), "rejected": 0, "errors": []}

    def turn_away(self, events):
        with self.lock:
            self.turned_away |= {event["id"] for event in events} - self.stored.keys()


class _Visit(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        self.open = True
        while self.open and (line := self.rfile.readline()):
            self.serve(line.split()[0])

    def serve(self, method):
        headers = {}
        while (line := self.rfile.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        self.length = int(headers.get("content-length", 0))
        self.zipped = headers.get("content-encoding") == "gzip"
        if method == b"GET":
            self.server.random.choice(METAS)(self) if self.server.faults else self.problem(404)
            return
        self.server.posts += 1
        self.server.fault()(self)

    def events(self):
        body = self.rfile.read(self.length)
        return json.loads(gzip.decompress(body) if self.zipped else body)

    def say(self, status, body=b"", *lines):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.write("HTTP/1.1", status, *lines, f"Content-Length: {len(body)}", body=body)

    def write(self, version, status, *lines, body=b""):
        head = "\r\n".join([f"{version} {status} Whatever", *lines, "", ""])
        self.request.sendall(head.encode() + body)

    def problem(self, status, *lines):
        self.say(status, {"title": "No", "detail": "because"}, *lines)

    def hang_up(self):
        self.open = False

    def reset(self):
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.hang_up()

    def wait_for_the_client(self):
        """Wait until the client has had enough."""
        self.request.settimeout(PATIENCE)
        self.request.recv(1)
        self.hang_up()


def honest(visit):
    visit.say(200, visit.server.store(visit.events()))


def reset_before_the_body(visit):
    visit.reset()


def reset_amid_the_body(visit):
    visit.rfile.read(visit.length // 2)
    visit.reset()


def stored_and_reset(visit):
    visit.server.store(visit.events())
    visit.reset()


def reset_amid_the_answer(visit):
    receipt = json.dumps(visit.server.store(visit.events())).encode()
    visit.write("HTTP/1.1", 200, f"Content-Length: {len(receipt)}", body=receipt[:20])
    visit.reset()


def broken(visit):
    visit.events()
    visit.problem(visit.server.random.choice([500, 502, 503, 408]))


def stored_and_broken(visit):
    visit.server.store(visit.events())
    visit.problem(500)


def busy(visit):
    visit.events()
    after = [
        "0",
        "1",
        formatdate(usegmt=True),
        "-5",
        "soon",
        "9" * 400,
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    ]
    visit.problem(429, f"Retry-After: {visit.server.random.choice(after)}")


def too_large(visit):
    events = visit.events()
    if len(events) == 1:
        visit.server.turn_away(events)
    visit.problem(413)


def some_refused(visit):
    events = visit.events()
    refused = [place for place in range(len(events)) if visit.server.random.random() < 0.3]
    receipt = visit.server.store([event for place, event in enumerate(events) if place not in refused])
    visit.server.turn_away([events[place] for place in refused])
    errors = [
        {"index": place, "id": visit.server.random.choice([None, events[place]["id"]]), "field": "", "code": "no"}
        for place in refused
    ]
    visit.say(207 if errors else 200, {**receipt, "rejected": len(errors), "errors": errors})


def not_for_you(visit):
    visit.server.turn_away(visit.events())
    visit.problem(visit.server.random.choice([401, 403, 404, 400, 422]))


def redirects(visit):
    visit.server.turn_away(visit.events())
    visit.problem(visit.server.random.choice([301, 302, 303, 307, 308]), f"Location: {visit.server.url}/elsewhere")


def hangs(visit):
    visit.events()
    visit.wait_for_the_client()


def stored_and_hangs(visit):
    visit.server.store(visit.events())
    visit.wait_for_the_client()


def dribbles(visit):
    receipt = json.dumps(visit.server.store(visit.events())).encode()
    visit.write("HTTP/1.1", 200, f"Content-Length: {len(receipt)}")
    for byte in receipt:
        visit.request.sendall(bytes([byte]))
        threading.Event().wait(TIMEOUT / 4)


def half_closes(visit):
    visit.events()
    visit.request.shutdown(socket.SHUT_WR)
    visit.wait_for_the_client()


def half_closes_amid_the_answer(visit):
    visit.server.store(visit.events())
    visit.write("HTTP/1.1", 200, "Content-Length: 100", body=b'{"accepted": ')
    visit.request.shutdown(socket.SHUT_WR)
    visit.wait_for_the_client()


def babbles(visit):
    visit.events()
    bodies = [b"", b"[]", b"null", b"<html>", b'{"accepted": "all"}', b"[" * 9_999, b"\xff\xfe", b'{"accepted": 1}']
    visit.say(visit.server.random.choice([200, 207]), visit.server.random.choice(bodies))


def wrong_type(visit):
    visit.say(200, visit.server.store(visit.events()), "Content-Type: image/png")


def too_long(visit):
    visit.server.store(visit.events())
    visit.say(200, b" " * (LONGEST_ANSWER + 10))


def without_length(visit):
    visit.write("HTTP/1.0", 200, body=json.dumps(visit.server.store(visit.events())).encode())
    visit.hang_up()


def without_length_and_cut_off(visit):
    visit.write("HTTP/1.0", 200, body=json.dumps(visit.server.store(visit.events())).encode()[:-5])
    visit.hang_up()


def wrong_length(visit):
    receipt = json.dumps(visit.server.store(visit.events())).encode()
    visit.write("HTTP/1.1", 200, f"Content-Length: {len(receipt) - 5}", body=receipt)


def badly_chunked(visit):
    receipt = json.dumps(visit.server.store(visit.events())).encode()
    chunks = [
        b"zz\r\n%b\r\n0\r\n\r\n" % receipt,
        b"%x\r\n%b" % (len(receipt) + 9, receipt),
        b"-5\r\n\r\n",
        b"f" * 30 + b"\r\n\r\n",
    ]
    visit.write("HTTP/1.1", 200, "Transfer-Encoding: chunked", body=visit.server.random.choice(chunks))
    visit.request.shutdown(socket.SHUT_WR)
    visit.wait_for_the_client()


def well_chunked(visit):
    receipt = json.dumps(visit.server.store(visit.events())).encode()
    body = b"3\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (receipt[:3], len(receipt) - 3, receipt[3:])
    visit.write("HTTP/1.1", 200, "Transfer-Encoding: chunked", body=body)


def does_not_add_up(visit):
    events = visit.events()
    receipt = visit.server.store(events) if visit.server.random.random() < 0.5 else {"accepted": 0, "duplicates": 0}
    visit.server.turn_away(events)
    lies = [
        {"accepted": len(events) + 1},
        {"accepted": -1, "duplicates": 1},
        {"accepted": 0, "duplicates": 0, "rejected": len(events), "errors": []},
        {"accepted": 0, "duplicates": 0, "rejected": 1, "errors": [{"index": 10**30, "id": None, "code": "no"}]},
        {"accepted": len(events) - 1, "rejected": 1, "errors": [{"index": -1, "id": "x", "code": "no"}]},
    ]
    visit.say(207, {"duplicates": 0, "rejected": 0, "errors": [], **receipt, **visit.server.random.choice(lies)})


def interim_answers(visit):
    for status in visit.server.random.choices([100, 102, 103], k=3):
        visit.write("HTTP/1.1", status, "Link: </a>")
    honest(visit)


def switches_protocols(visit):
    visit.server.store(visit.events())
    visit.write("HTTP/1.1", 101, "Upgrade: websocket")


def answers_twice(visit):
    receipt = json.dumps(visit.server.store(visit.events())).encode()
    body = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(receipt), receipt)
    visit.request.sendall(body * 2)


def speaks_something_else(visit):
    visit.events()
    visit.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    visit.hang_up()


def endless_head(visit):
    visit.events()
    visit.request.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-Header: x\r\n" * 200 + b"\r\n")
    visit.hang_up()


FAULTS = [
    answers_twice,
    babbles,
    badly_chunked,
    broken,
    busy,
    does_not_add_up,
    dribbles,
    endless_head,
    half_closes,
    half_closes_amid_the_answer,
    hangs,
    interim_answers,
    not_for_you,
    redirects,
    reset_amid_the_answer,
    reset_amid_the_body,
    reset_before_the_body,
    some_refused,
    speaks_something_else,
    stored_and_broken,
    stored_and_hangs,
    stored_and_reset,
    switches_protocols,
    too_large,
    too_long,
    well_chunked,
    without_length,
    without_length_and_cut_off,
    wrong_length,
    wrong_type,
]


def meta_is_nonsense(visit):
    limits = {"events": -1, "body": 0, "inflated": "all", "event": 1, "depth": None}
    visit.say(200, {"version": "1", "time": "now", "limits": limits})


def meta_is_html(visit):
    visit.say(200, b"<html>")


def meta_is_small(visit):
    visit.say(200, {"version": "1", "time": "now", "limits": {"events": 7, "body": 1, "inflated": 10**30}})


METAS = [meta_is_nonsense, meta_is_html, meta_is_small, reset_before_the_body, lambda visit: visit.problem(500)]


@contextmanager
def working(server):
    transport = HttpTransport(server.url, "hg_key", timeout=TIMEOUT, retry=HASTY)
    worker = Worker(transport, retry=HASTY, batch_size=20, interval=0.01, queue_size=100_000, shutdown_timeout=1)
    try:
        yield worker
    finally:
        worker.close(1)


def some_events(count):
    made = []
    for number in range(count):
        identity, moment = stamp()
        made.append(Event(id=identity, time=moment, source="/test", type="test", data={"number": number}))
    return made


def put(worker, count):
    events = some_events(count)
    for event in events:
        assert worker.put(event)
    return {str(event.id) for event in events}


@pytest.mark.parametrize("seed", [1, 2, random.randrange(10**6)])
def test_every_event_ends_stored_refused_or_counted(seed):
    with running(Faulty(seed, FAULTS)) as server, working(server) as worker:
        captured = put(worker, 600)
        assert worker.flush(PATIENCE), f"{len(captured - server.stored.keys())} are left after {server.posts} posts"
        lost = sum(worker.counts.values())
        server.faults.clear()
        after = put(worker, 50)
        assert worker.flush(PATIENCE)

        missing = captured - server.stored.keys()
        assert missing <= server.turned_away, "what is missing was refused"
        assert len(missing) <= lost, "and counted"
        assert server.stored.keys() <= captured | after
        assert after <= server.stored.keys(), "what comes when the service is well again arrives"
        assert server.changed == [], "what is sent again is the same"
        assert sum(worker.counts.values()) == lost
        assert len(server.met) > 10, "the faults were met"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_alone_ends_once_the_service_is_well(fault):
    with running(Faulty(7, [fault])) as server, working(server) as worker:
        captured = put(worker, 25)
        deadline = time.monotonic() + PATIENCE
        while server.posts < 4 and not worker.flush(0.01):
            assert time.monotonic() < deadline
        server.faults.clear()
        assert worker.flush(PATIENCE)

        missing = captured - server.stored.keys()
        assert missing <= server.turned_away
        assert len(missing) <= sum(worker.counts.values())
