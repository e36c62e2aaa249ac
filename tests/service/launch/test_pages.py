"""The pages on operations, carried out as written: each block of commands, in a checkout of its own, in order."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import psycopg
import pytest

from service.launch.postgres import EmbeddedPostgres
from tests import live
from tests.service.launch.conftest import NOT_PASSED_ON, Up

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SQL = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)
START = re.compile(r"\.venv/bin/python manage\.py (.*)")
ADDRESS_OF_YOURS = "postgresql://heliograph:secret@db.internal:5432/heliograph"


class Checkout(Up):
    """A checkout with the data of an installation, in which the blocks of a page are run one after the other."""

    def __init__(self, folder: Path, installation: Path, page: str, **filled_in: str) -> None:
        super().__init__(folder)
        self.folder = folder
        shutil.copytree(live.ROOT / "service", folder / "service", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(live.ROOT / "manage.py", folder)
        (folder / ".venv").symlink_to(sys.prefix)
        shutil.copy(live.ROOT / "Makefile", folder)
        # As on a machine that had none; it only notes what it is to do, which would change what the tests run in.
        uv = folder / ".uv" / "bin" / "uv"
        uv.parent.mkdir(parents=True)
        uv.write_text('#!/bin/sh\necho uv "$@" >> uv.log\n')
        uv.chmod(0o755)
        subprocess.run(["cp", "-a", installation, self.var_dir], check=True)
        text = (live.ROOT / "docs" / "how-to" / page).read_text()
        for placeholder, value in filled_in.items():
            assert placeholder in text
            text = text.replace(placeholder, value)
        self.blocks = BLOCK.findall(text)
        self.sql = SQL.findall(text)
        self.environment = {
            name: value for name, value in os.environ.items() if name not in {*NOT_PASSED_ON, "VAR_DIR"}
        }
        self.environment |= {"PORT": str(self.port), "WEB_WORKERS": "1"}
        without_uv = [each for each in os.environ["PATH"].split(":") if not Path(each, "uv").exists()]
        self.environment["PATH"] = ":".join(without_uv)

    def launch(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", *(arguments or ("up",))],
                cwd=self.folder,
                env=self.environment | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def run_next(self) -> None:
        """Run the next block in a shell and keep what it exports; what starts something is left running."""
        block = self.blocks.pop(0)
        if started := START.fullmatch(block.strip()):
            self.launch(*started[1].split())
            self.wait_for("Ctrl-C stops it.")
            self.note_members()
            return
        script = f"set -eu\n{block}\npython3 -c 'import json, os; print(json.dumps(dict(os.environ)))' >&3"
        read, write = os.pipe()
        done = subprocess.run(
            ["bash", "-c", f"exec 3>&{write}\n{script}"],
            cwd=self.folder,
            env=self.environment,
            pass_fds=[write],
            capture_output=True,
            text=True,
            check=False,
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            exported = pipe.read()
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        self.environment = json.loads(exported)

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def stop(self) -> None:
        assert self.interrupt() == 0, self.said()
        self.until_gone()


class Client:
    """Sends as an emitter does: each event again until it is acknowledged."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self.acknowledged: list[str] = []
        self.refused = 0  # or no answer
        self.ended = threading.Event()

    def __enter__(self) -> "Client":
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join(60)

    def work(self) -> None:
        while not self.ended.is_set():
            self.send()

    def send(self, count: int = 1) -> None:
        for _ in range(count):
            name = f"event-{len(self.acknowledged)}"
            while not self.is_taken(name):
                self.refused += 1
                self.ended.wait(0.02)
            self.acknowledged.append(name)

    def is_taken(self, name: str) -> bool:
        now = datetime.now(UTC).isoformat()
        event = {"specversion": "1.0", "id": name, "source": "/till", "type": "sold", "time": now}
        try:
            return self.call("events/", event)[0] in {200, 201}
        except (OSError, http.client.HTTPException):
            return False

    def call(self, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        address = urljoin(f"{self.url}/api/v1/", path)
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=30) as response:
            return response.status, json.load(response)

    def ids(self) -> list[str]:
        """Return the ids of all events that the service has, page by page."""
        found, page = [], "events/?type=sold&page_size=100"
        while page:
            _, told = self.call(page)
            found += [event["id"] for event in told["results"]]
            page = told["next"]
        return found

    def counted(self) -> int:
        """Return how many events the service has counted."""
        _, told = self.call("stats/top/?by=type")
        return sum(each["count"] for each in told["results"] if each["value"] == "sold")

    def check(self) -> None:
        """All that was acknowledged is there, once, and counted once."""
        assert sorted(self.ids()) == sorted(self.acknowledged)
        assert self.counted() == len(self.acknowledged)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, as the path of a socket has to be."""
    with tempfile.TemporaryDirectory(prefix="hg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def checkouts(folder: Path, installation: Path) -> Iterator[Any]:
    made: list[Checkout] = []

    def make(page: str, **filled_in: str) -> Checkout:
        made.append(Checkout(folder, installation, page, **filled_in))
        return made[-1]

    yield make
    for checkout in made:
        if checkout.process.poll() is None:
            checkout.note_members()
        checkout.kill_all()


def client_of(checkout: Checkout) -> Client:
    key = checkout.manage("create_key", "default", "--scopes", "events:write,events:read")
    return Client(checkout.url, key)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_dump_and_a_base_backup_bring_all_back(checkouts: Any, is_lost: bool) -> None:
    checkout = checkouts("backup.md")
    checkout.start()
    client = client_of(checkout)
    client.send(20)

    checkout.run_next()  # where things are
    checkout.run_next()  # the dump
    client.send(3)  # lost, as the page says
    checkout.stop()
    if is_lost:
        shutil.rmtree(checkout.var_dir)
    checkout.run_next()
    checkout.run_next()
    assert "nothing else" in checkout.said()
    checkout.run_next()
    checkout.stop()
    checkout.start()

    del client.acknowledged[20:]
    client.check()
    client.send(5)
    client.check()

    checkout.run_next()  # the base backup
    client.send(3)
    checkout.stop()
    if is_lost:
        shutil.rmtree(checkout.var_dir)
    checkout.run_next()
    checkout.start()

    del client.acknowledged[25:]
    client.check()
    assert checkout.blocks == []


def run_sql(server: EmbeddedPostgres, statements: str) -> None:
    """Run each of ``statements`` as the superuser."""
    address = server.dsn.replace("heliograph@/heliograph", "postgres@/postgres")
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(statement)


def test_a_dump_is_restored_to_a_postgres_of_yours(checkouts: Any, folder: Path) -> None:
    with EmbeddedPostgres(folder / "yours", {"fsync": "off"}) as yours:
        checkout = checkouts("backup.md")
        make_dump, restore = checkout.blocks[1], checkout.blocks[4]
        checkout.environment |= {"DATABASE_URL": yours.dsn}
        checkout.start()
        client = client_of(checkout)
        client.send(20)

        checkout.run_next()  # where things are
        checkout.environment |= {"DATABASE": yours.dsn}
        checkout.blocks = [make_dump, restore]
        checkout.run_next()
        client.send(3)
        checkout.stop()
        run_sql(yours, checkout.sql[0])
        checkout.run_next()
        checkout.start()

        del client.acknowledged[20:]
        client.check()
        assert (checkout.folder / "heliograph.dump").stat().st_mode & 0o077 == 0
        checkout.stop()


def commit(folder: Path, words: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
    for arguments in (
        ["init", "--quiet"],
        ["add", "--all", "service", "manage.py"],
        ["commit", "--quiet", "-m", words],
    ):
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


NEXT = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = {leaf!r}
    operations = [migrations.RunSQL("ALTER TABLE event ADD next_version text; SELECT pg_sleep(1)", "")]
"""


