"""Make what a signal carries fit for JSON: without queries, without calling the project's code, without secrets."""

import math
import re
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
from django.core.files import File
from django.db.models import Model
from django.db.models.query import QuerySet
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from emitter import privacy, selection
from emitter.changes import Diff, key_names
from emitter.complaints import complain
from emitter.conf import conf
from emitter.lazy import unwrapped
from emitter.selection import Policy

DEPTH = 8  # of nested values; what lies deeper is told by type
ITEMS = 200  # of one list or mapping
VALUES = 10_000  # in all of one argument: depth and items alone would let a graph of lists grow without end
TEXT = 10_000  # characters of one text
MARGIN = 1_000  # more, looked at before the cut: half a secret doesn't look like one
SHORT = 200  # characters of one text in an event that would be too large
DATA = 200_000  # bytes of an event's data; the service takes 256 KiB in all
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
    """Return ``shop.Order/42``, ``shop.Line/42,1`` for a composite key; None without one. Reads no deferred field."""
    key = key_of(type(instance), [instance.__dict__.get(name) for name in key_names(type(instance))])
    return None if key is None else f"{label(type(instance))}/{key}"


def key_of(model: type[Model], keys: list[Any]) -> str | None:
    """Return a primary key as text, masked where it is itself a secret, as that of a token is."""
    if None in keys:
        return None
    if selection.has_secret_key(model):
        return privacy.mask(keys[0], conf.mask_secret)
    return ",".join(str(json_safe(key)) for key in keys)


def fields(instance: Model, policy: Policy) -> dict[str, Any]:
    """Return the fields that are loaded, by attribute name; a deferred one is left out, not fetched."""
    values = instance.__dict__
    return {name: told(values[name], secret) for name, secret in policy.fields if name in values}


def diff(found: Diff, policy: Policy) -> dict[str, Any]:
    """Return the members of ``data`` that tell of a change; empty when nothing that is told has changed."""
    changes = {
        name: [told(value, secret) for value in found.changes[name]]
        for name, secret in policy.fields
        if name in found.changes
    }
    unknown = {name: told(found.fields[name], secret) for name, secret in policy.fields if name in found.fields}
    return {key: value for key, value in (("changes", changes), ("fields", unknown)) if value}


def told(value: Any, is_secret: bool) -> Any:
    return privacy.mask(value, conf.mask_secret) if is_secret and value is not None else json_safe(value)


def keywords(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a signal, without ``signal`` and ``sender``."""
    return {name: named(name, value) for name, value in arguments.items() if name not in {"signal", "sender"}}


def named(name: str, value: Any, depth: int = 0, left: "Left | None" = None) -> Any:
    if value is None or not selection.is_secret_name(name):
        return json_safe(value, depth, left)
    return privacy.mask(value, conf.mask_secret)


class Left:
    """How many values of one argument may still be told."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = VALUES


def json_safe(value: Any, depth: int = 0, left: Left | None = None) -> Any:
    """Return ``value`` as JSON can hold it, of the same type where JSON has it; what it can't hold, by type name."""
    tell = EXACT.get(type(value))
    if left is None:
        if tell is not None:
            return tell(value)
        left = Left()
    left.values -= 1
    if left.values < 0:
        return type_name(value)
    if tell is not None:
        return tell(value)
    try:
        return plain(unwrapped(value), depth, left)
    except Exception as error:  # noqa: BLE001  # a value's own code may fail, which costs the value and not the event
        complain("payload", "A value could not be told", error)
        return type_name(value)


def plain(value: Any, depth: int, left: Left) -> Any:
    match value:
        case None | bool():
            return value
        case Enum():
            return json_safe(value.value, depth, left)
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
            return scalar(value, depth, left)


def scalar(value: Any, depth: int, left: Left) -> Any:
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return duration_iso_string(value)
        case Decimal() | UUID():
            return str(value)
        case File():
            return None if value.name is None else text(str(value.name))
        case Mapping() if depth < DEPTH:
            return mapping(value, depth + 1, left)
        case list() | tuple() | Set() if depth < DEPTH:
            return [json_safe(item, depth + 1, left) for item, _ in zip(value, range(ITEMS), strict=False)]
        case type():
            return f"{value.__module__}.{value.__qualname__}"
        case _ if hasattr(type(value), "resolve_expression"):
            return {"expression": type(value).__qualname__}
        case _:
            return type_name(value)


def type_name(value: Any) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def mapping(value: Mapping[Any, Any], depth: int, left: Left) -> dict[str, Any]:
    pairs = zip(value.items(), range(ITEMS), strict=False)
    named_pairs = ((str(json_safe(key)), item) for (key, item), _ in pairs)
    return {key: named(key, item, depth, left) for key, item in named_pairs}


def text(value: str) -> str:
    """Return ``value`` without secrets, and without what no store can hold (NUL, lone surrogates), cut at `TEXT`."""
    scrubbed = privacy.scrub(value[: TEXT + MARGIN], conf.mask_secret, selection.is_secret_name)
    cut = scrubbed if len(scrubbed) <= TEXT else scrubbed[:TEXT] + "…"
    return cut if cut.isprintable() else UNSTORABLE.sub("\ufffd", cut)


def whole(value: int) -> int | str:
    return value if value in INT64 else str(value)


def real(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def same(value: Any) -> Any:
    return value


# How values are told that most fields hold; all others take the longer way. By exact type: no code of theirs runs.
EXACT: dict[type, Callable[[Any], Any]] = {
    type(None): same,
    bool: same,
    int: whole,
    float: real,
    str: text,
    Decimal: str,
    UUID: str,
    **{kind: kind.isoformat for kind in (datetime, date, time)},
}


def fitted(data: dict[str, Any]) -> dict[str, Any]:
    """Return ``data`` cut down where it is larger than the service takes, which ``truncated`` tells.

    Long texts are cut first, then the largest members are left out.
    """
    if size(data) <= DATA:
        return data
    short: dict[str, Any] = shortened(data)
    sizes = {name: size(member) for name, member in short.items()}
    while sum(sizes.values()) > DATA * 0.9:  # the rest for names and commas
        largest = max(sizes, key=sizes.__getitem__)
        del sizes[largest], short[largest]
    return {**short, "truncated": True}


def size(value: Any) -> int:
    return len(msgspec.json.encode(value))


def shortened(value: Any) -> Any:
    match value:
        case str():
            return value if len(value) <= SHORT else value[:SHORT] + "…"
        case dict():
            return {key: shortened(member) for key, member in value.items()}
        case list():
            return [shortened(member) for member in value]
        case _:
            return value
