"""How fast events are stored through HTTP, as a share of the rate of COPY. ``make bench-ingest``.

One run, one Postgres (embedded, durable as ``make up`` has it), several rounds. In each round the same rows go into the
same empty table twice: through HTTP (authentication, validation, dedup and statistics on; 4 connections), then by COPY
over one connection. Events posted one by one, over 32 connections, are compared with posts of the same bodies to a view
that authenticates and does nothing, on the same server. Load generator, web server and Postgres share the machine.
Printed is the median of each and of the rounds' ratios, and how many bytes an event takes on disk.
"""

import argparse
import http.client
import io
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from emitter.event import stamp
from service.launch import web
from service.launch.postgres import EmbeddedPostgres

LENGTH = re.compile(rb"(?i)content-length: *([0-9]+)")
CONNECTIONS = 4
CONNECTIONS_FOR_ONE = 32
SETTINGS = "benchmarks.ingest_settings"
EVENTS = "/api/v1/events/"
EMPTY = "/api/v1/empty/"
TABLES = ("event_tally", "event_delta", "event_arrival")  # beside the events


def events(count: int) -> Iterator[dict[str, Any]]:
    """Yield events as a shop's emitter sends them, about 450 bytes each in the table."""
    rng = random.Random(7)
    emitter, correlation = str(stamp()[0]), ""
    for number in range(count):
        event_id, moment = stamp()
        correlation = f"{rng.getrandbits(128):032x}" if number % 5 == 0 else correlation
        changes = {"status": ["new", rng.choice(["paid", "sent", "returned"])], "total": ["19.90", f"{number % 90}.90"]}
        yield {
            "specversion": "1.0",
            "id": str(event_id),
            "source": "/shop/web",
            "type": "django.db.models.signals.post_save",
            "subject": f"shop.Order/{rng.randrange(20_000)}",
            "time": moment,
            "sender": "shop.Order",
            "action": "updated",
            "actor": f"auth.User/{rng.randrange(500)}",
            "correlationid": correlation,
            "emitterid": emitter,
            "sequence": str(number + 1),
            "outcome": "committed",
            "data": {"changes": changes, "diff_source": "loaded", "update_fields": None},
        }


def batches(count: int, size: int) -> list[bytes]:
    made = list(events(count))
    if size == 1:
        return [json.dumps(each).encode() for each in made]
    return [json.dumps(made[start : start + size]).encode() for start in range(0, count, size)]


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def send(port: int, key: str, bodies: list[bytes], connections: int, address: str = EVENTS) -> None:
    """Post ``bodies`` over as many kept connections; fail unless each was answered well, and no event a duplicate."""
    waiting, failures = deque(bodies), []

    def run() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                try:
                    body = waiting.popleft()
                except IndexError:
                    return
                connection.sendall(head(address, key, len(body)) + body)
                answer = receive(connection)
                if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")) or b'"duplicates":1' in answer:
                    failures.append(answer[:500])

    threads = [threading.Thread(target=run) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def head(address: str, key: str, length: int) -> bytes:
    lines = [f"POST {address} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    lines += ["Content-Type: application/json", f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode()


def receive(connection: socket.socket) -> bytes:
    """Return a whole answer, which tells its length: http.client would cost more than the service does."""
    answer = connection.recv(65536)
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    top, _, rest = answer.partition(b"\r\n\r\n")
    length = int(LENGTH.search(top)[1])  # type: ignore[index]  # of a server that answers otherwise, fail
    while len(rest) < length:
        rest += connection.recv(65536)
    return top + rest


def dump(connection: psycopg.Connection[Any]) -> bytes:
    with connection.cursor() as cursor, cursor.copy("COPY (SELECT * FROM event) TO STDOUT") as copy:
        return b"".join(bytes(chunk) for chunk in copy)


def load(connection: psycopg.Connection[Any], rows: bytes) -> None:
    stream = io.BytesIO(rows)
    with connection.cursor() as cursor, cursor.copy("COPY event FROM STDIN") as copy:
        while chunk := stream.read(1 << 20):
            copy.write(chunk)
    connection.commit()


def empty(connection: psycopg.Connection[Any]) -> None:
    connection.execute(f"TRUNCATE event, {', '.join(TABLES)}")
    connection.commit()


@contextmanager
def service(dsn: str, folder: Path, scopes: str = "events:write") -> Iterator[tuple[int, str]]:
    """Run a migrated service on ``dsn``; yield its port and a key."""
    environment = os.environ | {"DATABASE_URL": dsn, "VAR_DIR": str(folder), "DJANGO_SETTINGS_MODULE": SETTINGS}
    environment["RATE_LIMIT"] = "0"
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], env=environment, check=True)
    create = [*manage, "create_key", "bench", "--create", "--scopes", scopes]
    key = subprocess.run(create, env=environment, check=True, capture_output=True, text=True).stdout.strip()
    port = free_port()
    server = subprocess.Popen(web.command(web.Address(host="127.0.0.1", port=port), workers=2), env=environment)
    try:
        wait_for(port)
        yield port, key
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the service did not become ready")


