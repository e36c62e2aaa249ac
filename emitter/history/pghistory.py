"""django-pghistory: tables that triggers fill, with a copy of the row for each change."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from django.apps import apps
from django.db.models import Model

from emitter import requests, serialization
from emitter.event import Event
from emitter.exceptions import HistoryError
from emitter.history import tables
from emitter.history.places import place
from emitter.history.snapshots import Copies
from emitter.history.tables import Chosen, Opened, Row, Table
from emitter.history.told import SIGNALS, Data, Found, LeftOut, Origin, actor, subject_of_model

PACKAGE = "pghistory"
ACTIONS = {("INSERT", "NEW"): "created", ("UPDATE", "NEW"): "updated", ("DELETE", "OLD"): "deleted"}
# Of trackers that the project has no more: as they are called if nobody calls them otherwise.
USUAL = {"insert": "created", "update": "updated", "delete": "deleted"}
BEFORE = ("UPDATE", "OLD")
METADATA = "pgh_context__metadata"


def opened(chosen: Chosen) -> Opened:
    if not apps.is_installed(PACKAGE):
        raise HistoryError("django-pghistory isn't installed: there is no pghistory in INSTALLED_APPS.")
    return tables.opened([table_of(model, chosen) for model in apps.get_models() if is_history(model)], events)


def is_history(model: Any) -> bool:
    kept = model._meta.managed and not model._meta.proxy
    return kept and getattr(model, "pgh_tracked_model", None) is not None and "pgh_created_at" in attnames(model)


def attnames(model: type[Model]) -> set[str]:
    return {each.attname for each in model._meta.concrete_fields if not hasattr(each, "pgh_proxy")}


def table_of(model: type[Model], chosen: Chosen) -> Table:
    columns = sorted(attnames(model) - {"pgh_created_at"})
    if has_context_table(model):
        columns.append(METADATA)
    return Table(model=model, time="pgh_created_at", columns=columns, chosen=chosen)


def has_context_table(model: type[Model]) -> bool:
    return any(each.name == "pgh_context" and each.is_relation for each in model._meta.concrete_fields)


def events(table: Table) -> Iterator[Found]:
    history: Any = table.model
    subject, there = subject_of_model(history.pgh_tracked_model), attnames(history)
    if subject.is_excluded:
        yield from (LeftOut(f"{subject.label} is excluded by the settings") for _ in table.rows())
        return
    tracked = [each.attname for each in history.pgh_tracked_model._meta.concrete_fields if each.attname in there]
    keys = [each.attname for each in history.pgh_tracked_model._meta.pk_fields]
    if not there.issuperset(keys):
        keys = ["pgh_obj_id"] if "pgh_obj_id" in there else []
    copies = Copies(table, subject, "pgh_obj_id" if "pgh_obj_id" in there else None, tracked)
    origin, fires = Origin(package=PACKAGE, table=table.name), {each.label: each for each in history.pgh_trackers or ()}
    for page in table.pages():
        copies.look_before(page)
        for row in page:
            key = subject.subject_of_keys([row[name] for name in keys]) if keys else None
            made = partial(origin.event, row["pgh_created_at"], row["pk"], sender=subject.label, subject=key)
            yield origin.told(row["pk"], event, made, copies, fires.get(row["pgh_label"]), row)


def event(make: Callable[..., Event], copies: Copies, tracker: Any, row: Row) -> Event:
    metadata = row.get(METADATA, row.get("pgh_context"))
    metadata = metadata if isinstance(metadata, dict) else {}
    around = circumstances(metadata)
    make = partial(make, actor=user(metadata), correlationid=correlation_id(row.get("pgh_context_id")))
    fired = None if tracker is None else (str(getattr(tracker, "operation", "")), getattr(tracker, "row", ""))
    action = USUAL.get(row["pgh_label"]) if fired is None else ACTIONS.get(fired)
    if action is not None:
        return make(type=SIGNALS[action], action=action, data={**getattr(copies, action)(row), **around})
    holder = "before" if fired == BEFORE else "fields"
    kind = serialization.text(f"{PACKAGE}.{row['pgh_label']}")
    return make(type=kind, data={holder: copies.fields(row), **around})


def user(metadata: Mapping[str, Any]) -> str | None:
    """Return who acted, as pghistory's middleware notes it: the user's key."""
    key = metadata.get("user")
    return actor(key) if isinstance(key, int | str) else None


def correlation_id(context: Any) -> str | None:
    return None if context is None else requests.correlation_id(str(context))


def circumstances(metadata: Mapping[str, Any]) -> Data:
    """Return where the request went, and what else the project noted in its context."""
    rest = {name: value for name, value in metadata.items() if name not in {"user", "url"}}
    url = metadata.get("url")
    return {
        **(place(url) if isinstance(url, str) else {}),
        **({"context": serialization.json_safe(rest)} if rest else {}),
    }
