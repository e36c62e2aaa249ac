"""Make what a signal carries fit for JSON, without queries, without calling the project's code, without secrets."""

import math
import re
from collections.abc import Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.db.models import Field, Model
from django.db.models.query import QuerySet
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from emitter.lazy import unwrapped
from emitter.privacy import MASK, is_secret

DEPTH = 8  # of nested values; what lies deeper is told by type
ITEMS = 200  # of one list or mapping
TEXT = 10_000  # characters of one text
INT64 = range(-(2**63), 2**63)
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def label(model: type[Model]) -> str:
    """Return ``shop.Order``; a proxy counts as what it stands for, since it is the same object."""
    concrete: str = (model._meta.concrete_model or model)._meta.label
    return concrete


def sender(value: Any) -> str | None:
    """Return the sender of a signal: a model's label, a class's or function's dotted path, else its type's."""
    if value is None:
        return None
    if isinstance(value, type) and issubclass(value, Model):
        return label(value)
    if isinstance(value, str):
        return text(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def subject(instance: Model) -> str | None:
    """Return ``shop.Order/42``; None without a primary key. Reads no deferred field."""
    key = instance.__dict__.get(instance._meta.pk.attname)
    return None if key is None else f"{label(type(instance))}/{json_safe(key)}"


def fields(instance: Model) -> dict[str, Any]:
    """Return the concrete fields that are loaded, by attribute name; a deferred one is left out, not fetched."""
    values = instance.__dict__
    return {
        each.attname: field_value(each, values[each.attname])
        for each in instance._meta.concrete_fields
        if each.attname in values
    }


def field_value(each: "Field[Any, Any]", value: Any) -> Any:
    return MASK if value is not None and is_secret(each.name) else json_safe(value)


def keywords(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a signal, without ``signal`` and ``sender``."""
    return {name: named(name, value) for name, value in arguments.items() if name not in {"signal", "sender"}}


def named(name: str, value: Any, depth: int = 0) -> Any:
    return MASK if value is not None and is_secret(name) else json_safe(value, depth)


def json_safe(value: Any, depth: int = 0) -> Any:
    """Return ``value`` as JSON can hold it, of the same type where JSON has it; what it can't hold, by type name."""
    value = unwrapped(value)
    match value:
        case None | bool():
            return value
        case Enum():
            return json_safe(value.value, depth)
        case str() | Promise():
            return text(str(value))
        case int():
            return int(value) if value in INT64 else str(value)
        case float():
            return float(value) if math.isfinite(value) else str(value)
        case Model():
            return subject(value) or label(type(value))
        case QuerySet():
            return f"<QuerySet of {label(value.model)}>"
        case _:
            return scalar(value, depth)


def scalar(value: Any, depth: int) -> Any:
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return duration_iso_string(value)
        case Decimal() | UUID():
            return str(value)
        case Mapping() if depth < DEPTH:
            return mapping(value, depth + 1)
        case list() | tuple() | Set() if depth < DEPTH:
            return [json_safe(item, depth + 1) for item, _ in zip(value, range(ITEMS), strict=False)]
        case type():
            return f"{value.__module__}.{value.__qualname__}"
        case _:
            return f"<{type(value).__module__}.{type(value).__qualname__}>"


def mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    pairs = zip(value.items(), range(ITEMS), strict=False)
    return {str(json_safe(key)): named(str(json_safe(key)), item, depth) for (key, item), _ in pairs}


def text(value: str) -> str:
    """Return ``value`` without what no store can hold (NUL, lone surrogates), cut at `TEXT` characters."""
    return UNSTORABLE.sub("\ufffd", value if len(value) <= TEXT else value[:TEXT] + "…")
