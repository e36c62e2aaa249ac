"""Kill clients, relays and the service with -9 at random points: is stored exactly what was committed?

``python -m benchmarks.outbox_kill --transactions 20000 --rounds 50 --database default``; exit code 0 if it is.

One real service and one real project on one Postgres (embedded, durable), or the project on SQLite or MariaDB. In each
round a client makes its share of the transactions and is killed at a random one; another makes the rest. Meanwhile one
of the two relays is killed, and in each fifth round the service. The transactions commit, roll back, do both by
savepoints, or are none (autocommit, with HELIOGRAPH_OUTBOX_ATOMIC unless ``--bare`` leaves that out). Each writes rows
of unique names, so that the project's own table tells what was committed: each of its rows must have exactly one event
that tells it as a fact, and no event may tell as a fact what is not there.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.ingest import SETTINGS, free_port, wait_for
from service.launch import web
from service.launch.postgres import EmbeddedPostgres

PROJECT = "tests.outbox.settings"
LEASE = 2  # seconds: what a killed relay holds up
PATIENCE = 120  # seconds for the relays to send the rest
EVERY = 5  # rounds in one of which the service is killed
FACTS = ("committed", "autocommit")

Process = subprocess.Popen[str]


def client(database: str, name: str, count: int) -> None:
    """Make ``count`` transactions, and print a line before each."""
    import django

    django.setup()
    rng = random.Random(name)
    kinds = (committed, rolled_back, with_savepoints, in_autocommit)
    for number in range(count):
        print(number, flush=True)
        rng.choice(kinds)(database, f"{name}-{number}")


def create(database: str, name: str) -> None:
    from tests.outbox.store.models import Item

    Item.objects.using(database).create(name=name)


def committed(database: str, name: str) -> None:
    from django.db import transaction

    with transaction.atomic(using=database):
        for number in range(3):
            create(database, f"{name}-{number}")


def rolled_back(database: str, name: str) -> None:
    from django.db import transaction

    with transaction.atomic(using=database):
        create(database, name)
        transaction.set_rollback(True, using=database)


def with_savepoints(database: str, name: str) -> None:
    from django.db import transaction

    with transaction.atomic(using=database):
        create(database, f"{name}-before")
        savepoint = transaction.savepoint(using=database)
        create(database, f"{name}-inside")
        transaction.savepoint_rollback(savepoint, using=database)
        create(database, f"{name}-after")


def in_autocommit(database: str, name: str) -> None:
    create(database, name)


class Ordeal:
    """The processes of one run, and what is done to them."""

    def __init__(self, server: EmbeddedPostgres, folder: Path, database: str, *, bare: bool, seed: int) -> None:
        self.database = database
        self.rng = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.dead = ""  # letters, once all is sent
        self.port = free_port()
        self.dsn = server.dsn
        self.service_environment = {**os.environ, "DATABASE_URL": server.dsn, "VAR_DIR": str(folder)}
        self.service_environment["DJANGO_SETTINGS_MODULE"] = SETTINGS
        self.environment = {
            **os.environ,
            "DATABASE_URL": server.dsn,
            "DJANGO_SETTINGS_MODULE": PROJECT,
            "OUTBOX_FOLDER": str(folder),
            "OUTBOX_NAME": "outbox",
            "OUTBOX_URL": f"http://127.0.0.1:{self.port}",
            "OUTBOX_LEASE": str(LEASE),
            **({} if bare else {"OUTBOX_ATOMIC": "1"}),
        }
        if database != "mariadb":
            self.environment["TESTS_MARIADB"] = ""

    def prepare(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("CREATE DATABASE outbox")
        if self.database == "mariadb":
            self.environment |= mariadb_environment()
        migrate = ["migrate", "--run-syncdb", "--verbosity", "0", "--database", self.database]
        project = subprocess.Popen([sys.executable, "-m", "django", *migrate], env=self.environment)
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "--verbosity", "0"], env=self.service_environment, check=True)
        create_key = [*manage, "create_key", "kill", "--create", "--scopes", "events:write"]
        made = subprocess.run(create_key, env=self.service_environment, check=True, capture_output=True, text=True)
        self.environment["OUTBOX_KEY"] = made.stdout.strip()
        assert project.wait() == 0

    def start_service(self, *, is_awaited: bool = True) -> Process:
        command = web.command(web.Address(host="127.0.0.1", port=self.port), workers=1)
        process = subprocess.Popen(command, env=self.service_environment, start_new_session=True, text=True)
        if is_awaited:
            wait_for(self.port)
        return process

    def start_relay(self) -> Process:
        command = [sys.executable, "-m", "django", "heliograph_relay", "--database", self.database]
        return subprocess.Popen(
            command, env=self.environment, start_new_session=True, stderr=subprocess.DEVNULL, text=True
        )

    def kill(self, what: str, process: Process) -> None:
        self.kills[what] += 1
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def run(self, transactions: int, rounds: int) -> None:
        share = -(-transactions // rounds)
        relays = [self.start_relay(), self.start_relay()]
        service = self.start_service()
        try:
            for number in range(rounds):
                victim = self.rng.randrange(2)
                done = self.run_client(f"{number}a", share, self.rng.randrange(1, share))
                self.kill("relay", relays[victim])
                if number % EVERY == EVERY - 1 or rounds < EVERY:
                    self.kill("service", service)
                relays[victim] = self.start_relay()
                if service.poll() is not None:
                    service = self.start_service(is_awaited=False)  # the client goes on meanwhile
                self.run_client(f"{number}b", share - done)
                print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr)
            self.wait_until_sent()
        finally:
            for process in (*relays, service):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def run_client(self, name: str, count: int, end: int | None = None) -> int:
        """Return how many transactions a client has begun; it is killed at one of them."""
        command = [sys.executable, "-m", "benchmarks.outbox_kill", "--client", name]
        command += ["--transactions", str(count), "--database", self.database]
        process = subprocess.Popen(
            command, env=self.environment, start_new_session=True, stdout=subprocess.PIPE, text=True
        )
        begun = 0
        assert process.stdout is not None
        with process.stdout:
            for _ in process.stdout:
                begun += 1
                if begun == end:
                    time.sleep(self.rng.random() * 0.004)  # somewhere in the transaction
                    self.kill("client", process)
                    break
        assert process.wait() == (0 if end is None else -signal.SIGKILL)
        return begun

    def wait_until_sent(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while "waiting\t0" not in (left := self.outbox()):
            assert time.monotonic() < deadline, f"Not sent in {PATIENCE} s:\n{left}"
            time.sleep(0.5)
        self.dead = left.rstrip().rpartition("\t")[2]

    def outbox(self) -> str:
        command = [sys.executable, "-m", "django", "heliograph_outbox", "--database", self.database]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def rows(self) -> set[str]:
        """Return the names that the project's database holds."""
        script = (
            "import django, json; django.setup(); from tests.outbox.store.models import Item; "
            f"print(json.dumps(list(Item.objects.using({self.database!r}).values_list('name', flat=True))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], env=self.environment, check=True, capture_output=True, text=True
        )
        return set(json.loads(done.stdout))

    def verdict(self) -> dict[str, Any]:
        """Compare what the project has committed with what the service has stored."""
        rows = self.rows()
        with psycopg.connect(self.dsn) as connection:
            stored = connection.execute(
                "SELECT data #>> '{fields,name}', outcome FROM event WHERE action = 'created' AND sender = 'store.Item'"
            ).fetchall()
        facts = Counter(name for name, outcome in stored if outcome in FACTS)
        undone = {name for name, outcome in stored if outcome == "rolledback"}
        return {
            "database": self.database,
            "killed": dict(self.kills),
            "rows_committed": len(rows),
            "events_stored": len(stored),
            "told_as_rolled_back": len(undone),
            "missing": len(rows - facts.keys()),
            "twice": sum(count - 1 for count in facts.values()),
            "facts_that_are_none": len(facts.keys() - rows),
            "rolled_back_that_are_there": len(undone & rows),
            "dead": self.dead,
        }


