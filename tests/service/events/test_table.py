"""The migration makes the table itself; what it made is what the model says, in the table and in each partition."""

import inspect
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, models
from django.db.models import F
from django.db.models.fields.json import KeyTransform

from service.events.models import Arrival, Delta, Event, Tally
from service.telemetry.models import Emitter
from tests.service.cast import Api, event


def rows(query: str, *values: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def tables() -> list[str]:
    found = rows("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'event'::regclass")
    return ["event", *(name for (name,) in found)]


def columns_of(table: str) -> dict[str, tuple[str, bool]]:
    """Return each column's type and whether it can be null."""
    found = rows(
        "SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        table,
    )
    return {name: (kind, nullable) for name, kind, nullable in found}


def indexes_of(table: str) -> list[tuple[tuple[str, ...], bool, bool]]:
    """Return each index's columns, functions and members of JSON, and whether it is primary and valid."""
    found = rows(
        "SELECT ARRAY(SELECT coalesce(attname::text, substring(expression, '^\\w+'), expression)"
        " FROM unnest(indkey::int2[]) WITH ORDINALITY AS place(number, rank)"
        " CROSS JOIN LATERAL pg_get_indexdef(indexrelid, rank::int, true) AS expression"
        " LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = number ORDER BY rank), indisprimary, indisvalid"
        " FROM pg_index WHERE indrelid = %s::regclass",
        table,
    )
    return sorted((tuple(names), primary, valid) for names, primary, valid in found)


def columns_in(index: models.Index) -> tuple[str, ...]:
    """Return the same of an index of the model."""
    if index.fields:
        return tuple(index.fields)
    return tuple(map(name_of, expressions_of(index)))


def name_of(expression: Any) -> str:
    match expression:
        case F():
            return expression.name
        case KeyTransform():
            [field] = expression.get_source_expressions()
            return f"({field.name} -> '{expression.key_name}'::text)"
    return str(expression.extra["function"])


def expressions_of(index: models.Index) -> Any:
    return index.expressions  # type: ignore[attr-defined]  # not in the stubs


def test_the_columns_are_those_of_the_model_everywhere(db: None) -> None:
    fields = [field for field in Event._meta.local_concrete_fields if isinstance(field, models.Field) and field.column]
    wanted = {field.column: (str(field.db_type(connection)), field.null) for field in fields}

    for table in tables():
        assert columns_of(table) == wanted


def test_the_indexes_are_those_of_the_model_everywhere(db: None) -> None:
    primary = (("project_id", "id"), True, True)
    wanted = sorted([primary, *((columns_in(index), False, True) for index in Event._meta.indexes)])

    assert len(tables()) > 12
    for table in tables():
        assert indexes_of(table) == wanted


def test_each_partitions_index_is_part_of_the_tables(db: None) -> None:
    alone = rows(
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_inherits AS part ON part.inhrelid = indrelid"
        " WHERE part.inhparent = 'event'::regclass"
        " AND NOT EXISTS (SELECT 1 FROM pg_inherits AS own WHERE own.inhrelid = indexrelid)"
    )

    assert alone == []


def test_no_migration_is_missing(db: None) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.parametrize("model", [Event, Tally, Delta, Arrival, Emitter])
def test_every_index_says_which_query_it_serves(model: type[models.Model]) -> None:
    lines = [line.strip() for line in inspect.getsource(model).splitlines()]

    assert all(
        lines[number - 1].startswith("#") for number, line in enumerate(lines) if line.startswith("models.Index")
    )


TABLES = [
    "event",
    "event_tally",
    "event_delta",
    "event_arrival",
    "event_series",
    "event_count",
    "emitter",
]


@pytest.mark.parametrize("table", TABLES)
def test_every_unique_key_begins_with_the_project(table: str, db: None) -> None:
    """What Citus distributes a table by has to be in each of them."""
    keys = [names for names, primary, _ in indexes_of(table) if primary]

    assert keys
    assert {names[0] for names in keys} == {"project_id"}


def test_a_migration_backward_and_forward_leaves_a_table_that_is_ready(db: None, api: Api) -> None:
    call_command("migrate", "events", "zero", verbosity=0)
    gone = "event" not in connection.introspection.table_names()
    call_command("migrate", "events", verbosity=0)

    assert gone
    assert api.send(event()).status_code == 201


@pytest.mark.parametrize("statement", ["UPDATE event SET project_id = 1", "SELECT 1 FROM event"])
def test_the_table_can_be_used_whole(statement: str, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
