"""Rebuild what the database holds from django-auditlog's entries, as well as they allow."""

import json
from collections.abc import Iterable
from datetime import UTC
from typing import Any

from auditlog.models import LogEntry
from django.core.exceptions import ValidationError
from django.db.models import DateTimeField, Field, JSONField

from tests.equivalence.state import UNKNOWN, State, Table, lineage, target


def entries(after: int) -> list[LogEntry]:
    return list(LogEntry.objects.filter(pk__gt=after).select_related("content_type").order_by("pk"))


def apply(state: State, logged: Iterable[LogEntry]) -> None:
    for entry in logged:
        model = entry.content_type.model_class()
        if model not in state.rows:
            continue
        key = model._meta.pk.target_field.to_python(entry.object_pk) if model._meta.pk.remote_field else entry.object_id
        related = {name: change for name, change in entry.changes.items() if isinstance(change, dict)}
        changes = {name: change[1] for name, change in entry.changes.items() if name not in related}
        if entry.action == LogEntry.Action.CREATE:
            state.put(model, values(model, changes, missing=None))
        elif entry.action == LogEntry.Action.DELETE:
            state.remove(model, key)
        elif state.row(model, key) is not None:
            state.update(model, key, values(model, changes))
        for name, change in related.items():
            relate(state, model, key, name, change)


def values(model: Table, changes: dict[str, str], **default: Any) -> dict[str, Any]:
    fields = [each for table in lineage(model) for each in table._meta.local_concrete_fields]
    told = {each.attname: parse(each, changes[each.name]) for each in fields if each.name in changes}
    return {each.attname: default["missing"] for each in fields} | told if default else told


def parse(each: "Field[Any, Any]", text: str) -> Any:
    """Return what a text stands for, where it is one of a value; an expression's isn't."""
    if text == "None":
        return None
    try:
        value = json.loads(text) if isinstance(each, JSONField) else target(each).to_python(text)
    except (ValidationError, ValueError):
        return UNKNOWN
    return value.replace(tzinfo=UTC) if isinstance(each, DateTimeField) else value


def relate(state: State, model: Table, key: Any, name: str, change: dict[str, Any]) -> None:
    each = next(each for each in state.pairs if each.name == name)
    reverse = not issubclass(model, each.model)
    pairs = {(int(other), key) if reverse else (key, int(other)) for other in change["objects"]}
    state.relate(each, pairs, add=change["operation"] == "add")
