"""An outage of the service, as a project meets it: ``python -m benchmarks.outage [--delivery NAME] [--quick]``.

One process answers requests, which capture N events while the service, a sink in a process of its own, is down:
connections are refused. Before and after that it is up, for a tenth as many. In ``memory`` all events go to a spool. In
``outbox`` a request saves and sends in one transaction of a real, durable Postgres, and a thread relays its rows; its
beginning and end, which are about no database, go to a spool. Without ``--delivery`` it is one after the other, each in
processes of its own. Fails unless

- the memory of the process grows by no more than 32 MiB in the outage,
- the median request takes no longer than 1.1 times what it took with the service up. There are two such medians, and
  the lower one counts: beside threads that send, as requests follow each other; and beside threads that rest, as all
  is sent that was captured before,
- all that was captured arrives afterwards, nothing twice, and spool and outbox are empty.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from psycopg.conninfo import conninfo_to_dict

from service.launch.postgres import EmbeddedPostgres

DELIVERIES = ("memory", "outbox")
MOST_MEMORY = 32.0  # MiB
MOST_SLOWER = 1.1
PATIENCE = 600.0  # seconds for what is left to arrive
WARM_UP = 500  # requests
APART = 10  # requests between two rests of the threads that send: fewer events than a batch has
SETTINGS: dict[str, Any] = {
    "SECRET_KEY": "outage",
    "ALLOWED_HOSTS": ["*"],
    "ROOT_URLCONF": "benchmarks.outage_shop.urls",
    "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    "INSTALLED_APPS": ["benchmarks.outage_shop", "emitter"],
    "MIDDLEWARE": ["emitter.middleware.HeliographMiddleware"],
    "HELIOGRAPH_KEY": "bench",
    "HELIOGRAPH_SPOOL_BYTES": 2 * 1024**3,
    "HELIOGRAPH_CUSTOM_SIGNALS": ["benchmarks.outage_shop.*"],
    "LOGGING": {"version": 1, "loggers": {"heliograph": {"level": "CRITICAL"}}},
}

Ask = Callable[[str], dict[str, int]]
Request = Callable[[], None]


@contextmanager
def sink() -> Iterator[Ask]:
    """Start the service; give a function that tells it ``up`` or ``down``, and returns what has arrived."""
    command = [sys.executable, "-m", "benchmarks.outage_sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        control = f"http://127.0.0.1:{int(process.stdout.readline())}"

        def ask(what: str) -> dict[str, int]:
            with urllib.request.urlopen(f"{control}/{what}") as answer:
                found: dict[str, int] = json.load(answer)
                return found

        try:
            yield ask
        finally:
            process.kill()


def configure(delivery: str, url: str, spool: Path, dsn: str) -> Request:
    """Set up the project, and return a function that has it answer one request."""
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command

    settings.configure(
        **SETTINGS,
        HELIOGRAPH_DELIVERY=delivery,
        HELIOGRAPH_URL=url,
        HELIOGRAPH_SPOOL=str(spool),
        DATABASES={"default": database(dsn)} if dsn else {},
    )
    django.setup()
    if dsn:
        call_command("migrate", run_syncdb=True, verbosity=0)
    handler = WSGIHandler()

    def request() -> None:
        environ: dict[str, Any] = {"PATH_INFO": f"/{delivery}"}
        setup_testing_defaults(environ)
        response = handler(environ, lambda *_: None)  # type: ignore[arg-type,return-value]
        response.close()
        assert response.status_code == 200

    return request


def database(dsn: str) -> dict[str, Any]:
    place = conninfo_to_dict(dsn)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": place["dbname"],
        "USER": place["user"],
        "HOST": place["host"],
        "PORT": place["port"],
        "CONN_MAX_AGE": None,
        "ATOMIC_REQUESTS": True,
    }


def timed(request: Request, number: int) -> list[float]:
    """Answer so many requests; return the seconds of each."""
    seconds = []
    for _ in range(number):
        begin = time.perf_counter()
        request()
        seconds.append(time.perf_counter() - begin)
    return seconds


def peak() -> float:
    """Return the most memory this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Outage:
    """What is done to one project, and what came of it."""

    def __init__(self, delivery: str, request: Request, ask: Ask) -> None:
        from benchmarks.outage_shop.urls import EVENTS, OF_REQUEST

        self.request = request
        self.ask = ask
        self.events = EVENTS[delivery]  # of one request
        self.rows = self.events - OF_REQUEST if delivery == "outbox" else 0  # of those
        self.requests = 0
        self.busy: list[float] = []  # seconds of requests with the service up, beside threads that send
        self.rested: list[float] = []  # and beside threads that rest

    def answer(self, number: int) -> list[float]:
        self.requests += number
        return timed(self.request, number)

    def waiting(self) -> int:
        """Return how many rows the outbox has, as its database counts them."""
        from emitter import leases

        return leases.summary("default").waiting if self.rows else 0

    def drain(self) -> float:
        """Wait until nothing waits, and return how many seconds that took."""
        from emitter import outlet

        begin = time.monotonic()
        while not outlet.flush(PATIENCE) or self.waiting():
            assert time.monotonic() - begin < PATIENCE, f"{self.waiting()} rows wait, after {PATIENCE} s"
            time.sleep(0.1)
        return time.monotonic() - begin

    def up(self, number: int) -> None:
        """Answer requests with the service up: first one after the other, then some at a time, once all is sent."""
        self.busy += self.answer(number * 5 // 6)
        for _ in range(number // 6 // APART):
            self.drain()
            self.rested += self.answer(APART)
        self.drain()

    def run(self, events: int, spool: Path) -> bool:
        number = events // self.events
        some = max(WARM_UP, number // 20)
        self.answer(WARM_UP)
        self.up(some)
        self.ask("down")
        before, begin = peak(), time.perf_counter()
        down = statistics.median(self.answer(number))
        growth, seconds = peak() - before, time.perf_counter() - begin
        waiting, size = self.waiting(), sum(file.stat().st_size for file in spool.glob("*/*.events"))
        self.ask("up")
        drained = self.drain()
        self.up(some)
        busy, rested = statistics.median(self.busy), statistics.median(self.rested)
        ratio = down / min(busy, rested)
        print(f"captured in the outage   {number * self.events:>10,} events in {seconds:.1f} s")
        print(f"waiting at its end       {waiting:>10,} rows in the outbox, and {size / 2**20:.0f} MiB in the spool")
        print(f"growth of memory         {growth:>10.1f} MiB (at most {MOST_MEMORY:.0f})")
        print(f"median request, up       {busy * 1e6:>10.0f} µs beside threads that send, {rested * 1e6:.0f} else")
        print(f"median request, down     {down * 1e6:>10.0f} µs, ratio {ratio:.2f} (at most {MOST_SLOWER})")
        print(f"sent after its return    {drained:>10.1f} s")
        kept = waiting == number * self.rows
        return self.is_exact() and kept and growth <= MOST_MEMORY and ratio <= MOST_SLOWER

    def is_exact(self) -> bool:
        """Compare what was asked for, what was captured and what arrived; tell of it."""
        from emitter import outlet

        captured, lost = self.requests * self.events, outlet.report()
        told = lost.pop("captured"), lost.pop("outbox", 0)
        found = self.ask("")
        arrived = found["numbered"], found["rows"]
        missing, twice = captured - sum(arrived), found["arrived"] - sum(arrived)
        left = self.waiting() + self.dead_letters()
        print(f"arrived                  {arrived[0]:>10,} from memory or spool, {arrived[1]:,} rows of the outbox")
        print(f"missing {missing}, twice {twice}, left in the outbox {left}, counted as lost {sum(lost.values())}")
        return told == arrived and not (missing or twice or left or any(lost.values()))

    def dead_letters(self) -> int:
        from emitter import leases

        return leases.summary("default").dead if self.rows else 0


def measure(delivery: str, events: int) -> bool:
    print(f"\ndelivery {delivery}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        dsn = stack.enter_context(EmbeddedPostgres(folder)).dsn if delivery == "outbox" else ""
        ask = stack.enter_context(sink())
        spool = folder / "spool"
        request = configure(delivery, f"http://127.0.0.1:{ask('up')['port']}", spool, dsn)
        try:
            return Outage(delivery, request, ask).run(events, spool)
        finally:
            close()


def close() -> None:
    from django.db import connections

    from emitter import outlet

    outlet.close()
    connections.close_all()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delivery", choices=DELIVERIES, help="only this one")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="50,000 events")
    options = parser.parse_args()
    if options.delivery:
        return 0 if measure(options.delivery, 50_000 if options.quick else options.events) else 1
    command = [sys.executable, "-m", "benchmarks.outage", *sys.argv[1:]]
    return max([subprocess.run([*command, "--delivery", each], check=False).returncode for each in DELIVERIES])


if __name__ == "__main__":
    sys.exit(main())
