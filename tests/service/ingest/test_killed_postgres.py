"""Postgres is killed right after it was told that events are stored: each of them is there when it comes back."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
import urllib3
from django.db import connection
from django.utils import timezone

from service.events import operations
from service.events.operations import Row
from service.launch.postgres import EmbeddedPostgres
from service.projects.models import Project
from tests import live
from tests.service.cast import EVENTS, event, uuid7

# What a killed server has given to the system is kept, so fsync is of no account; what it has only acknowledged is not.
OPTIONS = {"fsync": "off", "synchronous_commit": "off", "wal_writer_delay": "10s", "shared_buffers": "16MB"}
SENDERS = 8


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """Start a server whose transactions wait for no disk, unless they ask for it: as some are set up."""
    with tempfile.TemporaryDirectory(prefix="heliograph-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # root's server runs as another account
        with EmbeddedPostgres(Path(folder), OPTIONS) as postgres:
            yield postgres


def manage(server: EmbeddedPostgres, *arguments: str) -> str:
    own = {"DATABASE_URL": server.dsn, "DJANGO_SETTINGS_MODULE": "service.settings", "SECRET_KEY": "tests"}
    command = [sys.executable, "manage.py", *arguments]
    run = subprocess.run(command, cwd=live.ROOT, env=os.environ | own, check=True, capture_output=True, text=True)
    return run.stdout.strip()


def kill(server: EmbeddedPostgres) -> None:
    """Kill the server with all its processes, which are in sessions of their own."""
    assert server.process is not None
    for each in [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    server.process.wait()
    server.process = None


def test_what_was_acknowledged_outlives_a_killed_postgres(server: EmbeddedPostgres, tmp_path: Path, db: None) -> None:
    manage(server, "migrate", "-v0")
    key = manage(server, "create_key", "shop", "--scopes", "events:write", "--create")
    acknowledged: list[str] = []
    stopping = threading.Event()

    def send(url: str) -> None:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        with urllib3.connection_from_url(url, timeout=60, retries=False) as http:
            while not stopping.is_set():
                sent = event()
                if http.request("POST", EVENTS, body=json.dumps(sent), headers=headers).status == 201:
                    acknowledged.append(sent["id"])

    with live.service(tmp_path / "log", DATABASE_URL=server.dsn) as url, ThreadPoolExecutor(SENDERS) as pool:
        futures = [pool.submit(send, url) for _ in range(SENDERS)]
        live.eventually(lambda: len(acknowledged) >= 100, 60)
        kill(server)
        stopping.set()
        for future in futures:
            future.result(60)

    server.start()
    with psycopg.connect(server.dsn) as connection:
        stored = {str(each) for (each,) in connection.execute("SELECT id FROM event")}
        (statements,) = connection.execute("SELECT count(DISTINCT tx) FROM event_arrival").fetchone() or (0,)
    assert set(acknowledged) <= stored
    assert statements < len(stored)  # they did share commits


@pytest.mark.parametrize(
    ("setting", "meant"), [("off", "on"), ("local", "local"), ("on", "on"), ("remote_apply", "remote_apply")]
)
def test_events_are_committed_as_the_server_is_set_but_never_without_the_disk(
    setting: str, meant: str, project: Project
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('synchronous_commit', %s, true)", [setting])
        operations.store(project.pk, [Row(id=str(uuid7()), type="a", source="a", occurred_at=timezone.now())])
        cursor.execute("SHOW synchronous_commit")

        assert cursor.fetchone() == (meant,)