def mariadb_environment() -> dict[str, str]:
    import pymysql

    from tests import mariadb

    settings = mariadb.database("outbox")
    assert settings is not None, "MariaDB is not on this machine"
    with pymysql.connect(unix_socket=settings["HOST"], user="root") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE outbox")
    return {mariadb.ADDRESS: settings["HOST"]}


@contextmanager
def ordeal(database: str, *, bare: bool, seed: int) -> Iterator[Ordeal]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        yield Ordeal(stack.enter_context(EmbeddedPostgres(folder)), folder, database, bare=bare, seed=seed)


def is_exact(verdict: dict[str, Any]) -> bool:
    names: Sequence[str] = ("missing", "twice", "facts_that_are_none", "rolled_back_that_are_there")
    return verdict["rows_committed"] > 0 and verdict["dead"] == "0" and not any(verdict[name] for name in names)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument(
        "--database", choices=["default", "sqlite", "mariadb"], default="default", help="of the project"
    )
    parser.add_argument("--bare", action="store_true", help="leave open the gap of autocommit, to see it")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client(options.database, options.client, options.transactions)
        return 0
    with ordeal(options.database, bare=options.bare, seed=options.seed) as made:
        made.prepare()
        started = time.monotonic()
        made.run(options.transactions, options.rounds)
        verdict = {"seed": options.seed, "transactions": options.transactions, **made.verdict()}
        verdict["seconds"] = round(time.monotonic() - started)
    print(json.dumps(verdict, indent=1))
    return 0 if is_exact(verdict) else 1


if __name__ == "__main__":
    sys.exit(main())
