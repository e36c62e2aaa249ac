"""Every statement of the service, and every table, is as Citus wants it. None is here: docs/how-to/scale-out.md."""

import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Set
from datetime import timedelta
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from pglast import parse_sql
from procrastinate.contrib.django import app

import service
from service.events import arrivals, looks, operations, partitions, records
from service.events.conditions import Criteria, Is
from service.events.models import Erasure
from service.events.operations import Row
from service.events.partitions import Month
from service.events.records import Record
from service.events.tail import Tail
from service.launch import distribution
from service.projects import operations as projects
from service.projects.models import Project, Scope
from service.retention import erasure
from service.retention import operations as retention
from service.stats import operations as counts
from tests import live
from tests.contract import rules
from tests.contract.test_openapi import OPERATIONS
from tests.contract.test_populated import ASKED, EMITTER, STREAMED, sent
from tests.service.cast import Api, event, uuid7
from tests.service.events import told
from tests.service.retention.test_expiry import gone_at

# The worker finds out which projects have something to be done; nobody waits for that.
WHICH_PROJECTS = re.compile(
    r'SELECT DISTINCT "(\w+)"."project_id" AS "project_id" FROM "\1"(?! *,| *JOIN)'
    r'|SELECT project_id FROM "event_\d{4}_\d\d" WHERE project_id > \$1 ORDER BY project_id LIMIT 1$'
)
# A text of ours that is a statement, or a part of one.
STATEMENT = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\s")
FILTERS = {
    "type": "t",
    "type__in": "t,u",
    "type__startswith": "t",
    "sender": "shop.Order",
    "sender__in": "shop.Order,shop.Tag",
    "action": "updated",
    "actor": "auth.User/7",
    "correlationid": "c",
    "causationid": "x",
    "traceid": "a" * 32,
    "emitterid": EMITTER,
    "source": "/shop",
    "changed": "status",
    "outcome": "committed",
    "object_id": "42",
    "q": "paid",
    "data.fields.total": "1",
    "time__gte": "2026-11-01T00:00:00Z",
}


class Sent(dict[str, str]):
    """The statements that were sent, each by itself with placeholders as Postgres has them; and what sent it first."""

    moment = ""

    def note(self, statement: Any, parameters: Any) -> None:
        text = statement if isinstance(statement, str) else statement.as_string()
        self.setdefault(rules.numbered(text, parameters), self.moment)


