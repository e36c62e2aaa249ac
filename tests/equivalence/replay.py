"""Rebuild what the database holds from the emitter's events and nothing else, as a consumer would."""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db.models import Field, Model

from emitter.event import Event
from tests.equivalence.state import UNKNOWN, Row, State, Table, lineage, parse


class Replay:
    """A state that events are applied to. What they tell that can't be true goes to ``problems``."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.problems: list[str] = []
        self.unknown = 0  # values that an event said it can't know

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            name = event.type.rpartition(".")[2]
            assert event.sender is not None
            getattr(self, name)(apps.get_model(event.sender), event, event.data)

    def post_save(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        key = key_of(event, model)
        if event.action == "created":
            self.state.put(model, self.parsed(model, data["fields"]))
            return
        row = self.state.row(model, key)
        if row is None:
            self.problems.append(f"{event.subject} was updated, and isn't there")
            return
        changes = data.get("changes", {})
        old = self.parsed(model, {name: change[0] for name, change in changes.items()}, counted=False)
        for name, value in old.items():
            if UNKNOWN not in (row[name], value) and row[name] != value:
                self.problems.append(f"{event.subject}.{name} changed from {row[name]!r}, not from {value!r}")
        new = {name: change[1] for name, change in changes.items()} | data.get("fields", {})
        self.state.update(model, key, self.parsed(model, new))

    def post_delete(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        self.state.remove(model, key_of(event, model))

    def m2m_changed(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        own = key_of(event, model)
        pairs = {(key, own) if data["reverse"] else (own, key) for key in data["pks"]}
        for each in self.state.pairs:  # not among them is one that is told as a model of its own
            if f"{each.model._meta.label}.{each.name}" == data["field"]:
                self.state.relate(each, pairs, add=data["op"] == "add")

    def update(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        values = self.parsed(model, data["values"], counted=False)
        sure, perhaps = self.matched(model, data)
        if not perhaps and len(sure) != data["count"]:
            self.problems.append(f"update() of {len(sure)} rows counts {data['count']}: {data}")
        if perhaps and data["count"]:
            self.lose(model, perhaps, values)
        for key in sure:
            self.unknown += list(values.values()).count(UNKNOWN)
            self.state.update(model, key, values)

    def lose(self, model: Table, keys: Iterable[Any], names: Iterable[str]) -> None:
        for key in keys:
            lost = dict.fromkeys(names, UNKNOWN)
            self.unknown += len(lost)
            self.state.update(model, key, lost)

    def matched(self, model: Table, data: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """Return the keys of the rows that a bulk call was about, and of those that it may have been about."""
        keys = list(self.state.rows[model])
        if data["pks"] is not None:
            named = [parse(model._meta.pk, key) for key in data["pks"]]
            return [key for key in keys if key in named], []
        if data.get("where") is None:
            return [], keys
        verdicts = {key: self.meets(model, key, data["where"]) for key in keys}
        return [key for key in keys if verdicts[key]], [key for key in keys if verdicts[key] is None]

    def meets(self, model: Table, key: Any, where: dict[str, Any]) -> bool | None:
        """Tell whether a row meets the conditions; None when that depends on a value that isn't known."""
        row = self.state.row(model, key) or {}
        verdicts = [is_met(model, row, condition, value) for condition, value in where.items()]
        return False if False in verdicts else None if None in verdicts else True

    def delete(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        """Do nothing: each object is told as deleted."""

    def raw_delete(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        sure, perhaps = self.matched(model, data)
        if perhaps and data["count"]:
            self.problems.append(f"_raw_delete() of unknown rows: {data}")
        for key in sure:
            self.state.rows[model].pop(key)

    def update_or_create(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        """Do nothing: the object is told as created or updated."""

    def bulk_create(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        for told in data["rows"]:
            row = self.parsed(model, told)
            key = row[model._meta.pk.attname]
            if self.state.row(model, key) is None:
                self.state.put(model, row)
            elif data.get("update_conflicts"):
                self.state.update(model, key, {name: row[name] for name in data["update_fields"]})

    def bulk_update(self, model: Table, event: Event, data: dict[str, Any]) -> None:
        if data["pks"] is None:  # some of these were written
            sure, perhaps = self.matched(model, data)
            self.lose(model, [*sure, *perhaps], data["fields"])
            return
        for key, row in zip(data["pks"], data["rows"], strict=True):
            if self.state.row(model, key) is not None:
                self.state.update(model, key, self.parsed(model, row))

    def parsed(self, model: Table, told: Row, counted: bool = True) -> Row:
        values = {name: parse(field(model, name), value) for name, value in told.items()}
        self.unknown += list(values.values()).count(UNKNOWN) if counted else 0
        return values


def is_met(model: Table, row: Row, condition: str, told: Any) -> bool | None:
    name, _, lookup = condition.partition("__")
    if name not in row:
        raise LookupError(f"{model.__name__} has no {name}")
    if row[name] is UNKNOWN:
        return None
    if lookup == "isnull":
        return (row[name] is None) is told
    values = told if lookup == "in" else [told]
    return row[name] in [parse(field(model, name), value) for value in values]


def field(model: Table, name: str) -> "Field[Any, Any]":
    found = (each for table in lineage(model) for each in table._meta.local_concrete_fields if each.attname == name)
    return next(found)


def key_of(event: Event, model: type[Model]) -> Any:
    assert event.subject is not None
    return parse(model._meta.pk, event.subject.rpartition("/")[2])
