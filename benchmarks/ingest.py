"""How fast events are stored through HTTP, as a share of the rate of COPY. ``make bench-ingest``.

One run, one Postgres (embedded, durable as ``make up`` has it), several rounds. In each round the same rows go into the
same empty table twice: through HTTP (authentication, validation and dedup on; 4 connections), then by COPY over one
connection. Load generator, web server and Postgres share the machine. Printed is the median of each and of the
rounds' ratios.
"""

import argparse
import http.client
import io
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from emitter.event import stamp
from service.launch.postgres import EmbeddedPostgres

CONNECTIONS = 4
SETTINGS = "service.settings"


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
    return [json.dumps(made[start : start + size]).encode() for start in range(0, count, size)]


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def send(port: int, key: str, bodies: list[bytes]) -> None:
    """Post ``bodies`` over `CONNECTIONS` kept connections; fail unless each event was stored."""
    waiting, failures = iter(bodies), []

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents-batch+json"}
        for body in iter(lambda: next(waiting, None), None):
            connection.request("POST", "/api/v1/events/", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or b'"duplicates":0' not in text:
                failures.append(f"{answer.status} {text[:300]!r}")

    threads = [threading.Thread(target=run) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


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
    connection.execute("TRUNCATE event, event_tally, event_delta, event_arrival")
    connection.commit()


@contextmanager
def service(dsn: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Run a migrated service on ``dsn``; yield its port and a key."""
    environment = os.environ | {"DATABASE_URL": dsn, "VAR_DIR": str(folder), "DJANGO_SETTINGS_MODULE": SETTINGS}
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], env=environment, check=True)
    create = [*manage, "create_key", "bench", "--create", "--scopes", "events:write"]
    key = subprocess.run(create, env=environment, check=True, capture_output=True, text=True).stdout.strip()
    port = free_port()
    granian = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--log-level", "warning"]
    granian += ["--workers", "2", "--blocking-threads", "4", "service.wsgi:application"]
    server = subprocess.Popen(granian, env=environment)
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


def measure(count: int, size: int, rounds: int) -> dict[str, float]:
    http_rates, copy_rates, ratios = [], [], []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder) as server, service(server.dsn, folder) as (port, key):
            for _ in range(rounds + 1):  # the first warms up
                with psycopg.connect(server.dsn) as connection:
                    empty(connection)
                    bodies = batches(count, size)
                    http_rates.append(count / seconds(lambda sent=bodies: send(port, key, sent)))
                    rows = dump(connection)
                    empty(connection)
                    copy_rates.append(count / seconds(lambda c=connection, r=rows: load(c, r)))
                    ratios.append(http_rates[-1] / copy_rates[-1])
    return {
        "batch": size,
        "http_events_per_second": round(statistics.median(http_rates[1:])),
        "copy_rows_per_second": round(statistics.median(copy_rates[1:])),
        "ratio": round(statistics.median(ratios[1:]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="*", default=[500, 50])
    arguments = parser.parse_args()
    for size in arguments.batch:
        print(json.dumps(measure(arguments.events, size, arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
