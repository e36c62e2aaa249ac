"""What is told of a call that changes many rows: conditions, keys, values. No query, no code of the project."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Model
from django.db.models.query import QuerySet
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND

from emitter import payload, selection
from emitter.conf import conf
from emitter.selection import Policy

ROWS = 100  # of which bulk_create and bulk_update tell the values


def told_values(policy: Policy, model: Any, values: dict[str, Any]) -> dict[str, Any]:
    secret = dict(policy.fields)
    names = {name: model._meta.get_field(name).attname if name != "pk" else model._meta.pk.attname for name in values}
    return {
        names[name]: payload.told(value.pk if isinstance(value, Model) else value, secret[names[name]])
        for name, value in values.items()
        if names[name] in secret
    }


def matched(queryset: QuerySet[Any], policy: Policy, count: int) -> dict[str, Any]:
    """Return the conditions if they are simple ones, the count, and the keys where the conditions name as many."""
    found = conditions(queryset.query)
    key = queryset.model._meta.pk.attname
    known = found or {}
    named = dict.fromkeys(known.get(f"{key}__in", [known[key]] if key in known else []))
    pks = told_keys(queryset.model, named) if count == len(named) else None
    return {"where": told_conditions(found, policy), "count": count, "pks": pks}


def conditions(query: Query) -> dict[str, Any] | None:
    """Return ``{"status": "new", "id__in": [1, 2]}`` where all that is asked of the rows has that form, else None."""
    where = query.where
    if where.connector != AND or where.negated or query.is_sliced:
        return None
    found: dict[str, Any] = {}
    for each in where.children:
        left, value = getattr(each, "lhs", None), getattr(each, "rhs", None)
        target, lookup = getattr(left, "target", None), getattr(each, "lookup_name", None)
        if target is None or getattr(left, "alias", None) != query.base_table:  # of another table
            return None
        name = target.attname if lookup == "exact" else f"{target.attname}__{lookup}"
        if name in found or not is_simple(lookup, value):
            return None
        found[name] = [one for one in value or () if one is not None] if lookup == "in" else value  # as SQL does
    return found


def is_simple(lookup: str | None, value: Any) -> bool:
    values = value if lookup == "in" and isinstance(value, list | tuple | set | frozenset) else [value]
    if lookup not in {"exact", "in", "isnull"} or (lookup == "in" and values is not value):
        return False
    return not any(hasattr(type(each), "resolve_expression") for each in values)


def told_conditions(found: dict[str, Any] | None, policy: Policy) -> dict[str, Any] | None:
    """Return the conditions as they can be told: None if one is too long, or about a field that isn't told."""
    secret = dict(policy.fields)
    told = {}
    for name, value in (found or {}).items():
        attribute = name.removesuffix("__in").removesuffix("__isnull")
        if attribute not in secret or (isinstance(value, list) and len(value) > payload.ITEMS):
            return None
        told[name] = payload.told(value, secret[attribute])
    return None if found is None else told


def told_keys(model: type[Model], keys: Iterable[Any]) -> list[Any]:
    known = (key for key in keys if key is not None)
    secret = selection.has_secret_key(model)
    return [payload.told(key, secret) for key, _ in zip(known, range(conf.bulk_pks), strict=False)]


def listed(model: type[Model], objects: Any, policy: Policy, names: list[str]) -> dict[str, Any]:
    """Return what is told of objects in memory: their number, their keys up to a limit, the values of some."""
    secret = dict(policy.fields)
    objects = list(objects)
    rows = [
        {name: payload.told(each.__dict__[name], secret[name]) for name in names if name in each.__dict__}
        for each in objects[:ROWS]
    ]
    keys = told_keys(model, (each.pk for each in objects))
    return {"fields": names, "count": len(objects), "pks": keys, "rows": rows, "complete": len(objects) <= ROWS}