def test_an_upgrade_loses_nothing_that_arrives_meanwhile_and_stores_nothing_twice(
    checkouts: Any, tmp_path: Path
) -> None:
    checkout = checkouts("upgrade.md")
    commit(checkout.folder, "old")
    subprocess.run(["git", "clone", "--quiet", checkout.folder, tmp_path / "next"], check=True)
    migrations = tmp_path / "next" / "service" / "events" / "migrations"
    newest = max(path.stem for path in migrations.glob("0*.py"))
    (migrations / "9999_next.py").write_text(NEXT.format(leaf=[("events", newest)]))
    commit(tmp_path / "next", "new")
    for arguments in (["remote", "add", "origin", tmp_path / "next"], ["fetch", "--quiet", "origin"]):
        subprocess.run(["git", *arguments], cwd=checkout.folder, check=True)
    branch = subprocess.run(
        ["git", "branch", "--show-current"], cwd=checkout.folder, check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(["git", "branch", "--quiet", "-u", f"origin/{branch}"], cwd=checkout.folder, check=True)
    checkout.start()

    with client_of(checkout) as client:
        live.eventually(lambda: len(client.acknowledged) > 20)
        checkout.run_next()
        checkout.stop()
        checkout.run_next()
        before = len(client.acknowledged)
        live.eventually(lambda: len(client.acknowledged) > before + 20)

    assert "Applying 1 migrations" in checkout.said()
    assert client.refused > 0
    client.check()
    assert (checkout.folder / "uv.log").read_text() == "uv sync --locked\n"
    assert checkout.blocks == []


def test_all_moves_to_a_postgres_of_yours(checkouts: Any, folder: Path) -> None:
    with EmbeddedPostgres(folder / "yours", {"fsync": "off"}) as yours:
        checkout = checkouts("own-postgres.md", **{ADDRESS_OF_YOURS: yours.dsn})
        run_sql(yours, "DROP DATABASE heliograph; DROP ROLE heliograph")
        run_sql(yours, checkout.sql[0])
        checkout.start()
        client = client_of(checkout)
        client.send(20)

        checkout.run_next()
        checkout.stop()
        checkout.run_next()
        checkout.run_next()
        checkout.stop()
        checkout.run_next()
        checkout.run_next()  # the old data is gone

        assert not (checkout.var_dir / "postgres").exists()
        client.check()
        client.send(5)
        client.check()
        assert checkout.blocks == []
        checkout.stop()


def test_what_the_old_secret_key_signed_holds_until_it_is_forgotten(checkouts: Any) -> None:
    checkout = checkouts("secrets.md")
    checkout.start()
    client = client_of(checkout)
    client.send(5)
    _, first = client.call("events/?type=sold&page_size=2")
    old = (checkout.var_dir / "secret_key").read_text()

    checkout.run_next()
    checkout.stop()
    checkout.run_next()

    assert (checkout.var_dir / "secret_key").read_text() != old
    _, second = client.call(first["next"])
    assert len(second["results"]) == 2
    checkout.run_next()
    checkout.stop()
    checkout.start()

    assert len(client.call(second["next"])[1]["results"]) == 1
    with pytest.raises(urllib.error.HTTPError, match="400"):
        client.call(first["next"])
    assert checkout.blocks == []


def test_the_password_of_the_database_is_changed_without_losing_anything(checkouts: Any, folder: Path) -> None:
    with EmbeddedPostgres(folder / "yours", {"fsync": "off"}) as yours:
        (yours.data_dir / "pg_hba.conf").write_text("local all heliograph scram-sha-256\nlocal all all trust\n")
        run_sql(yours, "ALTER ROLE heliograph PASSWORD 'secret'; SELECT pg_reload_conf()")
        checkout = checkouts("secrets.md")
        checkout.environment |= {"DATABASE_URL": yours.dsn.replace("heliograph@", "heliograph:secret@")}
        checkout.start()
        with client_of(checkout) as client:
            live.eventually(lambda: len(client.acknowledged) > 5)
            run_sql(yours, checkout.sql[0])
            checkout.stop()
            checkout.environment |= {"DATABASE_URL": yours.dsn.replace("heliograph@", "heliograph:another@")}
            checkout.start()
            before = len(client.acknowledged)
            live.eventually(lambda: len(client.acknowledged) > before + 5)

        client.check()
        checkout.stop()
