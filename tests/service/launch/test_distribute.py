"""What ``manage.py distribute`` says and does. No Citus is here: its functions and tables are stood in for."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from service.launch import distribution
from tests.service.cast import Api, event

STAND_IN = """
    CREATE TABLE pg_dist_local_group (groupid integer);
    CREATE TABLE pg_dist_node (isactive boolean, shouldhaveshards boolean, noderole text);
    CREATE TABLE pg_dist_partition (logicalrelid regclass, partmethod "char", beside text, shards integer);
    CREATE TABLE spread (name text);
    INSERT INTO pg_dist_local_group VALUES (0);
    INSERT INTO pg_dist_node VALUES (true, false, 'primary'), (true, true, 'primary'), (true, true, 'primary');
    CREATE FUNCTION create_distributed_function(name regprocedure) RETURNS void LANGUAGE sql
        AS $$ INSERT INTO spread VALUES (name::text) $$;
    CREATE FUNCTION create_distributed_table(
        name regclass, col text, colocate_with text DEFAULT 'default', shard_count integer DEFAULT NULL
    ) RETURNS void LANGUAGE sql AS $$ INSERT INTO pg_dist_partition VALUES (name, 'h', colocate_with, shard_count) $$;
    CREATE FUNCTION truncate_local_data_after_distributing_table(name regclass) RETURNS void LANGUAGE plpgsql
        AS $$ BEGIN EXECUTE 'TRUNCATE ' || name::text; END $$;
"""
TABLES = {"event", "event_tally", "event_delta", "event_series", "event_count", "emitter"}
TABLES |= {"event_erasure", "event_erasure_key"}


def distribute(*arguments: str) -> list[str]:
    said = io.StringIO()
    call_command("distribute", *arguments, stdout=said)
    return said.getvalue().splitlines()


def answers(query: str) -> list[object]:
    return distribution.ask(query)


@pytest.fixture
def cluster(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute(STAND_IN)
    monkeypatch.setattr(distribution, "EXTENSION", "SELECT '14.0'")


def test_without_the_extension_it_says_how_to_get_it(db: None) -> None:
    with pytest.raises(CommandError, match=r"Citus isn't installed on this server.*shared_preload_libraries"):
        distribute()


def test_an_extension_that_the_database_lacks_is_told(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "EXTENSION", "SELECT NULL")

    with pytest.raises(CommandError, match="not in this database: say CREATE EXTENSION citus"):
        distribute()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE pg_dist_local_group SET groupid = 2", "is a worker of the cluster"),
        ("UPDATE pg_dist_node SET shouldhaveshards = false", "No machine of the cluster may keep rows"),
    ],
)
def test_a_cluster_that_is_not_ready_is_told(cluster: None, change: str, words: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change)

    with pytest.raises(CommandError, match=words):
        distribute()

    assert answers("SELECT beside FROM pg_dist_partition") == []


def test_a_dry_run_prints_the_statements_and_needs_no_citus(db: None) -> None:
    said = [line for line in distribute("--dry-run", "--shards", "64") if "create_distributed_" in line]

    first = said.index(
        "SELECT create_distributed_table('event', 'project_id', colocate_with => 'none', shard_count => 64);"
    )
    assert all(line.startswith("SELECT create_distributed_function('event_") for line in said[:first])
    assert {line.split("'")[1] for line in said[first:]} >= TABLES
    assert all(line.endswith("colocate_with => 'event');") for line in said[first + 1 :])


def test_all_tables_are_put_beside_the_events_and_arrivals_stay(cluster: None) -> None:
    distribute()

    tables = answers("SELECT logicalrelid::text FROM pg_dist_partition")
    beside = dict(zip(tables, answers("SELECT beside FROM pg_dist_partition"), strict=True))
    assert beside.pop("event") == "none"
    assert TABLES - {"event"} <= beside.keys()
    assert set(beside.values()) == {"event"}
    assert "event_arrival" not in beside


def test_the_functions_of_indexes_go_before_the_tables_and_before_those_that_call_them(cluster: None) -> None:
    distribute()

    names = [str(name).partition("(")[0] for name in answers("SELECT name FROM spread")]
    assert names.index("event_named_objects") < names.index("event_named_many")
    assert {"event_is_stray", "event_named_one", "event_has_unnamed"} <= set(names)
    assert "store_events" not in names


def test_run_again_it_does_what_is_left(cluster: None) -> None:
    distribute()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM pg_dist_partition WHERE logicalrelid = 'emitter'::regclass")

    said = distribute()

    assert said[-1] == "SELECT create_distributed_table('emitter', 'project_id', colocate_with => 'event');"
    assert distribute() == []


def test_rows_of_before_are_cleared_away_once_they_were_copied(cluster: None, api: Api) -> None:
    api.send(event())

    said = distribute()

    assert said.index("SELECT truncate_local_data_after_distributing_table('event');") > said.index(
        "SELECT create_distributed_table('emitter', 'project_id', colocate_with => 'event');"
    )
    assert distribute() == []


def test_every_table_of_a_project_is_distributed_or_said_to_stay(db: None) -> None:
    with_project = answers(
        "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'project_id'"
        " JOIN pg_type ON atttypid = pg_type.oid AND typname = 'int4'"
        " WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = current_schema()::regnamespace"
    )

    assert {str(table) for table in with_project} == {*distribution.tables(), *distribution.LOCAL}
