"""The database goes away, and comes back: nothing is lost on the way, and nobody has to restart the service."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
import urllib3
from django.db import connection
from django.db.backends.signals import connection_created
from django.utils import timezone

from service.events import operations
from service.launch.postgres import EmbeddedPostgres
from service.projects.models import Project
from service.settings import database
from tests import live
from tests.service.cast import EVENTS, PROBLEM, Api, event, problem, uuid7

OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "16MB"}
FEW = {"max_connections": "20"}
DEFER = ["procrastinate", "defer", "--ignore-already-enqueued"]
END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid != pg_backend_pid()
"""


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="heliograph-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # root's server runs as another account
        with EmbeddedPostgres(Path(folder), OPTIONS | FEW) as postgres:
            yield postgres


def manage(server: EmbeddedPostgres, *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    run = subprocess.run(command, cwd=live.ROOT, env=environment(server), check=True, capture_output=True, text=True)
    return run.stdout.strip()


def environment(server: EmbeddedPostgres) -> dict[str, str]:
    own = {"DATABASE_URL": server.dsn, "DJANGO_SETTINGS_MODULE": "service.settings", "SECRET_KEY": "tests"}
    return os.environ | own


class Caller:
    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.http = urllib3.PoolManager(retries=False, timeout=30)

    def __call__(self, method: str, address: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body)
        return self.http.request(method, self.url + address, body=content, headers=self.headers)


def test_an_outage_is_told_and_survived(server: EmbeddedPostgres, tmp_path: Path, django_db_setup: None) -> None:
    manage(server, "migrate", "-v0")
    key = manage(server, "create_key", "shop", "--scopes", "events:write,events:read", "--create")
    first, second = event(), event()
    with live.service(tmp_path / "log", DATABASE_URL=server.dsn) as url:
        call = Caller(url, key)
        before = [call("POST", EVENTS, first).status for _ in range(8)]  # so that each thread has a connection

        server.stop()
        refused = [call("POST", EVENTS, second) for _ in range(8)]
        refused += [call("GET", EVENTS) for _ in range(8)] + [call("GET", f"{EVENTS}{uuid7()}/")]
        health, readiness = call("GET", "/healthz"), [call("GET", "/readyz") for _ in range(4)]

        server.start()
        after = [call("POST", EVENTS, second).status for _ in range(8)]
        listed = [each["id"] for each in call("GET", f"{EVENTS}?source=/shop/web").json()["results"]]
        ready = call("GET", "/readyz")

    assert before == [201, *[200] * 7]
    assert {(answer.status, answer.headers["Content-Type"]) for answer in refused} == {(503, PROBLEM)}
    assert {answer.json()["code"] for answer in refused} == {"database_unavailable"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert health.status == 200
    assert {answer.status for answer in readiness} == {503}
    assert readiness[0].json()["checks"]["database"] == "unreachable"
    assert after == [201, *[200] * 7]
    assert sorted(listed) == sorted([first["id"], second["id"]])
    assert (ready.status, ready.json()["status"]) == (200, "ok")


def test_connections_that_ended_unseen_are_made_anew(
    server: EmbeddedPostgres, tmp_path: Path, django_db_setup: None
) -> None:
    """As after a restart or a failover, with key and quota remembered, so that nothing else asks Postgres before."""
    manage(server, "migrate", "-v0")
    key = manage(server, "create_key", "shop", "--scopes", "events:write", "--create")
    large = [event(data="x" * 10_000) for _ in range(9)]
    first, second = event(), event()
    with live.service(tmp_path / "log", DATABASE_URL=server.dsn) as url:
        call = Caller(url, key)
        statuses = []
        for body, address in [(first, EVENTS), (second, EVENTS), (large, EVENTS), (second, f"{EVENTS}?dry_run=true")]:
            assert {call("POST", EVENTS, each).status for each in 4 * [first, large]} <= {200, 201}
            with psycopg.connect(server.dsn, autocommit=True) as admin:
                admin.execute(END_OTHERS)
            statuses.append([call("POST", address, body).status for _ in range(4)])

    assert statuses == [[200] * 4, [201, 200, 200, 200], [200] * 4, [200] * 4]


@pytest.fixture
def held(transactional_db: None) -> Iterator[dict[str, Any]]:
    """Return an event that a transaction of somebody else's has stored and doesn't commit."""
    whole = event()
    with psycopg.connect(live.database_address()) as other:
        document = json.dumps([{**whole, "occurred_at": str(timezone.now())}])
        other.execute("SELECT store_events(%s, %s)", [Project.objects.get().pk, document])
        yield whole
        other.rollback()


def test_a_statement_that_waits_too_long_is_ended_and_told_as_an_outage(
    api: Api, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "LONGEST", 0.2)
    connection.close()
    connection_created.connect(operations.end_late_statements)
    try:
        answer = api.send(held)
    finally:
        connection_created.disconnect(operations.end_late_statements)
        connection.close()

    problem(answer, 503, "database_unavailable")
    assert api.send(event()).status_code == 201


@pytest.mark.parametrize(("given", "limit"), [("", "30s"), ("?options=-cstatement_timeout%3D7s", "7s")])
def test_a_web_process_lets_no_statement_wait_without_end(given: str, limit: str, django_db_setup: None) -> None:
    program = (
        "import service.asgi; from django.db import connection; cursor = connection.cursor(); "
        "cursor.execute('SHOW statement_timeout'); print(cursor.fetchone()[0])"
    )
    own = {"DATABASE_URL": os.environ["DATABASE_URL"] + given.replace("?", "&"), "SECRET_KEY": "tests"}

    run = subprocess.run(
        [sys.executable, "-c", program], cwd=live.ROOT, env=os.environ | own, check=True, capture_output=True, text=True
    )

    assert run.stdout.strip() == limit


def test_how_long_a_kept_connection_is_waited_for_is_set_unless_told() -> None:
    usual = database("postgresql://user@host/name")["OPTIONS"]
    told = database("postgresql://user@host/name?tcp_user_timeout=1000&keepalives=0")["OPTIONS"]

    assert (usual["tcp_user_timeout"], usual["connect_timeout"]) == (5000, 3)
    assert told == usual | {"tcp_user_timeout": "1000", "keepalives": "0"}


@pytest.fixture
def taken(server: EmbeddedPostgres) -> Iterator[ExitStack]:
    """Connections that a test takes from the service."""
    with ExitStack() as connections:
        yield connections


def test_connections_that_are_all_taken_are_told_as_an_outage(
    server: EmbeddedPostgres, taken: ExitStack, tmp_path: Path, django_db_setup: None
) -> None:
    manage(server, "migrate", "-v0")
    key = manage(server, "create_key", "shop", "--scopes", "events:write", "--create")
    with live.service(tmp_path / "log", DATABASE_URL=server.dsn) as url:
        call = Caller(url, key)
        admin = taken.enter_context(psycopg.connect(server.dsn, autocommit=True))
        admin.execute(END_OTHERS)
        with pytest.raises(psycopg.OperationalError, match=r"remaining connection slots|too many clients"):
            while True:
                taken.enter_context(psycopg.connect(server.dsn))
        refused = [call("POST", EVENTS, event()) for _ in range(12)]

        taken.close()
        after = call("POST", EVENTS, event())

    assert {(answer.status, answer.json()["code"]) for answer in refused} == {(503, "database_unavailable")}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert after.status == 201


def do_a_job(server: EmbeddedPostgres) -> None:
    """Have the worker do a job of those that it does each minute."""
    manage(server, *DEFER, "service.retention.tasks.remove", '{"timestamp": 0}')
    live.eventually(lambda: jobs_left(server) == set())


def jobs_left(server: EmbeddedPostgres) -> set[str]:
    with psycopg.connect(server.dsn) as asking:
        return {status for (status,) in asking.execute("SELECT status FROM procrastinate_jobs").fetchall()}


def test_the_worker_goes_on_when_the_database_was_away_for_long(
    server: EmbeddedPostgres, tmp_path: Path, django_db_setup: None
) -> None:
    manage(server, "migrate", "-v0")
    log = tmp_path / "log"
    with log.open("wb") as output:
        own = environment(server)
        worker = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=live.ROOT, env=own, stderr=output)
    try:
        do_a_job(server)

        server.stop()
        live.eventually(lambda: "is started again" in log.read_text(), 60)
        server.start()
        do_a_job(server)

        worker.terminate()
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()


def test_the_worker_ends_when_it_is_told_to_while_the_database_is_away(
    server: EmbeddedPostgres, django_db_setup: None
) -> None:
    manage(server, "migrate", "-v0")
    command = [sys.executable, "manage.py", "worker"]
    worker = subprocess.Popen(command, cwd=live.ROOT, env=environment(server))
    try:
        do_a_job(server)
        server.stop()
        worker.terminate()
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()
