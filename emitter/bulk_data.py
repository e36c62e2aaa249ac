"""What is told of a call that changes many rows: conditions, keys, values. No query, no code of the project."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from django.db.models import DO_NOTHING, PROTECT, RESTRICT, Case, Model, deletion
from django.db.models.deletion import get_candidate_relations_to_delete
from django.db.models.functions import Cast
from django.db.models.query import QuerySet
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND

from emitter import payload, selection, serialization
from emitter.conf import conf
from emitter.lazy import unwrapped
from emitter.selection import Policy

ROWS = 100  # of which bulk_create and bulk_update tell the values
# What Django doesn't delete with the row it refers to: it stays, or the database sees to it, or nothing is deleted.
KEEPING = (PROTECT, RESTRICT, *getattr(deletion, "SKIP_COLLECTION", [DO_NOTHING]))


def attributes(model: type[Model], names: Iterable[str]) -> set[str]:
    """Return the attribute names of the columns that are named so or by their fields."""
    given = set(names)
    return {each.attname for each in model._meta.concrete_fields if given & {each.name, each.attname}}


def told_values(policy: Policy, model: Any, values: dict[str, Any]) -> dict[str, Any]:
    secret = dict(policy.fields)
    fields = {name: model._meta.pk if name == "pk" else model._meta.get_field(name) for name in values}
    return {
        fields[name].attname: payload.told(stored(fields[name], value), secret[fields[name].attname])
        for name, value in values.items()
        if fields[name].attname in secret
    }


def stored(field: Any, value: Any) -> Any:
    """Return what a column stores of an object that it points to; where that isn't loaded, which object it is."""
    instance = unwrapped(value)
    if not isinstance(instance, Model) or not field.remote_field:
        return value
    held, name = instance.__dict__, field.target_field.attname
    return held[name] if name in held else serialization.json_safe(instance)


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
        if attribute not in secret or (isinstance(value, list) and len(value) > serialization.ITEMS):
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


def updated(
    queryset: QuerySet[Any], policy: Policy, objects: list[Any], names: list[str], count: int
) -> dict[str, Any]:
    """Return what is told of a bulk_update: of objects of which only some were written, not which."""
    model = queryset.model
    if were_all_written(objects, count):
        return listed(model, objects, policy, names)
    if not count:
        return listed(model, [], policy, names)
    found, keys = conditions(queryset.query), {f"{model._meta.pk.attname}__in": [each.pk for each in objects]}
    where = None if found is None or found.keys() & keys.keys() else told_conditions(found | keys, policy)
    return {"fields": names, "where": where, "count": count, "pks": None, "rows": [], "complete": False}


def were_all_written(objects: list[Any], count: int) -> bool:
    """Tell whether an update of ``count`` rows was one of each object, with its values: none is there twice."""
    return count == len(objects) == len({each.pk for each in objects})


@cache
def may_cascade_into(model: type[Model]) -> bool:
    """Tell whether deleting rows of ``model`` may delete others of it, by whatever way round."""
    start = model._meta.concrete_model or model
    waiting, seen = [start], set[type[Model]]()
    while waiting:
        each = waiting.pop()
        for found in gone_with(each):
            if found is start:
                return True
            if found not in seen:
                seen.add(found)
                waiting.append(found)
    return False


def gone_with(model: Any) -> Iterator[type[Model]]:
    """Yield the models whose rows may go with those of ``model``: other rows, so not those of a child's own parent."""
    relations: Any = get_candidate_relations_to_delete(model._meta)
    for each in relations:
        on_delete = each.field.remote_field.on_delete
        if on_delete in KEEPING or getattr(on_delete, "lazy_sub_objs", False):  # SET(), SET_NULL, SET_DEFAULT
            continue
        yield each.related_model
        if not each.field.remote_field.parent_link:
            yield from each.related_model._meta.all_parents
    for each in model._meta.private_fields:
        if hasattr(each, "bulk_related_objects"):
            yield each.related_model


def is_case_of(values: Mapping[str, Any], names: set[str]) -> bool:
    """Tell whether an update is what bulk_update() makes of the fields ``names``."""
    return values.keys() == names and all(isinstance(each, Case | Cast) for each in values.values())


class Overheard:
    """Stands for an argument that may be read but once, or by a query: keeps what Django reads, when it does."""

    def __init__(self, given: Any) -> None:
        self.given = given
        self.seen: list[Any] = []

    def __bool__(self) -> bool:
        return bool(self.given)

    def __iter__(self) -> Iterator[Any]:
        for each in self.given:
            self.seen.append(each)
            yield each