@pytest.fixture
def sent_by_service(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Note what passes through any cursor of Django's, `operations.binding_cursor` among them, on any connection."""
    noted, execute = Sent(), CursorWrapper._execute_with_wrappers

    def noting(self: CursorWrapper, sql: Any, params: Any, many: bool, executor: Callable[..., Any]) -> Any:
        noted.note(sql, params)
        return execute(self, sql, params, many, executor)

    monkeypatch.setattr(CursorWrapper, "_execute_with_wrappers", noting)
    return noted


def use_all(sent_by_service: Sent) -> None:
    """Use all of the service, in this process: each operation, each filter, each task, the tails, a month that goes."""
    project, other = Project.objects.create(name="full"), Project.objects.create(name="other")
    api = Api(key=projects.create_key(project, Scope.values, reads=[other]))
    filled = {"{key_id}": str(project.keys.get().pk)}
    sent_by_service.moment = "post"
    events = sent()
    filled["{id}"] = str(events[1]["id"])
    assert api.send(events).json()["accepted"] == len(events)
    dry = api.call("POST", "/api/v1/events/?dry_run=true", json.dumps([event()]).encode(), "application/json")
    assert dry.status_code == 200
    api.send(events[:3])
    long_ago = timezone.now() - timedelta(days=40)
    api.send([told.bulk("update", pks=[1, 2], count=2, values={"a": 1}), told.bulk("update", pks=[1], count=1)])
    api.send([event(id=str(uuid7(long_ago))), told.own("updated", 1) | {"actor": "auth.User/7"}])
    row = Row(id=str(uuid7()), type="t", source="/s", occurred_at=timezone.now())
    operations.store_all({project.pk: [row], other.pk: [row]})  # as what many send is stored together
    api.told(EMITTER, captured=9, lost={"queue_full": 2})
    for name, addresses in {**ASKED, "events_export": ["events/export/"]}.items():
        sent_by_service.moment = name
        for address in addresses:
            follow(api, "/api/v1/" + re.sub(r"\{\w+\}", lambda part: filled[part[0]], address))
    for name, value in FILTERS.items():
        sent_by_service.moment = f"filter {name}"
        for page in ("events/", "signals/", "stats/histogram/", "stats/top/", "events/export/", "emitters/"):
            answer = api.client.get(f"/api/v1/{page}", {name: value}, headers=api.headers())
            assert answer.status_code in {200, 400}
            b"".join(answer.streaming_content if answer.streaming else [])
    sent_by_service.moment = "tails"
    tail(project.pk)
    sent_by_service.moment = "probes"
    assert api.get("/readyz").status_code == 200
    sent_by_service.moment = "erasures"
    read = {"path": "/api/v1/objects/shop.Order/1/history/", "parameters": {}}
    recorded = records.row(Record.READ, "heliograph.Key/1", read)
    recorded.occurred_at = long_ago
    operations.store(project.pk, [recorded])
    for kind, subject in (("object", "shop.Order/1"), ("actor", "auth.User/7")):
        erasure.ask(project.pk, Erasure.Kind(kind), subject, "somebody")
    api.send(event(id=str(uuid7(long_ago))))
    Project.objects.filter(pk=project.pk).update(retention_days=1)
    for periodic in app.periodic_registry.periodic_tasks.values():
        api.send(event())
        sent_by_service.moment = f"task {periodic.task.name}"
        periodic.task.func(0)
    sent_by_service.moment = "task expire"
    oldest = min(partitions.existing())
    end = Month.of(oldest).next.start
    near = end - timedelta(minutes=1)
    rows = [Row(id=str(uuid7(near)), type="t", source="/s", occurred_at=moment) for moment in (near, end)]
    operations.store(project.pk, rows)
    counts.fold(project.pk)
    assert retention.expire(gone_at(oldest)) == [oldest]


def follow(api: Api, address: str | None) -> None:
    while address:
        answer = api.get(address)
        assert answer.status_code == 200, (address, answer.content)
        if answer.streaming:
            b"".join(answer.streaming_content)
            return
        address = answer.json().get("next")


def tail(project_id: int) -> None:
    place = arrivals.Place(0, arrivals.NONE, 0)
    follower = Tail(project_id, Criteria((Is("type", "t"),)), lambda: True, place, is_live=False)
    assert list(looks.take([follower]))
    arrivals.since(project_id, place, 5)
    looks.readable(project_id, [arrivals.Arrived(uuid7(), place)])
    arrivals.count(project_id, place, arrivals.now())
    arrivals.is_whole(place)


def constants(tables: Set[str]) -> dict[str, str]:
    """Return the statements about ``tables`` that are written in the service's modules, by their names."""
    of_tables = re.compile(rf"\b({'|'.join(tables)}|\{{table\}})\b")
    found = {}
    for module in pkgutil.walk_packages(service.__path__, "service."):
        if not re.search(r"\.migrations|\.launch\.", module.name):
            written = vars(importlib.import_module(module.name))
            found |= {
                f"{module.name}.{name}": value
                for name, value in written.items()
                if name.isupper() and isinstance(value, str) and STATEMENT.search(value) and of_tables.search(value)
            }
    return found


def pattern(constant: str) -> re.Pattern[str]:
    """Return what finds a statement that was sent, whatever stands in its places."""
    text = rules.PLACEHOLDER.sub(lambda found: "%" if found[0] == "%%" else "$0", constant)
    text = re.escape(text).replace(r"\$0", r"\$\d+")
    return re.compile(re.sub(r"\\\{\w*\\\}", ".*?", text), re.DOTALL)


def names(query: str) -> set[str]:
    return {str(name) for name in distribution.ask(query)}


def distributed() -> set[str]:
    """Return the names of tables that are distributed, of their partitions and views."""
    parts = names(
        "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"
    )
    views = names("SELECT viewname FROM pg_views WHERE schemaname = current_schema() AND viewname LIKE 'event%'")
    return {*distribution.tables()} | parts | views


def local() -> set[str]:
    """Return the names of tables that stay on the coordinator."""
    tables = (
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
    )
    return names(tables) - distributed()


def known() -> rules.Known:
    of_volatility = "SELECT DISTINCT proname::text FROM pg_proc WHERE provolatile = '{}'"
    return rules.Known(
        distributed=distributed(),
        local=local(),
        stable=names(of_volatility.format("s")),
        volatile=names(of_volatility.format("v")),
    )


def faults_of(statement: str) -> list[str]:
    return rules.faults(statement, known())


def test_every_statement_is_answered_by_one_machine(
    db: None, sent_by_service: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "is_cluster", lambda: True)
    of_a_cluster = known()
    use_all(sent_by_service)

    touching = [text for text in sent_by_service if any(table in text for table in of_a_cluster.distributed)]
    found = {text: faults for text in touching if (faults := rules.faults(text, of_a_cluster))}
    of_worker = {text for text in found if WHICH_PROJECTS.match(text)}
    assert of_worker
    assert len(touching) > 100
    assert {text: (sent_by_service[text], found[text]) for text in found.keys() - of_worker} == {}
    assert all(sent_by_service[text].startswith("task ") for text in of_worker)
    written = constants(of_a_cluster.distributed)
    assert len(written) > 20
    assert {name for name, text in written.items() if not any(map(pattern(text).search, sent_by_service))} == set()


def test_every_operation_was_used() -> None:
    assert ASKED.keys() | STREAMED.keys() <= OPERATIONS.keys()
    assert {name for name, (_, method) in OPERATIONS.items() if method == "get"} == ASKED.keys() | STREAMED.keys()


OURS = """
    SELECT {} FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proname NOT LIKE 'procrastinate%%'
        AND prolang = (SELECT oid FROM pg_language WHERE lanname = %s)
    ORDER BY oid
"""


def test_what_functions_send_is_answered_by_one_machine(db: None) -> None:
    definitions = distribution.ask(OURS.format("pg_get_functiondef(oid)"), ["plpgsql"])
    arguments = distribution.ask(OURS.format("proargnames"), ["plpgsql"])

    assert len(definitions) == 3
    for definition, names_of_arguments in zip(definitions, arguments, strict=True):
        statements = list(rules.statements_of(str(definition)))
        assert any(table in statement for statement in statements for table in distributed())
        for statement in statements:
            assert rules.faults(statement, known(), {*names_of_arguments}) == []  # type: ignore[misc]


def test_functions_in_sql_ask_no_table(db: None) -> None:
    """Before Postgres 18, Citus can't send on what is asked for with their parameters."""
    bodies = distribution.ask(OURS.format("coalesce(pg_get_function_sqlbody(oid), prosrc)"), ["sql"])

    assert bodies
    for body in bodies:
        statement = str(body).removeprefix("RETURN").strip()
        assert rules.tables_in(parse_sql(f"SELECT {statement}")) == set()


def test_every_unique_key_has_the_project_in_it(db: None) -> None:
    without = """
        SELECT indexrelid::regclass::text FROM pg_index
        WHERE indrelid = ANY(%s::regclass[]) AND (indisunique OR indisexclusion) AND NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = indrelid AND attname = 'project_id' AND attnum = ANY(indkey[:indnkeyatts - 1])
        )
    """
    assert distribution.ask(without, [distribution.tables()]) == []


def test_every_table_is_distributed_by_a_column_of_the_same_type_that_is_never_null(db: None) -> None:
    types = """
        SELECT format('%%s %%s', atttypid::regtype, attnotnull) FROM pg_attribute
        WHERE attrelid = ANY(%s::regclass[]) AND attname = 'project_id'
    """
    assert distribution.ask(types, [distribution.tables()]) == ["integer t"] * len(distribution.tables())


@pytest.mark.parametrize(
    ("catalog", "table"),
    [
        ("pg_constraint WHERE contype = 'f'", "conrelid"),
        ("pg_constraint WHERE contype = 'f'", "confrelid"),
        ("pg_trigger WHERE NOT tgisinternal", "tgrelid"),
    ],
)
def test_no_foreign_key_and_no_trigger_touches_a_distributed_table(db: None, catalog: str, table: str) -> None:
    found = names(f"SELECT {table}::regclass::text FROM {catalog}")

    assert found & distributed() == set()


def test_partitions_have_no_partitions_and_columns_no_sequences(db: None) -> None:
    nested = "SELECT inhparent::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhparent WHERE relispartition"
    assert names(nested) & distributed() == set()
    counted = """
        SELECT attrelid::regclass::text FROM pg_attribute
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attidentity <> '' OR pg_get_expr(adbin, adrelid) LIKE '%nextval%'
    """
    assert {str(table) for table in distribution.ask(counted)} & distributed() == set()


def test_rows_of_distributed_tables_are_counted_by_returning_alone() -> None:
    with_count = {path.name for path in (live.ROOT / "service").rglob("*.py") if ".rowcount" in path.read_text()}

    assert with_count <= {"arrivals.py"}  # of a table that stays


PINNED = "project_id = $1"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT count(*) FROM event", "more than one project"),
        ("SELECT id FROM event WHERE id = $1", "more than one project"),
        (f"SELECT id FROM event WHERE {PINNED} OR id = $2", "more than one project"),
        (f"SELECT id FROM event WHERE NOT {PINNED}", "more than one project"),
        ("SELECT id FROM event WHERE project_id IN ($1, $2)", "more than one project"),
        ("SELECT id FROM event WHERE project_id = ANY($1)", "more than one project"),
        ("SELECT id FROM event WHERE project_id > $1", "more than one project"),
        ("SELECT id FROM event_2026_11 WHERE id = $1", "more than one project"),
        ("SELECT a.id FROM event a JOIN event_delta b ON a.id = b.id WHERE a.project_id = $1", "event_delta is asked"),
        (
            f"SELECT 1 WHERE EXISTS (SELECT FROM event WHERE id = $1) AND {PINNED.replace('project_id', '1')}",
            "more than",
        ),
        ("WITH a AS (SELECT id FROM event) SELECT * FROM a", "more than one project"),
        (f"DELETE FROM event_tally WHERE {PINNED} AND id IN (SELECT id FROM event_tally LIMIT 5)", "more than one"),
        ("DELETE FROM event_tally WHERE id = $1", "more than one project"),
        ("UPDATE emitter SET host = $1", "more than one project"),
        (f"UPDATE emitter SET project_id = $2 WHERE {PINNED}", "moved to another project"),
        ("INSERT INTO event (id) VALUES ($1)", "don't name their project"),
        (
            "INSERT INTO event_tally (project_id, id) SELECT project_id, id FROM event_delta WHERE project_id = $1",
            "rows of",
        ),
        ("INSERT INTO event (project_id, id) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", "deduplicated"),
        (
            "SELECT e.id FROM event e JOIN projects_project p ON p.id = e.project_id WHERE e.project_id = $1",
            "joined to",
        ),
        ("SELECT e.id FROM event e, event_arrival a WHERE e.project_id = $1", "joined to"),
        ("SELECT id FROM unheard_of", "no table that is known"),
        (
            f"SELECT a.id FROM event a JOIN event_delta b ON a.id = b.id WHERE a.{PINNED} AND b.project_id = $2",
            "may be two",
        ),
        (f"WITH a AS (SELECT id FROM event WHERE {PINNED}) SELECT id FROM event_delta WHERE project_id = 7", "may be"),
        ("TRUNCATE event_delta", "more than one project"),
        ("COPY event FROM STDIN", "more than one project"),
        ("MERGE INTO event USING event_delta d ON event.id = d.id WHEN MATCHED THEN DELETE", "more than one project"),
        (f"UPDATE emitter SET last_seen = clock_timestamp() WHERE {PINNED}", "clock_timestamp()"),
        (f"DELETE FROM event WHERE {PINNED} AND id = gen_random_uuid()", "gen_random_uuid()"),
        (
            "INSERT INTO emitter (project_id) VALUES ($1) ON CONFLICT (project_id) DO UPDATE SET last_seen = now()",
            "now()",
        ),
        (f"DELETE FROM event_tally WHERE {PINNED} RETURNING sequences::text", "immutable"),
        (f"DELETE FROM event_tally WHERE {PINNED} RETURNING to_char(stored_at, 'YYYY')", "immutable"),
    ],
)
def test_a_statement_for_many_machines_is_found(db: None, statement: str, words: str) -> None:
    assert words in "; ".join(faults_of(statement))


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT id FROM event WHERE {PINNED} AND (id = $2 OR type = $3)",
        "SELECT a.id FROM event a JOIN event_delta b ON (a.project_id, a.id) = (b.project_id, b.id)"
        " WHERE a.project_id = 1",
        f"WITH gone AS (DELETE FROM event_tally WHERE {PINNED} RETURNING id)"
        " SELECT * FROM gone JOIN event_arrival USING (id)",
        "INSERT INTO event (project_id, id) SELECT $1, id FROM jsonb_to_recordset($2) AS row (id uuid)"
        " ON CONFLICT DO NOTHING",
        "SELECT 1 FROM projects_project",
    ],
)
def test_a_statement_for_one_machine_is_let_pass(db: None, statement: str) -> None:
    assert faults_of(statement) == []