@contextmanager
def running(scopes: str = "events:write") -> Iterator[tuple[str, int, str]]:
    """Run Postgres and the service; yield the database's address, the service's port and a key."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder) as server, service(server.dsn, folder, scopes) as (port, key):
            yield server.dsn, port, key


def measure(count: int, size: int, rounds: int) -> dict[str, float]:
    http_rates, copy_rates, on_disk = [], [], {}
    with running() as (dsn, port, key):
        for _ in range(rounds + 1):  # the first warms up
            with psycopg.connect(dsn) as connection:
                empty(connection)
                bodies = batches(count, size)
                http_rates.append(count / seconds(lambda sent=bodies: send(port, key, sent, CONNECTIONS)))
                on_disk = sizes(connection, count)
                rows = dump(connection)
                empty(connection)
                copy_rates.append(count / seconds(lambda c=connection, r=rows: load(c, r)))
    return told(size, "http_events_per_second", http_rates, "copy_rows_per_second", copy_rates) | on_disk


def measure_one_by_one(count: int, rounds: int) -> dict[str, float]:
    rates, empty_rates, on_disk = [], [], {}
    with running() as (dsn, port, key):
        for _ in range(rounds + 1):  # the first warms up
            with psycopg.connect(dsn) as connection:
                empty(connection)
                bodies = batches(count, 1)
                nothing = seconds(lambda sent=bodies: send(port, key, sent, CONNECTIONS_FOR_ONE, EMPTY))
                empty_rates.append(count / nothing)
                rates.append(count / seconds(lambda sent=bodies: send(port, key, sent, CONNECTIONS_FOR_ONE)))
                on_disk = sizes(connection, count)
    return told(1, "http_events_per_second", rates, "empty_view_per_second", empty_rates) | on_disk


def sizes(connection: psycopg.Connection[Any], count: int) -> dict[str, float]:
    """Return the bytes on disk of an event with its indexes, and of all that is kept beside it before it is folded."""
    own = connection.execute("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('event')").fetchone()
    beside = connection.execute(
        "SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s::text[]) AS t", [[*TABLES]]
    )
    return {
        "bytes_per_event": round(int(own[0]) / count),  # type: ignore[index]  # a sum is one row
        "bytes_beside": round(int(beside.fetchone()[0]) / count),  # type: ignore[index]
    }


def told(size: int, name: str, rates: list[float], against: str, others: list[float]) -> dict[str, float]:
    ratios = [rate / other for rate, other in zip(rates[1:], others[1:], strict=True)]
    return {
        "batch": size,
        name: round(statistics.median(rates[1:])),
        against: round(statistics.median(others[1:])),
        "ratio": round(statistics.median(ratios), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="*", default=[500, 50, 1])
    arguments = parser.parse_args()
    for size in arguments.batch:
        one_by_one = size == 1
        count, rounds = arguments.events // (10 if one_by_one else 1), arguments.rounds
        measured = measure_one_by_one(count, rounds) if one_by_one else measure(count, size, rounds)
        print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
