"""django-simple-history: a table for each tracked model, with a copy of the row for each change."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db.models import Model

from emitter import selection, serialization
from emitter.exceptions import HistoryError
from emitter.history import tables
from emitter.history.snapshots import Copies
from emitter.history.tables import Chosen, Opened, Row, Table
from emitter.history.told import SIGNALS, Data, Found, LeftOut, Origin, Unreadable, actor, subject_of_model
from emitter.payload import told

PACKAGE = "simple_history"
ACTIONS = {"+": "created", "~": "updated", "-": "deleted"}
OWN = frozenset(["history_id", "history_date", "history_type", "history_user_id", "history_change_reason"])


def opened(chosen: Chosen) -> Opened:
    if not apps.is_installed(PACKAGE):
        raise HistoryError("django-simple-history isn't installed: there is no simple_history in INSTALLED_APPS.")
    return tables.opened([table_of(model, chosen) for model in apps.get_models() if is_history(model)], events)


def is_history(model: Any) -> bool:
    return hasattr(model, "instance_type") and attnames(model) >= {"history_id", "history_date", "history_type"}


def attnames(model: type[Model]) -> set[str]:
    return {each.attname for each in model._meta.concrete_fields}


def table_of(model: type[Model], chosen: Chosen) -> Table:
    columns = sorted(attnames(model) - {"history_date"})
    return Table(model=model, time="history_date", columns=columns, chosen=chosen)


def events(table: Table) -> Iterator[Found]:
    history: Any = table.model
    subject = subject_of_model(history.instance_type)
    if subject.is_excluded:
        yield from (LeftOut(f"{subject.label} is excluded by the settings") for _ in table.rows())
        return
    keys = [each.attname for each in history.instance_type._meta.pk_fields]
    tracked = [
        each.attname for each in history.instance_type._meta.concrete_fields if each.attname in attnames(history)
    ]
    copies = Copies(table, subject, keys[0] if len(keys) == 1 else None, tracked)
    origin, relations = Origin(package=PACKAGE, table=table.name), relations_of(history, table.database)
    extra = attnames(history) - OWN - set(tracked) - {"history_relation_id"}
    for page in table.pages():
        copies.look_before(page)
        related = [(name, read(page)) for name, read in relations]
        for row in page:
            around = circumstances(row, extra, {name: found[row["pk"]] for name, found in related})
            yield origin.told(row["pk"], event, origin, copies, keys, row, around)


def event(origin: Origin, copies: Copies, keys: Sequence[str], row: Row, around: Data) -> Found:
    action = ACTIONS.get(row["history_type"])
    if action is None:
        return Unreadable("unknown_action", f"{row['pk']} of {origin.table} has the type {row['history_type']!r}.")
    data: Data = getattr(copies, action)(row)
    return origin.event(
        row["history_date"],
        row["pk"],
        type=SIGNALS[action],
        action=action,
        sender=copies.subject.label,
        subject=copies.subject.subject_of_keys([row[name] for name in keys]),
        actor=actor(row.get("history_user_id"), user_model(copies.table.model)),
        data={**data, **around},
    )


def user_model(history: type[Model]) -> Any:
    """Return whom the history's users are; None for the project's own."""
    users = (each.related_model for each in history._meta.concrete_fields if each.attname == "history_user_id")
    return next(users, None)


def circumstances(row: Row, extra: set[str], relations: Mapping[str, Any]) -> Data:
    """Return what an entry tells beside: why, what the project added to its table, and what the row was related to."""
    found = {
        "change_reason": serialization.named("change_reason", row.get("history_change_reason")),
        "extra": {name: serialization.named(name, row[name]) for name in sorted(extra)} or None,
        "relations": dict(relations) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


Related = Callable[[Sequence[Row]], Mapping[Any, list[Any]]]


def relations_of(history: Any, database: str) -> list[tuple[str, Related]]:
    """Return the relations that are tracked too, each with what finds the related keys of each entry of a page."""
    found = []
    for each in getattr(history, "_history_m2m_fields", ()):
        kept = next((model for model in apps.get_models() if is_kept_relation(model, history, each)), None)
        hidden = selection.is_excluded(each) or selection.is_excluded_model(each.related_model)
        if kept is not None and not hidden:
            found.append((each.name, reader(kept, each, database)))
    return found


def is_kept_relation(model: Any, history: type[Model], each: Any) -> bool:
    return (
        getattr(model, "instance_type", None) is each.remote_field.through
        and "m2m_history_id" in attnames(model)
        and model._meta.get_field("history").related_model is history
    )


def reader(kept: type[Model], each: Any, database: str) -> Related:
    other = f"{each.m2m_reverse_field_name()}_id"
    is_secret = selection.has_secret_key(each.related_model) or selection.is_secret_field(each)

    def read(page: Sequence[Row]) -> Mapping[Any, list[Any]]:
        found = defaultdict(list)
        rows = kept._base_manager.using(database).filter(history_id__in=[row["pk"] for row in page]).order_by("pk")
        for key, related in rows.values_list("history_id", other):
            found[key].append(told(related, is_secret))
        return found

    return read
