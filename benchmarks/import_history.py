"""How fast a project's history is brought along, and whether all of it arrives. ``make bench-import``.

One Postgres (embedded), a service on it, and a project whose django-auditlog has noted a million changes of orders over
90 days. ``import_events`` is killed with -9 when 30 and 70 of 100 entries are stored, and run a third time. Then each
entry is compared with its event: order, time, action, actor, and each value.

Fails unless 5,000 entries a second are stored in the first run and read in the last, most of which are there already,
and each entry is there once and equal. Both rates are of whole runs, with the start of the process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from benchmarks.ingest import service
from service.launch.postgres import EmbeddedPostgres

LEAST_RATE = 5_000
KILLED_AT = (0.3, 0.7)
PROJECT = "project"
# As auditlog writes them: values as texts, of an order that was made, and of one that was paid.
MADE = {
    "number": ["None", "{number}"],
    "status": ["None", "new"],
    "price": ["None", "19.90"],
    "paid": ["None", "False"],
}
PAID = {"status": ["new", "paid"], "paid": ["False", "True"], "remark": ["None", "№ {number} “paid”"]}
FILL = """
    INSERT INTO auditlog_logentry (
        content_type_id, object_pk, object_id, object_repr, action, changes, changes_text, timestamp, actor_id, cid,
        remote_addr
    )
    SELECT
        (SELECT id FROM django_content_type WHERE app_label = 'store' AND model = 'order'), n / 2, n / 2, 'order',
        n %% 2, replace(CASE n %% 2 WHEN 0 THEN %(made)s ELSE %(paid)s END, '{number}', (n / 2)::text)::jsonb, '',
        now() - interval '90 days' * (1 - n::float / %(entries)s), (SELECT min(id) FROM auth_user), 'cid-' || n / 2,
        '192.0.2.7'
    FROM generate_series(0, %(entries)s - 1) AS n
"""
STORED = "SELECT coalesce(sum(count), 0)::int FROM event_delta"
EVENTS = """
    SELECT object_id, occurred_at, action, actor, data -> 'imported' ->> 'pk' AS pk, data, correlation_id
    FROM event WHERE source <> '/heliograph' ORDER BY project_id, id
"""
ENTRIES = "SELECT * FROM auditlog_logentry ORDER BY timestamp, id"


def fill(dsn: str, entries: int) -> None:
    manage(dsn, "make", 0)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, date_joined, first_name, "
            "last_name, email) VALUES ('ann', '', false, false, true, now(), '', '', '')"
        )
        connection.execute(FILL, {"made": json.dumps(MADE), "paid": json.dumps(PAID), "entries": entries})


def manage(dsn: str, *arguments: object, **environment: str) -> None:
    with started(dsn, *arguments, **environment) as process:
        if process.wait():
            raise SystemExit(f"{arguments[0]} failed")


def started(dsn: str, *arguments: object, **environment: str) -> "subprocess.Popen[bytes]":
    known = {**os.environ, "DATABASE_URL": dsn, "HISTORY_DATABASE": PROJECT, **environment}
    return subprocess.Popen([sys.executable, "-m", "tests.history.client", *map(str, arguments)], env=known)


def bring(project: str, events: psycopg.Connection[Any], target: dict[str, str], until: int | None) -> float:
    """Import, until so many events are stored or to the end; return how long it took."""
    begun = time.perf_counter()
    with started(project, "import_events", "--from", "auditlog", **target) as process:
        if until is not None:
            while process.poll() is None and events.execute(STORED).fetchone()[0] < until:  # type: ignore[index]
                time.sleep(0.05)
            process.kill()
        elif process.wait():
            raise SystemExit("import_events failed")
    return time.perf_counter() - begun


def expected(entry: dict[str, Any], actor: str) -> dict[str, Any]:
    """Return what an entry's event has to say."""
    typed = {name: [value_of(name, text) for text in pair] for name, pair in entry["changes"].items()}
    if entry["action"]:
        told: dict[str, Any] = {"changes": typed, "diff_source": "auditlog"}
    else:
        told = {"fields": {name: new for name, (_, new) in typed.items()}}
    imported = {"from": "auditlog", "table": "auditlog_logentry", "pk": entry["id"]}
    return {
        "object_id": entry["object_pk"],
        "occurred_at": entry["timestamp"],
        "action": ["created", "updated"][entry["action"]],
        "actor": actor,
        "pk": str(entry["id"]),
        "data": {**told, "ip": str(entry["remote_addr"]), "imported": imported},
        "correlation_id": entry["cid"],
    }


def value_of(name: str, text: str) -> Any:
    if text == "None":
        return None
    return text == "True" if name == "paid" else text


def rows(dsn: str, query: str) -> Iterator[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection, connection.cursor("rows") as cursor:
        cursor.itersize = 5_000
        yield from cursor.execute(query)


def compare(project: str, events: str) -> int:
    """Return how many entries are there as they should be; fail at the first that isn't, or is there twice."""
    with psycopg.connect(project) as connection:
        actor = f"auth.User/{connection.execute('SELECT min(id) FROM auth_user').fetchone()[0]}"  # type: ignore[index]
    number = 0
    for entry, event in zip(rows(project, ENTRIES), rows(events, EVENTS), strict=True):
        if expected(entry, actor) != event:
            raise SystemExit(f"{expected(entry, actor)} became {event}")
        number += 1
    return number


def measure(folder: Path, entries: int) -> bool:
    with EmbeddedPostgres(folder) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(PROJECT)))
        project = make_conninfo(server.dsn, dbname=PROJECT)
        fill(project, entries)
        with service(server.dsn, folder) as (port, key), psycopg.connect(server.dsn, autocommit=True) as events:
            target = {"HELIOGRAPH_URL": f"http://127.0.0.1:{port}", "HELIOGRAPH_KEY": key}
            stored, rates = 0, []
            for part in (*KILLED_AT, None):
                elapsed = bring(project, events, target, None if part is None else int(part * entries))
                there = events.execute(STORED).fetchone()[0]  # type: ignore[index]
                read = entries if part is None else there
                told = {"read": read, "stored": there - stored, "seconds": round(elapsed, 1)}
                print(json.dumps({**told, "read_a_second": round(read / elapsed)}), flush=True)
                rates.append(read / elapsed)
                stored = there
            equal = compare(project, server.dsn)
    print(f"{equal:,} of {entries:,} entries are there once, equal in all that they say")
    print(f"{rates[0]:,.0f} entries a second at first, {rates[-1]:,.0f} at last (at least {LEAST_RATE:,})")
    return equal == entries and min(rates[0], rates[-1]) >= LEAST_RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        sys.exit(0 if measure(folder, arguments.entries) else 1)


if __name__ == "__main__":
    main()
