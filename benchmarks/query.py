"""How fast questions are answered through HTTP, of few events and of many. ``make bench-query``.

One Postgres (embedded, as ``make up`` has it) with two databases, 100 thousand and 10 million events of 5 projects over
90 days, and a server on each. In each of several rounds every endpoint is asked on the one and then on the other, each
time of other values. Printed are the median and the 95th percentile of all rounds; it fails when a goal is missed:

- a list by any one indexed filter: p95 of 30 ms at the most; an object's history 20 ms; a histogram of 30 days 50 ms;
- p95 of many at most twice that of few, for each of these.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
import urllib3
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks import query_data
from benchmarks.ingest import SETTINGS, service
from service.launch.postgres import EmbeddedPostgres

FEW = 100_000
SAMPLES = 100
LIST, HISTORY, HISTOGRAM = 30.0, 20.0, 50.0  # ms, the goals
API = "/api/v1/"
OPTIONS = {"max_wal_size": "4GB"}  # for filling it


@dataclass(slots=True)
class Asked:
    """A server with what is asked of it; ``times`` are milliseconds by question."""

    port: int
    key: str
    samples: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=dict)
    connection: urllib3.HTTPConnectionPool = field(init=False)

    def __post_init__(self) -> None:
        self.connection = urllib3.HTTPConnectionPool(
            "127.0.0.1", self.port, headers={"Authorization": f"Bearer {self.key}"}
        )

    def ask(self, address: str) -> tuple[float, Any]:
        started = time.perf_counter()
        answer = self.connection.request("GET", address, retries=False)
        elapsed = (time.perf_counter() - started) * 1000
        assert answer.status == 200, (address, answer.status, answer.data[:500])
        return elapsed, answer.json()

    def measure(self, name: str, address: str) -> None:
        self.times.setdefault(name, []).append(self.ask(address)[0])


def events(**filters: object) -> str:
    return f"{API}events/?{urlencode(filters)}"


def stats(kind: str, **parameters: object) -> str:
    return f"{API}stats/{kind}/?{urlencode(parameters)}"


def of_object(event: dict[str, Any], what: str) -> str:
    sender, _, key = event["subject"].partition("/")
    return f"{API}objects/{quote(sender)}/{quote(key)}/{what}/"


def days(event: dict[str, Any], count: int) -> dict[str, str]:
    moment = datetime.fromisoformat(event["time"])
    return {"time__gte": moment.isoformat(), "time__lt": (moment + timedelta(days=count)).isoformat()}


RARE = "shop.signals.coupon_used"
Question = Callable[[dict[str, Any]], str]
# What is asked, given some event: with its goal in ms, or None.
QUESTIONS: dict[str, tuple[Question, float | None]] = {
    "list": (lambda event: events(), LIST),
    "list type": (lambda event: events(type=event["type"]), LIST),
    "list sender": (lambda event: events(sender=event["sender"]), LIST),
    "list object": (lambda event: events(sender=event["sender"], object_id=event["subject"].partition("/")[2]), LIST),
    "list actor": (lambda event: events(actor=event["actor"]), LIST),
    "list correlationid": (lambda event: events(correlationid=event["correlationid"]), LIST),
    "list traceid": (lambda event: events(traceid=event["correlationid"]), LIST),
    "list causationid": (lambda event: events(causationid=event["causationid"]), LIST),
    "list type__in": (lambda event: events(type__in=f"{event['type']},{RARE}"), LIST),
    "list type__startswith": (lambda event: events(type__startswith="shop.signals."), LIST),
    "list sender__in": (lambda event: events(sender__in=f"{event['sender']},shop.Nothing"), LIST),
    "list actor__in": (lambda event: events(actor__in=f"{event['actor']},auth.User/0"), LIST),
    "list time range": (lambda event: events(**days(event, 1)), LIST),
    "list deep page": (lambda event: event["page"], LIST),
    "one event": (lambda event: f"{API}events/{event['id']}/", None),
    "chain": (lambda event: f"{API}events/{event['id']}/chain/", None),
    "object history": (lambda event: of_object(event, "history"), HISTORY),
    "object state": (lambda event: of_object(event, "state"), None),
    "histogram day": (lambda event: stats("histogram"), HISTOGRAM),
    "histogram hour": (lambda event: stats("histogram", interval="hour", **thirty_days()), HISTOGRAM),
    "histogram day by type": (lambda event: stats("histogram", group_by="type"), HISTOGRAM),
    "histogram day by sender": (lambda event: stats("histogram", group_by="sender"), HISTOGRAM),
    "histogram day of a sender": (lambda event: stats("histogram", sender=event["sender"]), HISTOGRAM),
    "histogram hour by type": (
        lambda event: stats("histogram", interval="hour", group_by="type", **thirty_days()),
        None,
    ),
    "histogram 30 days to the second": (
        lambda event: stats("histogram", **days(event, 30)),
        None,
    ),
    "histogram of an actor": (lambda event: stats("histogram", actor=event["actor"]), None),
    "top sender": (lambda event: stats("top", by="sender"), None),
    "top actor of a day": (lambda event: stats("top", by="actor", **days(event, 1)), None),
    "signals": (lambda event: f"{API}signals/", None),
    "emitters": (lambda event: f"{API}emitters/", None),
}


def thirty_days() -> dict[str, str]:
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return {"time__gte": (end - timedelta(days=30)).isoformat(), "time__lt": end.isoformat()}


def samples(asked: Asked, dsn: str) -> list[dict[str, Any]]:
    """Return events from all over the 90 days, each with the address of a page at its place, far down the list."""
    with psycopg.connect(dsn) as connection:
        start, end = connection.execute("SELECT min(occurred_at), max(occurred_at) FROM event").fetchone() or ()
    rng, found = random.Random(7), []
    while len(found) < SAMPLES:
        until = start + (end - start) * rng.uniform(0.05, 1)
        _, page = asked.ask(events(time__lt=until.isoformat(), type="django.db.models.signals.post_save", page_size=50))
        event = rng.choice([each for each in page["results"] if {"actor", "causationid"} <= each.keys()])
        _, around = asked.ask(events(time__lt=event["time"]))
        found.append(event | {"page": around["next"]})
    return found


FOLD = """
from service.stats import operations as stats
from service.telemetry import operations as telemetry
stats.fold_all()
telemetry.fold_all()
"""


def prepare(dsn: str, folder: Path, count: int) -> None:
    """Make a database of ``count`` events, as a service has it that stored them long ago."""
    environment = os.environ | {"DATABASE_URL": dsn, "VAR_DIR": str(folder), "DJANGO_SETTINGS_MODULE": SETTINGS}
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], env=environment, check=True)
    with psycopg.connect(dsn) as connection:
        query_data.fill(connection, count, datetime.now(UTC))
    subprocess.run([*manage, "shell", "--verbosity", "0", "--command", FOLD], env=environment, check=True)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")  # as autovacuum would have, by and by


@contextmanager
def served(dsn: str, folder: Path) -> Iterator[Asked]:
    with service(dsn, folder, "events:read") as (port, key):
        asked = Asked(port, key)
        asked.samples = samples(asked, dsn)
        yield asked


@contextmanager
def databases(folder: Path, events: Mapping[str, int]) -> Iterator[list[str]]:
    """Run Postgres with databases of so many events; those that ``folder`` has from an earlier run are used again."""
    with EmbeddedPostgres(folder, OPTIONS) as server:
        dsns = [make_conninfo(server.dsn, dbname=name) for name in events]
        for dsn, (name, count) in zip(dsns, events.items(), strict=True):
            filled = folder / f"{name}.{count}"
            if not filled.exists():
                with psycopg.connect(server.dsn, autocommit=True) as connection:
                    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                prepare(dsn, folder, count)
                filled.touch()
        yield dsns


@contextmanager
def kept(folder: Path | None) -> Iterator[Path]:
    """Have a folder for the databases: a temporary one unless told."""
    if folder is None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            Path(name).chmod(0o755)
            yield Path(name)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def measure(few: Asked, many: Asked, rounds: int) -> None:
    """Ask each question once a round, of both in turn; the first round warms up."""
    rng = random.Random(8)
    for number in range(rounds + 1):
        for name, (question, _) in QUESTIONS.items():
            for asked in (few, many):
                address = question(rng.choice(asked.samples))
                if number:
                    asked.measure(name, address)
                else:
                    asked.ask(address)


def report(few: Asked, many: Asked) -> list[str]:
    """Print what was measured and return the goals that were missed."""
    print(f"{'ms':<32}{'few p50':>10}{'p95':>8}{'many p50':>10}{'p95':>8}{'ratio':>8}{'goal':>8}")
    missed = []
    for name, (_, goal) in QUESTIONS.items():
        (low, least), (high, most) = (middle_and_slow(asked.times[name]) for asked in (few, many))
        ratio = most / least
        print(f"{name:<32}{low:>10.1f}{least:>8.1f}{high:>10.1f}{most:>8.1f}{ratio:>8.2f}{goal or '':>8}")
        if goal is not None and most > goal:
            missed.append(f"{name}: p95 of {most:.1f} ms is over {goal:.0f} ms")
        if goal is not None and ratio > 2:
            missed.append(f"{name}: p95 is {ratio:.2f} times that of few events, not 2")
    return missed


def middle_and_slow(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000, help="the many, e.g. 300000 for a quick form")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="keeps the databases, 15 GB, for the next run")
    arguments = parser.parse_args()
    with kept(arguments.folder) as folder, ExitStack() as stack:
        dsns = stack.enter_context(databases(folder, {"few": FEW, "many": arguments.events}))
        few, many = (stack.enter_context(served(dsn, folder)) for dsn in dsns)
        measure(few, many, arguments.rounds)
        missed = report(few, many)
    for goal in missed:
        print(f"missed: {goal}", file=sys.stderr)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
