"""Several processes on one spool, a service that comes and goes, and processes that are killed."""

import json
import random
import resource
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from emitter.segments import State
from emitter.spool import SCAN
from tests.sending import cast

ROOT = Path(__file__).parents[2]


def eventually(condition):
    """Wait longer than a process waits until it looks again for what others have left."""
    return cast.eventually(condition, patience=3 * SCAN)


class Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_):
        """Let killed clients go."""


class Sink:
    """A service that counts how often each event came, and keeps what was told last of each emitter."""

    def __init__(self):
        self.came = defaultdict(Counter)
        self.told = {}
        self.is_up = True
        sink = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if sink.is_up:
                    sink.take(self.path, json.loads(body))
                self.send_response(200 if sink.is_up else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Answer)
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, path, told):
        with self.lock:
            if path == "/telemetry/":
                self.told[told["emitterid"]] = told
            else:
                for event in told:
                    self.came[event["emitterid"]][int(event["sequence"])] += 1

    def stored(self, emitter_id):
        with self.lock:
            return len(self.came[emitter_id])


@pytest.fixture
def sink():
    sink = Sink()
    thread = threading.Thread(target=sink.server.serve_forever, args=(0.05,))
    thread.start()
    yield sink
    sink.server.shutdown()
    sink.server.server_close()
    thread.join()


class Client:
    def __init__(self, url, spool, **settings):
        options = {"interval": 0.02, "batch_size": 50, "queue_size": 400, "telemetry_interval": 0.2, **settings}
        preexec = options.pop("preexec_fn", None)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.sending.client", url, str(spool), json.dumps(options)],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=preexec,  # noqa: PLW1509 - it sets a limit, and waits for nobody
        )  # fmt: skip
        self.emitter_id = self.process.stdout.readline().strip()

    def kill(self):
        self.process.kill()
        return self.process.communicate()[1]

    def end(self):
        """Have it leave in an orderly way; return what it says, and its log."""
        said, log = self.process.communicate("", timeout=60)
        assert self.process.returncode == 0, log
        return json.loads(said.splitlines()[-1]), log


@pytest.fixture
def start(sink, tmp_path):
    clients = []

    def start(**settings):
        clients.append(Client(sink.url, tmp_path / "spool", **settings))
        return clients[-1]

    yield start
    for client in clients:
        if client.process.poll() is None:
            client.kill()
        for pipe in (client.process.stdin, client.process.stdout, client.process.stderr):
            pipe.close()


def folders(tmp_path):
    return [path for path in (tmp_path / "spool").iterdir() if path.is_dir()]


def test_what_several_left_in_an_outage_is_sent_once_by_several(sink, start, tmp_path):
    sink.is_up = False
    writers = [start(number=3_000) for _ in range(3)]
    ends = [writer.end()[0] for writer in writers]
    assert sink.came == {}

    sink.is_up = True
    readers = [start(number=1) for _ in range(3)]
    eventually(lambda: all(sink.stored(writer.emitter_id) == 3_000 for writer in writers))
    eventually(lambda: all(sink.told.get(writer.emitter_id) for writer in writers))
    for reader in readers:
        reader.end()

    assert all(not any(end["lost"].values()) for end in ends)
    assert {times for emitter in sink.came.values() for times in emitter.values()} == {1}
    assert {(told["captured"], told["ended"]) for told in sink.told.values()} == {(3_000, True), (1, True)}
    assert folders(tmp_path) == []


@pytest.mark.parametrize("rounds", [4])
def test_what_was_on_disk_or_sent_survives_kill_9(sink, start, tmp_path, rounds):
    """Counters tell how many events were not in memory any more: each of those is stored, or told as lost."""
    dice = random.Random(rounds)
    killed = {}
    for _ in range(rounds):
        clients = [start() for _ in range(3)]
        for client in clients:
            sink.is_up = dice.random() < 0.5
            time.sleep(dice.uniform(0.05, 0.25))
            assert "Traceback" not in client.kill()
            killed[client.emitter_id] = state(tmp_path, client.emitter_id)
    sink.is_up = True
    last = start(number=1)
    eventually(lambda: not [path for path in folders(tmp_path) if path.name != last.emitter_id])
    end, log = last.end()

    assert "Traceback" not in log
    assert end["captured"] == 1
    kept = 0
    for emitter_id, known in killed.items():
        if known is None:  # killed before it wrote anything down
            continue
        told = sink.told[emitter_id]
        kept += known.spooled
        assert told["ended"]
        assert told["captured"] >= known.captured
        assert (told["queued"], told["spooled"]) == (0, 0)
        stored = sink.came[emitter_id]
        assert len(stored) + sum(told["lost"].values()) >= known.captured - known.queued
    assert kept > 0  # else this tested nothing


def state(tmp_path, emitter_id):
    try:
        content = (tmp_path / "spool" / emitter_id / "counters").read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=State).telemetry


def test_a_process_killed_while_draining_loses_nothing(sink, start, tmp_path):
    sink.is_up = False
    writer = start(number=5_000)
    writer.end()

    sink.is_up = True
    while sink.stored(writer.emitter_id) < 5_000:
        heir = start(number=1, batch_size=10)
        before = sink.stored(writer.emitter_id)
        eventually(lambda before=before: sink.stored(writer.emitter_id) >= min(5_000, before + 1_200))
        assert "Traceback" not in heir.kill()

    assert set(sink.came[writer.emitter_id]) == set(range(1, 5_001))


def test_a_disk_that_takes_no_more_costs_no_event_while_there_is_memory(sink, start, tmp_path):
    sink.is_up = False
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # noqa: E731
    client = start(number=300, queue_size=1_000, preexec_fn=limit)
    eventually(lambda: list((tmp_path / "spool").glob("*/1.events")))
    time.sleep(0.3)
    sink.is_up = True
    eventually(lambda: sink.stored(client.emitter_id) == 300)

    end, log = client.end()

    assert not any(end["lost"].values())
    assert "Traceback" not in log
