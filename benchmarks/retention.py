"""What keeping and erasing cost those who send. ``make bench-retention``.

One Postgres (embedded, durable as ``make up`` has it), one service, filled with events of 5 projects over 90 days. In
each round of the first part 2 connections send batches of 50 to the project that has most of them, first with nothing
beside, then while its retention is lowered, then while actors of it are erased. In each round of the second part a
month is dropped while 4 connections send batches of 500 as fast as they are taken; before and after, as many are sent
with nothing beside; it tells when the month was gone, and when its space was freed. Deleting and dropping is done by a
process of its own, as the worker's. All share the machine.

Fails unless the median of the rounds is: the 95th percentile of posts at most 1.5 times that without, both beside the
retention and beside the erasure; a month gone within 1 s; ingest meanwhile 0.9 of that without.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.ingest import CONNECTIONS, EVENTS, batches, head, receive, seconds, send, service
from benchmarks.query import databases, kept

BATCH = 500
SMALL, SENDERS = 50, 2
PROJECT = 1  # the one that sends, which has most of the events too
MOST_SECONDS, LEAST_RATE, MOST_LATENCY = 1.0, 0.9, 1.5


@contextmanager
def beside(environment: dict[str, str], *work: str) -> Iterator[dict[str, Any]]:
    """Have a process begin its work; yield what it tells of it, which is there when the block has ended."""
    command = [sys.executable, "-m", "benchmarks.retention", "--work", *work]
    told: dict[str, Any] = {}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        yield told
        told |= json.loads(process.stdout.read())


def work(kind: str, *words: str) -> None:
    import django

    django.setup()
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    told = WORKS[kind](*words)
    print(json.dumps({"seconds": time.perf_counter() - started, **told}), flush=True)


def drop(moment: str) -> dict[str, Any]:
    from service.events import partitions
    from service.retention import operations, pace

    now = datetime.fromisoformat(moment)
    started = time.perf_counter()
    dropped = partitions.drop_expired(now)
    gone = time.perf_counter() - started
    pace.with_rests(partitions.free())
    freed = time.perf_counter() - started
    operations.expire(now)
    return {"months": dropped, "gone": gone, "freed": freed}


def lower(days: str, patience: str) -> dict[str, Any]:
    from django.utils import timezone

    from service.projects.models import Project
    from service.retention import operations
    from service.retention.pace import Pace

    Project.objects.filter(pk=PROJECT).update(retention_days=int(days))
    return {"removed": operations.expire_early(timezone.now(), Pace(seconds=float(patience)))}


def erase(first: str, patience: str) -> dict[str, Any]:
    from django.db.models import Sum

    from service.events.models import Erasure
    from service.retention import erasure
    from service.retention.pace import Pace

    for number in range(int(first), int(first) + 10):
        erasure.ask(PROJECT, Erasure.Kind.ACTOR, f"auth.User/{number}", "a benchmark")
    pace = Pace(seconds=float(patience))
    while pace.goes_on and Erasure.objects.filter(done_at=None).exists():
        erasure.work(pace)
    return Erasure.objects.aggregate(removed=Sum("removed"), redacted=Sum("redacted"))


WORKS: dict[str, Callable[..., dict[str, Any]]] = {"drop": drop, "lower": lower, "erase": erase}


def months(dsn: str) -> list[str]:
    """Return those that hold events, the oldest first, without the current one."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT DISTINCT tableoid::regclass::text FROM event ORDER BY 1").fetchall()
    return [name for (name,) in rows][:-1]


def gone_at(month: str) -> str:
    """Return a moment at which a month is to be dropped, and the next one not yet."""
    start = datetime.strptime(month, "event_%Y_%m").replace(tzinfo=UTC)
    return ((start + timedelta(days=32)).replace(day=1) + timedelta(days=365, hours=2)).isoformat()


def rate(port: int, key: str, events: int) -> float:
    bodies = batches(events, BATCH)
    return events / seconds(lambda: send(port, key, bodies, CONNECTIONS))


