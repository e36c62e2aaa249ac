"""What the tables of one app hold, row by row and pair by pair: read from the database, or rebuilt from a log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Field, JSONField, ManyToManyField, Model

Table = type[Model]
Row = dict[str, Any]
Pair = tuple[Any, Any]
Version = tuple[Any, ...]
Versions = dict[tuple[Table, Any], Version]


class Unknown:
    """A value that a log says it doesn't know."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = Unknown()


@dataclass
class State:
    """Rows of each table by primary key; of each relation the pairs of its declaring side's key and the other's."""

    rows: dict[Table, dict[Any, Row]] = field(default_factory=dict)
    pairs: dict["ManyToManyField[Any, Any]", set[Pair]] = field(default_factory=dict)

    def copy(self) -> "State":
        rows = {table: {key: {**row} for key, row in rows.items()} for table, rows in self.rows.items()}
        return State(rows, {each: {*pairs} for each, pairs in self.pairs.items()})

    def row(self, model: Table, key: Any) -> Row | None:
        """Return a row with what it has of its parents; None if there is neither."""
        found = [self.rows[table].get(key) for table in lineage(model)]
        return {name: value for row in found if row for name, value in row.items()} or None

    def put(self, model: Table, values: Row) -> None:
        for table in lineage(model):
            names = columns(table)
            self.rows[table][values[table._meta.pk.attname]] = {name: values.get(name, UNKNOWN) for name in names}

    def update(self, model: Table, key: Any, values: Row) -> None:
        for table in lineage(model):
            row = self.rows[table].pop(key, None)
            if row is None:  # a save of nothing but a parent's fields doesn't ask for the child's row
                continue
            row.update({name: value for name, value in values.items() if name in row})
            self.rows[table][row[table._meta.pk.attname]] = row

    def remove(self, model: Table, key: Any) -> None:
        """Remove a row of this table only: its parents' are removed on their own. Its relations go with it."""
        self.rows[model].pop(key, None)
        for each, pairs in self.pairs.items():
            if each.model is model:
                pairs -= {pair for pair in pairs if pair[0] == key}
            if each.related_model is model:
                pairs -= {pair for pair in pairs if pair[1] == key}

    def relate(self, each: "ManyToManyField[Any, Any]", pairs: set[Pair], *, add: bool) -> None:
        if each.remote_field.symmetrical:
            pairs = pairs | {(there, here) for here, there in pairs}
        self.pairs[each] = self.pairs[each] | pairs if add else self.pairs[each] - pairs


def tables(app: str) -> Iterator[Table]:
    return (model for model in apps.get_app_config(app).get_models() if not model._meta.proxy)


def relations(app: str) -> Iterator["ManyToManyField[Any, Any]"]:
    """Yield those whose pairs are nothing but pairs: with a model between, that is a table like any other."""
    for model in tables(app):
        yield from (each for each in model._meta.local_many_to_many if each.remote_field.through._meta.auto_created)


def lineage(model: Table) -> list[Table]:
    concrete = model._meta.concrete_model
    assert concrete is not None
    return [*concrete._meta.get_parent_list(), concrete]


def columns(table: Table) -> list[str]:
    return [each.attname for each in table._meta.local_concrete_fields]


def empty(app: str) -> State:
    return State({table: {} for table in tables(app)}, {each: set() for each in relations(app)})


def read(app: str) -> tuple[State, Versions]:
    """Return what the database holds now, as this connection sees it, and which physical version of each row it is.

    A version is another one after each write, and the old one after a rollback. One query.
    """
    state, versions = empty(app), {}
    with connection.cursor() as cursor:
        cursor.execute(query(app))
        found = json.loads(cursor.fetchone()[0], parse_float=Decimal)
    for table, rows in state.rows.items():
        for told in found[table._meta.db_table] or []:
            row = {each.attname: parse(each, told[each.column]) for each in table._meta.local_concrete_fields}
            key = row[table._meta.pk.attname]
            rows[key], versions[table, key] = row, (table._meta.label, key, told["xmin"], told["ctid"])
    for each, pairs in state.pairs.items():
        pairs |= {tuple(pair) for pair in found[each.m2m_db_table()] or []}
    return state, versions


@cache
def query(app: str) -> str:
    """Return SQL that gives all rows and pairs of an app as one JSON object."""
    each_table = [
        f"'{name}', (SELECT json_agg(row) FROM (SELECT *, xmin::text, ctid::text FROM \"{name}\") row)"
        for name in (table._meta.db_table for table in tables(app))
    ]
    each_relation = [
        f"'{each.m2m_db_table()}', (SELECT json_agg(json_build_array(\"{each.m2m_column_name()}\","
        f' "{each.m2m_reverse_name()}")) FROM "{each.m2m_db_table()}")'
        for each in relations(app)
    ]
    return f"SELECT json_build_object({', '.join(each_table + each_relation)})::text"


def parse(each: "Field[Any, Any]", told: Any) -> Any:
    """Return the value that a log tells of a field, typed; UNKNOWN for an expression that only the database knows."""
    if isinstance(told, dict) and told.keys() == {"expression"}:
        return UNKNOWN
    return told if isinstance(each, JSONField) else target(each).to_python(told)


def target(each: "Field[Any, Any]") -> Any:
    while each.remote_field:
        each = each.target_field
    return each


def differences(rebuilt: State, actual: State) -> list[str]:
    """Return where they differ, apart from what is unknown."""
    found = []
    for table, rows in actual.rows.items():
        for key in rows.keys() ^ rebuilt.rows[table].keys():
            found.append(f"{table.__name__}/{key} is {'missing' if key in rows else 'too much'}")
        for key in rows.keys() & rebuilt.rows[table].keys():
            found += [
                f"{table.__name__}/{key}.{name} is {rebuilt.rows[table][key][name]!r}, not {value!r}"
                for name, value in rows[key].items()
                if rebuilt.rows[table][key][name] is not UNKNOWN and rebuilt.rows[table][key][name] != value
            ]
    for each, pairs in actual.pairs.items():
        found += [f"{each} lacks {pair}" for pair in pairs - rebuilt.pairs[each]]
        found += [f"{each} has {pair} too much" for pair in rebuilt.pairs[each] - pairs]
    return found
