"""An outage of the service, as a project with a spool meets it: ``python -m benchmarks.outage [--quick] [--events N]``.

One process answers requests, each of which captures `EVENTS` events. The service, a sink in a process of its own, is up
for a tenth of them, then down (connections are refused) for N events, then up again. Fails unless

- the memory of the process grows by no more than 32 MiB in the outage,
- the median request takes no longer than 1.1 times what it took with the service up,
- all that was captured arrives afterwards, and nothing twice.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

EVENTS = 10  # a request captures: its beginning and end, and signals of the project
MOST_MEMORY = 32.0  # MiB
MOST_SLOWER = 1.1
PATIENCE = 600.0  # seconds for what is left to arrive


# The sink


class Arrived:
    """How often each event came, by its number."""

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()
        self.server: ThreadingHTTPServer | None = None
        self.port = 0

    def up(self) -> None:
        self.server = Sink(("127.0.0.1", self.port), Events)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            for connection in list(self.server.open):
                connection.shutdown(2)

    def counts(self) -> dict[str, int]:
        return {"port": self.port, "distinct": len(self.times), "all": self.times.total()}


arrived = Arrived()


class Sink(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        self.open: set[Any] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Let connections break."""


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def answer(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Events(Quiet):
    def do_POST(self) -> None:
        import gzip

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        told = json.loads(body)
        if isinstance(told, list):
            arrived.times.update(int(event["sequence"]) for event in told)
            self.answer({"accepted": len(told), "duplicates": 0, "rejected": 0, "errors": []})
        else:
            self.answer({})

    def do_GET(self) -> None:
        self.answer({}, 404)


class Control(Quiet):
    def do_GET(self) -> None:
        match self.path:
            case "/up":
                arrived.up()
            case "/down":
                arrived.down()
        self.answer(arrived.counts())


def serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    print(server.server_port, flush=True)
    server.serve_forever()


# The project


def configure(url: str, spool: str) -> Callable[[], None]:
    """Set up a Django project, and return a function that has it answer one request."""
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.dispatch import Signal
    from django.http import HttpResponse
    from django.urls import path

    paid = globals()["paid"] = Signal()

    def view(request: Any) -> HttpResponse:
        for number in range(EVENTS - 2):
            paid.send(sender=None, order=number, customer="Ada Lovelace", address="12 St James's Square, London")
        return HttpResponse("ok")

    globals()["urlpatterns"] = [path("pay", view)]
    sys.modules.setdefault("benchmarks.outage", sys.modules[__name__])
    settings.configure(
        SECRET_KEY="outage",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="benchmarks.outage",
        INSTALLED_APPS=["emitter"],
        MIDDLEWARE=["emitter.middleware.HeliographMiddleware"],
        HELIOGRAPH_URL=url,
        HELIOGRAPH_KEY="bench",
        HELIOGRAPH_SPOOL=spool,
        HELIOGRAPH_SPOOL_BYTES=2 * 1024**3,
        HELIOGRAPH_CUSTOM_SIGNALS=["benchmarks.outage.paid"],
        LOGGING={"version": 1, "loggers": {"heliograph": {"level": "CRITICAL"}}},
    )
    django.setup()
    handler = WSGIHandler()

    def request() -> None:
        environ: dict[str, Any] = {"PATH_INFO": "/pay"}
        setup_testing_defaults(environ)
        response = handler(environ, lambda *_: None)  # type: ignore[arg-type,return-value]
        response.close()

    return request


def timed(request: Callable[[], None], number: int) -> float:
    """Answer so many requests; return the median of their seconds."""
    seconds = []
    for _ in range(number):
        begin = time.perf_counter()
        request()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def peak() -> float:
    """Return the most memory this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(events: int) -> bool:
    sink = subprocess.Popen([sys.executable, "-m", "benchmarks.outage", "--sink"], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    control = f"http://127.0.0.1:{int(sink.stdout.readline())}"

    def ask(what: str = "") -> dict[str, int]:
        with urllib.request.urlopen(f"{control}/{what}") as answer:
            found: dict[str, int] = json.load(answer)
            return found

    try:
        with tempfile.TemporaryDirectory() as spool:
            port = ask("up")["port"]
            return outage(configure(f"http://127.0.0.1:{port}", spool), ask, events, spool)
    finally:
        sink.kill()
        sink.wait()
        sink.stdout.close()


def outage(request: Callable[[], None], ask: Callable[[str], dict[str, int]], events: int, spool: str) -> bool:
    from emitter import outlet

    timed(request, 500)
    up = timed(request, max(500, events // EVENTS // 10))
    worker = outlet.worker()
    assert worker.flush(PATIENCE)
    ask("down")
    before, begin = peak(), time.perf_counter()
    down = timed(request, events // EVENTS)
    growth, seconds = peak() - before, time.perf_counter() - begin
    size = sum(file.stat().st_size for file in Path(spool).glob("*/*.events"))
    ask("up")
    begin = time.perf_counter()
    complete = worker.flush(PATIENCE)
    drained = time.perf_counter() - begin
    found, lost = ask(""), sum(worker.counts.values())
    missing, twice = worker.captured - found["distinct"], found["all"] - found["distinct"]
    print(f"captured in the outage   {events:>10,} events in {seconds:.1f} s, {size / 2**20:.0f} MiB on disk")
    print(f"growth of memory         {growth:>10.1f} MiB (at most {MOST_MEMORY:.0f})")
    print(f"median request, up       {up * 1e6:>10.0f} µs")
    print(f"median request, down     {down * 1e6:>10.0f} µs, ratio {down / up:.2f} (at most {MOST_SLOWER})")
    print(f"sent after its return    {drained:>10.1f} s")
    print(f"missing {missing}, twice {twice}, counted as lost {lost}")
    worker.close(5)
    return complete and growth <= MOST_MEMORY and down / up <= MOST_SLOWER and not (missing or twice or lost)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="50,000 events")
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        serve()
    else:
        sys.exit(0 if main(50_000 if options.quick else options.events) else 1)