def measure_drops(port: int, key: str, dsn: str, environment: dict[str, str], events: int) -> tuple[float, float]:
    """Return in how many seconds a month was gone, and how fast ingest was meanwhile as a share of that without."""
    times, ratios = [], []
    rate(port, key, events)  # warms up
    after = rate(port, key, events)
    for month in months(dsn):
        before = after
        with beside(environment, "drop", gone_at(month)) as told:
            meanwhile = rate(port, key, events)
        assert month in told["months"], told
        after = rate(port, key, events)
        times.append(told["gone"])
        ratios.append(2 * meanwhile / (before + after))
        figures = {
            "gone": round(told["gone"], 3),
            "freed": round(told["freed"], 3),
            "counts": round(told["seconds"], 3),
            "alone": round((before + after) / 2),
        }
        print(json.dumps({"dropped": month, **figures, "beside": round(meanwhile)}), flush=True)
    return statistics.median(times), statistics.median(ratios)


def latency(port: int, key: str, patience: float) -> float:
    """Return the 95th percentile of how long posts took, in milliseconds, while they were sent for so many seconds."""
    times: list[float] = []

    def run() -> None:
        deadline = time.perf_counter() + patience
        bodies: Iterator[bytes] = iter(())
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (started := time.perf_counter()) < deadline:
                body = next(bodies, None)
                if body is None:
                    bodies = iter(batches(20 * SMALL, SMALL))
                    continue
                connection.sendall(head(EVENTS, key, len(body)) + body)
                answer = receive(connection)
                assert answer.startswith(b"HTTP/1.1 200"), answer[:500]
                times.append((time.perf_counter() - started) * 1000)

    threads = [threading.Thread(target=run) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.quantiles(times, n=20)[-1]


def measure_removals(
    port: int, key: str, environment: dict[str, str], rounds: int, patience: float
) -> tuple[float, float]:
    """Return what of its latency ingest has beside the retention of a project, and beside erasures."""
    retention, erasure = [], []
    latency(port, key, patience)  # warms up
    for number in range(rounds):
        alone = latency(port, key, patience)
        with beside(environment, "lower", str(80 - 60 * number // rounds), str(patience)) as lowered:
            while_lowered = latency(port, key, patience)
        with beside(environment, "erase", str(10 * number), str(patience)) as erased:
            while_erased = latency(port, key, patience)
        retention.append(while_lowered / alone)
        erasure.append(while_erased / alone)
        figures = {"alone": alone, "retention": while_lowered, "erasure": while_erased}
        print(
            json.dumps(
                {name: round(each, 1) for name, each in figures.items()} | {"lowered": lowered, "erased": erased}
            )
        )
    return statistics.median(retention), statistics.median(erasure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, help="10000000 takes 12 GB, and an hour to fill")
    parser.add_argument("--sent", type=int, default=50_000, help="events in each part of a round of the second part")
    parser.add_argument("--rounds", type=int, default=5, help="of the first part; the second has one for each month")
    parser.add_argument("--seconds", type=float, default=8.0, help="each part of a round of the first part")
    parser.add_argument("--folder", type=Path, help="has the database, as bench-query left it; it is used up")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(*arguments.work)
        return
    with kept(arguments.folder) as folder:
        sys.exit(not measure(folder, arguments))


def measure(folder: Path, arguments: argparse.Namespace) -> bool:
    with databases(folder, {"many": arguments.events}) as (dsn,):
        environment = os.environ | {
            "DATABASE_URL": dsn,
            "VAR_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "service.settings",
        }
        with service(dsn, folder) as (port, key):
            retention, erasure = measure_removals(port, key, environment, arguments.rounds, arguments.seconds)
            took, share = measure_drops(port, key, dsn, environment, arguments.sent)
    print(f"a month gone within {took:.2f} s (at most {MOST_SECONDS})")
    print(f"ingest meanwhile {share:.2f} of that without (at least {LEAST_RATE})")
    print(f"p95 of posts beside the retention of a project {retention:.2f} times that without (at most {MOST_LATENCY})")
    print(f"p95 of posts beside erasures {erasure:.2f} times that without (at most {MOST_LATENCY})")
    return took <= MOST_SECONDS and share >= LEAST_RATE and max(retention, erasure) <= MOST_LATENCY


if __name__ == "__main__":
    main()
