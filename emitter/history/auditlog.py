"""django-auditlog: one table of entries, each with its changes as texts, or as JSON."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from django.conf import settings

from emitter import requests, selection, serialization
from emitter.conf import conf
from emitter.event import Event
from emitter.history import tables
from emitter.history.tables import Chosen, Opened, Table, installed
from emitter.history.texts import read
from emitter.history.told import MODEL, SIGNALS, Data, Found, LeftOut, Origin, Subject, Unreadable, actor
from emitter.history.types import subjects

PACKAGE = "auditlog"
ACTIONS = {0: "created", 1: "updated", 2: "deleted", 3: "accessed"}
ACCESSED = "auditlog.signals.accessed"
OPERATIONS = {"add": ("add", "added"), "delete": ("remove", "removed")}
COLUMNS = (
    *(
        "content_type_id",
        "object_pk",
        "action",
        "changes",
        "changes_text",
        "serialized_data",
        "actor_id",
        "actor_email",
    ),
    *("cid", "remote_addr", "remote_port", "additional_data"),
)


def opened(chosen: Chosen) -> Opened:
    model = installed(getattr(settings, "AUDITLOG_LOGENTRY_MODEL", "auditlog.LogEntry"), "django-auditlog")
    return tables.opened([Table(model=model, time="timestamp", columns=COLUMNS, chosen=chosen)], events)


def events(table: Table) -> Iterator[Found]:
    origin, subject = Origin(package=PACKAGE, table=table.name), subjects(table.database)
    for row in table.rows():
        yield origin.told(row["pk"], event, origin, subject(row["content_type_id"]), row)


def event(origin: Origin, subject: Subject, row: Mapping[str, Any]) -> Found:
    if subject.is_excluded:
        return LeftOut(f"{subject.label} is excluded by the settings")
    changes = row.get("changes") or changes_in(row.get("changes_text"))
    made = partial(
        origin.event,
        row["timestamp"],
        row["pk"],
        subject=subject.subject(row["object_pk"]),
        sender=subject.label,
        actor=actor(row["actor_id"]),
        correlationid=requests.correlation_id(row.get("cid")),
    )
    around = circumstances(row)
    relation = next((each for each in changes.items() if is_relation(each[1])), None)
    if relation is not None:
        name, change = relation
        return related(made, subject, name, change, around)
    action = ACTIONS.get(row["action"])
    if action is None:
        return Unreadable("unknown_action", f"Entry {row['pk']} of {origin.table} has the action {row['action']}.")
    if action == "accessed":
        return made(type=ACCESSED, action=action, data=around)
    serialized = subject.values(fields_in(row.get("serialized_data")))
    return made(type=SIGNALS[action], action=action, data={**told(action, subject, changes, serialized), **around})


def told(action: str, subject: Subject, changes: Mapping[str, Any], serialized: Data) -> Data:
    """Return the values of what was made or deleted, or the changes; a form that isn't auditlog's is told as it is."""
    pairs = {
        name: pair if isinstance(pair, list) and len(pair) == 2 else [None, pair] for name, pair in changes.items()
    }
    if action == "updated":
        told = subject.changes(pairs, read)
        rest = {name: value for name, value in serialized.items() if name not in told}
        return {"changes": told, "diff_source": PACKAGE} | ({"fields": rest} if rest else {})
    side = 1 if action == "created" else 0
    return {"fields": {**serialized, **subject.values({name: pair[side] for name, pair in pairs.items()}, read)}}


def related(
    made: Callable[..., Event], subject: Subject, name: str, change: Mapping[str, Any], around: Data
) -> Event | LeftOut:
    """Tell of a relation as the emitter does, but for the keys, of which auditlog has only what objects were shown as.

    Of one to a model that is excluded, or whose key is a secret, not even that is told.
    """
    each = relation_of(subject, name)
    if selection.matches(f"{subject.label}.{name}", conf.exclude_fields) or (each and selection.is_excluded(each)):
        return LeftOut(f"{subject.label}.{name} is excluded by the settings")
    other = each and each.related_model
    op, action = OPERATIONS.get(
        change.get("operation", ""), (str(change.get("operation")), str(change.get("operation")))
    )
    data: Data = {"field": f"{subject.label}.{name}", "op": op, "pks": None, "reverse": False}
    if other is not None:
        data["model"] = serialization.label(other)
    if other is None or not (selection.is_excluded_model(other) or selection.has_secret_key(other)):
        data["objects"] = serialization.named(name, change.get("objects"))
    return made(type=MODEL + "m2m_changed", action=action, data={**data, **around})


def relation_of(subject: Subject, name: str) -> Any:
    fields = subject.model._meta.many_to_many if subject.model else ()
    return next((each for each in fields if each.name == name), None)


def is_relation(change: Any) -> bool:
    return isinstance(change, dict) and change.get("type") == "m2m"


def circumstances(row: Mapping[str, Any]) -> Data:
    """Return what the entry tells beside: where the request came from, and what the project added."""
    found = {
        "ip": requests.ip_of(row.get("remote_addr")),
        "port": row.get("remote_port"),
        "actor_email": serialization.named("actor_email", row.get("actor_email")),
        "additional_data": serialization.named("additional_data", row.get("additional_data")),
    }
    return {name: value for name, value in found.items() if value is not None}


def changes_in(text: str | None) -> Mapping[str, Any]:
    """Return the changes of an entry that release 3 of auditlog hasn't rewritten yet."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def fields_in(serialized: Any) -> Mapping[str, Any]:
    found = serialized.get("fields") if isinstance(serialized, dict) else None
    return found if isinstance(found, dict) else {}
