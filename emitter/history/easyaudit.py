"""django-easy-audit: tables of changes, logins and requests."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models import Model

from emitter import payload, relations, requests, selection, serialization
from emitter.event import Event
from emitter.history import tables
from emitter.history.places import place
from emitter.history.tables import Chosen, Opened, Row, Table, installed
from emitter.history.texts import read, read_json
from emitter.history.told import SIGNALS, Data, Found, LeftOut, Origin, Subject, Unreadable, actor, remembered_subject
from emitter.history.types import subjects

PACKAGE = "easyaudit"
ACTIONS = {1: "created", 2: "updated", 3: "deleted"}
# Operation, action, and whether it was seen from the side that doesn't declare the relation.
RELATIONS = {
    4: ("change", "changed", False), 5: ("change", "changed", True),
    6: ("add", "added", False), 7: ("add", "added", True),
    8: ("remove", "removed", False), 9: ("remove", "removed", True),
    10: ("clear", "cleared", False), 11: ("clear", "cleared", True),
}  # fmt: skip
AUTH = "django.contrib.auth.signals."
LOGINS = {
    0: ("user_logged_in", "logged_in"),
    1: ("user_logged_out", "logged_out"),
    2: ("user_login_failed", "login_failed"),
}
REQUEST = "django.core.signals.request_started"
Make = Callable[..., Event]
UNKNOWN = {"expression": "not recorded"}  # as of a value that only the database knew
COLUMNS = {
    "CRUDEvent": (
        "event_type",
        "object_id",
        "content_type_id",
        "object_json_repr",
        "changed_fields",
        "user_id",
        "user_pk_as_string",
    ),
    "LoginEvent": ("login_type", "username", "user_id", "remote_ip"),
    "RequestEvent": ("url", "method", "query_string", "user_id", "remote_ip"),
}


def opened(chosen: Chosen) -> Opened:
    found = [
        Table(
            model=installed(f"easyaudit.{name}", "django-easy-audit"), time="datetime", columns=columns, chosen=chosen
        )
        for name, columns in COLUMNS.items()
    ]
    return tables.opened(found, events)


def events(table: Table) -> Iterator[Found]:
    origin, subject = Origin(package=PACKAGE, table=table.name), subjects(table.database)
    tells: dict[str, Callable[[Make, Row], Found]] = {
        "CRUDEvent": partial(changed, subject), "LoginEvent": login, "RequestEvent": request,
    }  # fmt: skip
    tell = tells[table.model.__name__]
    for row in table.rows():
        who = actor(row["user_id"] or row.get("user_pk_as_string"))
        yield origin.told(row["pk"], tell, partial(origin.event, row["datetime"], row["pk"], actor=who), row)


def changed(subjects: Callable[[int], Subject], make: Make, row: Row) -> Found:
    subject = subjects(row["content_type_id"])
    if subject.is_excluded:
        return LeftOut(f"{subject.label} is excluded by the settings")
    copy = json.loads(row["object_json_repr"] or "[{}]")[0]
    changes = changes_in(row["changed_fields"])
    make = partial(make, sender=subject.label, subject=subject.subject(row["object_id"]))
    if row["event_type"] in RELATIONS:
        return related(make, subject, copy, changes, RELATIONS[row["event_type"]])
    action = ACTIONS.get(row["event_type"])
    if action is None:
        return Unreadable("unknown_action", f"{row['pk']} has the type {row['event_type']}.")
    return make(type=SIGNALS[action], action=action, data=told(action, subject, copy, changes))


def told(action: str, subject: Subject, copy: Mapping[str, Any], changes: Mapping[str, Any]) -> Data:
    """Return the copy of the row, or the changes and what of the copy didn't change.

    Changes are texts; of a related object, what it was shown as, so that only the copy tells its key.
    """
    held = {key_name(subject): copy.get("pk"), **(copy.get("fields") or {})}
    fields = subject.values(held if copy.get("pk") is not None else copy.get("fields") or {})
    if action != "updated":
        return {"fields": fields}
    pairs = {name: pair for name, pair in changes.items() if isinstance(pair, list) and len(pair) == 2}
    others = {name for name in pairs if is_relation(subject, name)}
    told = subject.changes({name: pair for name, pair in pairs.items() if name not in others}, read)
    told |= {subject.fields[name].name: [None if pairs[name][0] == "None" else UNKNOWN, None] for name in others}
    told = {name: [old, fields.get(name, new)] for name, (old, new) in told.items()}
    rest = {name: value for name, value in fields.items() if name not in told}
    return {"changes": told, "diff_source": PACKAGE} | ({"fields": rest} if rest else {})


def key_name(subject: Subject) -> str:
    return "pk" if subject.model is None else subject.model._meta.pk.attname


def is_relation(subject: Subject, name: str) -> bool:
    return subject.model is not None and name in subject.fields and subject.model._meta.get_field(name).is_relation


def changes_in(text: str) -> Mapping[str, Any]:
    """Return the changed fields: pairs as JSON; of a relation its keys, as Python shows them."""
    found = read_json(text) if text else None
    return found if isinstance(found, dict) else {}


def related(
    make: Make, subject: Subject, copy: Mapping[str, Any], changes: Mapping[Any, Any], kind: tuple[str, str, bool]
) -> Found:
    """Tell of a relation as the emitter does, by the field that declares it, as far as that can be found out."""
    op, action, reverse = kind
    name, keys = next(iter(changes.items()), (None, None))
    other = model_named(copy.get("m2m_rev_model"))
    each = relation_to(other, subject) if reverse else relation_of(subject, name)
    if each is not None:
        if selection.is_excluded(each):
            return LeftOut(f"{subject.label}.{each.name} is excluded by the settings")
        other = each.model if reverse else each.related_model
    is_secret = other is not None and has_secret_keys(each, other)
    return make(
        type=relations.SIGNAL,
        action=action,
        data={
            "field": f"{serialization.label(each.model)}.{each.name}" if each is not None else name,
            "op": op,
            "model": None if other is None else serialization.label(other),
            "pks": [payload.told(key, is_secret) for key in keys] if isinstance(keys, list) else None,
            "reverse": reverse,
        },
    )


def has_secret_keys(each: Any, other: type[Model]) -> bool:
    return relations.is_secret_pair(each.remote_field.through, other) if each else selection.has_secret_key(other)


def relation_of(subject: Subject, name: Any) -> Any:
    fields = subject.model._meta.many_to_many if subject.model else ()
    return next((each for each in fields if each.name == name), None)


def relation_to(other: type[Model] | None, subject: Subject) -> Any:
    """Return the relation from another model to this one; None if there are several."""
    fields = other._meta.many_to_many if other else ()
    found = [each for each in fields if each.related_model is subject.model]
    return found[0] if len(found) == 1 else None


def model_named(label: str | None) -> type[Model] | None:
    try:
        return apps.get_model(label) if label else None
    except (LookupError, ValueError):
        return None


def login(make: Make, row: Row) -> Found:
    if row["login_type"] not in LOGINS:
        return Unreadable("unknown_action", f"{row['pk']} has the type {row['login_type']}.")
    name, action = LOGINS[row["login_type"]]
    users: Any = get_user_model()
    who = {users.USERNAME_FIELD: row["username"]}
    if action == "login_failed":
        return make(type=AUTH + name, action=action, data={"credentials": payload.credentials(who), **address(row)})
    user = remembered_subject(users)
    data = {**payload.credentials(who), **address(row)}
    return make(type=AUTH + name, action=action, sender=user.label, subject=user.subject(row["user_id"]), data=data)


def request(make: Make, row: Row) -> Found:
    query = {"query": serialization.text(row["query_string"])} if row["query_string"] else {}
    return make(type=REQUEST, data={"method": row["method"], **address(row), **place(row["url"]), **query})


def address(row: Row) -> Data:
    ip = requests.ip_of(row["remote_ip"])
    return {"ip": ip} if ip else {}
