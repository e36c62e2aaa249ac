"""``manage.py import_events`` of a client project, whose history four packages have kept, to a live service."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
import urllib3
from backports import zstd
from django.core.management import call_command
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from emitter.event import uuid7
from service.events.models import Event
from tests import live
from tests.contract import tenants
from tests.contract.tenants import Tenant

ORDERS = 150
HISTORY = "history_client"


class Client:
    """A client project with a database on the tests' server."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def start(
        self, *arguments: object, tenant: Tenant | None = None, stdin: IO[bytes] | None = None
    ) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "DATABASE_URL": self.dsn,
            "HISTORY_DATABASE": HISTORY,
            "HELIOGRAPH_URL": tenant.url if tenant else "",
            "HELIOGRAPH_KEY": tenant.write_key if tenant else "",
        }
        command = [sys.executable, "-m", "tests.history.client", *map(str, arguments)]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=live.ROOT, env=environment, stdin=stdin, text=True, **output)  # type: ignore[call-overload,no-any-return]

    def run(
        self, *arguments: object, tenant: Tenant | None = None, stdin: IO[bytes] | None = None
    ) -> tuple[int, str, str]:
        process = self.start(*arguments, tenant=tenant, stdin=stdin)
        said, complained = process.communicate(timeout=120)
        return process.returncode, said, complained

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def client(django_db_setup: None) -> Iterator[Client]:
    """Return a client project whose packages have noted `ORDERS` orders, made and paid."""
    server = live.database_address()
    with psycopg.connect(make_conninfo(server, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {HISTORY}")
        connection.execute(f"CREATE DATABASE {HISTORY}")
        made = Client(make_conninfo(server, dbname=HISTORY))
        code, _, complained = made.run("make", ORDERS)
        assert code == 0, complained
        yield made
        connection.execute(f"DROP DATABASE {HISTORY} WITH (FORCE)")


def stored(tenant: Tenant) -> int:
    return Event.objects.filter(project_id=tenant.id).count()


def kill_once_there_are(number: int, process: "subprocess.Popen[str]", tenant: Tenant) -> None:
    live.eventually(lambda: stored(tenant) >= number or process.poll() is not None)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "It had ended by itself before it could be killed."


def test_an_import_that_is_killed_twice_brings_each_entry_once(tenant: Tenant, client: Client) -> None:
    importing = ("import_events", "--from", "auditlog", "--batch-size", 4)
    for number in (30, 100):
        kill_once_there_are(number, client.start(*importing, tenant=tenant), tenant)
    code, said, complained = client.run(*importing, tenant=tenant)

    entries = {each["id"]: each for each in client.rows("SELECT * FROM auditlog_logentry")}
    events = list(Event.objects.filter(project_id=tenant.id).order_by("id"))
    assert (code, complained) == (0, "")
    assert len(entries) == len(events) == 2 * ORDERS
    assert f"{2 * ORDERS:,} entries" in said
    assert "0 left out, 0 refused" in said
    assert [event.data["imported"]["pk"] for event in events] == sorted(entries)
    for event in events:
        entry = entries[event.data["imported"]["pk"]]
        assert event.object_id == entry["object_pk"]
        assert event.occurred_at == entry["timestamp"]
        assert event.action == ["created", "updated"][entry["action"]]
        if event.action == "updated":
            assert event.data["changes"] == {"status": ["new", "paid"], "paid": [False, True]}
        else:
            assert event.data["fields"]["number"] == entry["changes"]["number"][1]


@pytest.mark.parametrize(
    ("package", "tables"),
    [
        ("simple_history", "SELECT history_id AS id FROM store_historicalorder"),
        ("easyaudit", "SELECT id FROM easyaudit_crudevent"),
        ("pghistory", "SELECT pgh_id AS id FROM store_orderevent"),
    ],
)
def test_each_package_is_brought_whole_and_orders_are_as_they_were(
    tenant: Tenant, client: Client, package: str, tables: str
) -> None:
    code, said, complained = client.run("import_events", "--from", package, tenant=tenant)

    entries = {each["id"] for each in client.rows(tables)}
    events = list(Event.objects.filter(project_id=tenant.id).order_by("id"))
    assert (code, complained) == (0, "")
    assert "0 there already, 0 left out, 0 refused" in said
    assert len(events) == len(entries) == 2 * ORDERS
    assert {event.data["imported"]["pk"] for event in events} == entries
    order = client.rows("SELECT * FROM store_order ORDER BY id DESC LIMIT 1")[0]
    state = urllib3.request(
        "GET",
        f"{tenant.url}/api/v1/objects/store.Order/{order['id']}/state/",
        headers={"Authorization": f"Bearer {tenant.read_key}"},
    ).json()
    assert (state["exists"], state["complete"]) == (True, True)
    assert state["fields"].items() >= {"number": order["number"], "status": "paid", "paid": True}.items()


@pytest.fixture
def three_are_old(client: Client) -> Iterator[None]:
    old = "id IN (SELECT id FROM auditlog_logentry ORDER BY id LIMIT 3)"
    client.rows(f"UPDATE auditlog_logentry SET timestamp = timestamp - interval '9000 days' WHERE {old} RETURNING id")
    yield
    client.rows(f"UPDATE auditlog_logentry SET timestamp = timestamp + interval '9000 days' WHERE {old} RETURNING id")


@pytest.mark.usefixtures("three_are_old")
def test_what_is_older_than_the_service_keeps_is_counted_and_said(tenant: Tenant, client: Client) -> None:
    code, said, complained = client.run("import_events", "--from", "auditlog", tenant=tenant)

    assert code == 1
    assert "3 (id_out_of_range), such as: It is of " in said
    assert "of this project the last 365 days are taken" in said
    assert "3 entries were refused" in complained
    assert stored(tenant) == 2 * ORDERS - 3


def test_a_key_that_may_not_write_ends_it_at_once(tenant: Tenant, client: Client) -> None:
    code, _, complained = client.run(
        "import_events", "--from", "auditlog", tenant=Tenant(**{**vars_of(tenant), "write_key": tenant.read_key})
    )

    assert code == 1
    assert "answered 403" in complained
    assert "Run the command again" in complained
    assert stored(tenant) == 0


def exported(tenant: Tenant, **filters: str) -> bytes:
    answer = urllib3.request(
        "GET",
        f"{tenant.url}/api/v1/events/export/",
        fields={"ordering": "id", **filters},
        headers={"Authorization": f"Bearer {tenant.read_key}"},
    )
    assert answer.status == 200, answer.data
    return answer.data


def without_receipt(export: bytes) -> list[dict[str, Any]]:
    """Return what an export tells of events, as the texts of their attributes, but for when they arrived."""
    lines = [msgspec.json.decode(line, type=dict[str, msgspec.Raw]) for line in export.splitlines()]
    return [{name: bytes(raw) for name, raw in line.items() if name != "recordedtime"} for line in lines]


@pytest.fixture
def archive(tenant: Tenant) -> bytes:
    """Return an export of events of all kinds, with what only another producer says."""
    now = datetime.now(UTC)
    common = {"specversion": "1.0", "source": "/a", "time": now.isoformat()}
    events: list[dict[str, Any]] = [
        *({**common, "id": f"foreign-{number % 7}", "source": f"/{number}", "type": "t.t"} for number in range(50)),
        {**common, "id": str(uuid7()), "type": "t.exact", "data": msgspec.Raw(b'{"a":1.10,"b":12345678901234567}')},
        {**common, "id": str(uuid7()), "type": "t.extended", "comexampleext": "kept", "number": 7, "data": ["x", None]},
        {
            **common,
            "id": str(uuid7()),
            "type": "django.db.models.signals.post_save",
            "sender": "shop.Order",
            "subject": "shop.Order/1",
            "action": "created",
            "actor": "auth.User/7",
            "outcome": "committed",
            "correlationid": "c1",
            "causationid": str(uuid7()),
            "emitterid": str(uuid4()),
            "sequence": "184",
            "traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01",
            "data": {"fields": {"name": "Zoë \U0001f600"}},
        },
        {**common, "id": str(uuid7()), "type": "t.text", "subject": "elsewhere", "data_base64": "AAEC"},
    ]
    answer = urllib3.request(
        "POST",
        f"{tenant.url}/api/v1/events/",
        body=msgspec.json.encode(events),
        headers={"Authorization": f"Bearer {tenant.write_key}", "Content-Type": "application/cloudevents-batch+json"},
    )
    assert answer.json()["accepted"] == len(events), answer.data
    return exported(tenant)


def test_an_archive_of_the_operators_is_brought_to_another_project(
    tenant: Tenant, client: Client, archive: bytes, tmp_path: Path
) -> None:
    file, elsewhere = tmp_path / "events.ndjson.zst", tenants.make(tenant.url, "elsewhere")

    call_command("export_events", "contract", str(file), stdout=io.StringIO())
    code, _, complained = client.run("import_events", "--from", "ndjson", "--file", file, tenant=elsewhere)

    assert (code, complained) == (0, "")
    assert without_receipt(exported(elsewhere)) == without_receipt(archive)


@pytest.mark.parametrize("place", [0.01, 0.5, 0.99])
def test_of_an_archive_that_is_damaged_nothing_wrong_is_brought(
    tenant: Tenant, client: Client, archive: bytes, place: float, tmp_path: Path
) -> None:
    file, elsewhere = tmp_path / "events.zst", tenants.make(tenant.url, "elsewhere")
    damaged = bytearray(zstd.compress(archive, options={zstd.CompressionParameter.checksum_flag: 1}))
    damaged[int(place * len(damaged))] ^= 0x55
    file.write_bytes(damaged)

    code, _, complained = client.run("import_events", "--from", "ndjson", "--file", file, tenant=elsewhere)

    assert code == 1
    assert "can't be read" in complained
    whole = {bytes(line["id"]) for line in without_receipt(archive)}
    assert {bytes(line["id"]) for line in without_receipt(exported(elsewhere))} <= whole


@pytest.mark.parametrize("form", ["plain", "zstd", "incoming"])
def test_an_archive_loses_nothing_in_another_project(
    tenant: Tenant, client: Client, archive: bytes, form: str, tmp_path: Path
) -> None:
    file, elsewhere = tmp_path / ("export.zst" if form == "zstd" else "export"), tenants.make(tenant.url, "elsewhere")
    file.write_bytes(zstd.compress(archive) if form == "zstd" else archive)
    name = "-" if form == "incoming" else str(file)

    for _ in range(2):
        with file.open("rb") as stdin:
            options = ("import_events", "--from", "ndjson", "--file", name, "--batch-size", 20)
            code, said, complained = client.run(*options, tenant=elsewhere, stdin=stdin)
        assert (code, complained) == (0, "")
    assert "54 entries: 0 stored, 54 there already, 0 left out, 0 refused." in said
    assert without_receipt(exported(elsewhere)) == without_receipt(archive)


def test_a_span_of_an_archive_is_the_one_that_the_service_would_give(
    tenant: Tenant, client: Client, archive: bytes, tmp_path: Path
) -> None:
    lines = [msgspec.json.decode(line) for line in archive.splitlines()]
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)
    for number, line in enumerate(lines):
        line["time"], line["id"] = (first + number % 9 * timedelta(days=1)).isoformat(), f"n-{number}"
    (tmp_path / "export").write_bytes(b"\n".join(map(msgspec.json.encode, lines)))

    days = [first + each * timedelta(days=1) for each in range(9)]
    span = ("--since", days[2].isoformat(), "--until", days[4].isoformat())
    elsewhere = tenants.make(tenant.url, "elsewhere")
    code, _, _ = client.run("import_events", "--from", "ndjson", "--file", tmp_path / "export", *span, tenant=elsewhere)
    assert code == 0
    assert {datetime.fromisoformat(event["time"]) for event in elsewhere.events()} == {days[2], days[3]}
    assert len(elsewhere.events()) == 12


def test_lines_that_are_no_events_are_counted_and_named(tenant: Tenant, client: Client, tmp_path: Path) -> None:
    good = {"specversion": "1.0", "source": "/a", "type": "t", "id": str(uuid7())}
    other = msgspec.json.encode({**good, "id": str(uuid7())})
    lines = [msgspec.json.encode(good), b"", b"[]", other[:-9], other.replace(b"/a", b"/\xff")]
    (tmp_path / "export").write_bytes(b"\n".join(lines))

    code, said, complained = client.run(
        "import_events", "--from", "ndjson", "--file", tmp_path / "export", tenant=tenant
    )
    assert code == 1
    assert "4 entries: 1 stored, 0 there already, 0 left out, 3 refused." in said
    assert "3 (unreadable_line), such as: Line 3 is no event" in said
    assert "3 entries were refused" in complained


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("nothing", None, "nothing can't be read: [Errno 2]"),
        ("cut.zst", zstd.compress(bytes(range(256)) * 99)[:-9], "cut.zst can't be read"),
        ("plain.zst", b"{}", "plain.zst can't be read"),
    ],
)
def test_a_file_that_can_not_be_read_is_said(
    client: Client, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    code, _, complained = client.run("import_events", "--from", "ndjson", "--file", tmp_path / name, "--dry-run")
    assert code == 1
    assert told in complained
    assert "Traceback" not in complained


def vars_of(tenant: Tenant) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in Tenant.__slots__}
