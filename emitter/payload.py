"""Make what a signal carries fit for JSON: without queries, without calling the project's code, without secrets."""

import math
import re
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from django.core.files import File
from django.db.models import Model
from django.db.models.query import QuerySet
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from emitter import privacy, selection
from emitter.changes import Diff
from emitter.complaints import complain
from emitter.conf import conf
from emitter.lazy import unwrapped
from emitter.memory import layout
from emitter.selection import Policy

DEPTH = 8  # of nested values; what lies deeper is told by type
ITEMS = 200  # of one list or mapping
VALUES = 10_000  # in all of one argument: depth and items alone would let a graph of lists grow without end
TEXT = 10_000  # characters of one text
MARGIN = 1_000  # more, looked at before the cut: half a secret doesn't look like one
SHORT = 200  # characters of one text in an event that would be too large
DATA = 200_000  # bytes of an event's data; the service takes 256 KiB in all
LEAST, MOST = -(2**63), 2**63 - 1
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# Texts that are told as they are at first sight: no kind of secret is as short and has no other character.
PLAIN = re.compile(r"[\w.,/-]{0,12}|[\w.,/ -]{0,9}")
# Values that the encoder writes by itself, of exactly these types, so that no code of the project runs.
NATIVE = frozenset([type(None), bool, Decimal, UUID, datetime, date, time])


encode = msgspec.json.Encoder().encode


def label_of(model: type[Model]) -> str:
    """Return ``shop.Order``; a proxy counts as what it stands for, since it is the same object."""
    concrete: str = (model._meta.concrete_model or model)._meta.label
    return concrete


label: Callable[[type[Model]], str] = cache(label_of)


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
    model, held = type(instance), instance.__dict__
    names = layout(model).keys
    if type(key := held.get(names[0])) is int and len(names) == 1 and not selection.has_secret_key(model):
        return f"{label(model)}/{key}"
    keys = [held.get(name) for name in names]
    return None if None in keys else f"{label(model)}/{key_of(model, keys)}"


def key_of(model: type[Model], keys: list[Any]) -> str:
    """Return a primary key as text, masked where it is itself a secret, as that of a token is."""
    if selection.has_secret_key(model):
        return privacy.mask(keys[0], conf.mask_secret)
    return ",".join(str(key if type(key) in NATIVE else json_safe(key)) for key in keys)


def fields(instance: Model, policy: Policy) -> dict[str, Any]:
    """Return the fields that are loaded, by attribute name; a deferred one is left out, not fetched."""
    held, found = instance.__dict__, {}
    for name, is_secret in policy.fields:
        if name in held:
            value = held[name]
            found[name] = value if not is_secret and type(value) in NATIVE else told(value, is_secret)
    return found


def diff(found: Diff, policy: Policy) -> dict[str, Any]:
    """Return the members of ``data`` that tell of a change; empty when nothing that is told has changed."""
    data: dict[str, Any] = {}
    changes, fields = found.changes, found.fields
    for name, is_secret in policy.fields:
        if name in changes:
            old, new = changes[name]
            data.setdefault("changes", {})[name] = [told(old, is_secret), told(new, is_secret)]
        elif name in fields:
            data.setdefault("fields", {})[name] = told(fields[name], is_secret)
    return data


def told(value: Any, is_secret: bool) -> Any:
    if value is None:
        return None
    return privacy.mask(value, conf.mask_secret) if is_secret else json_safe(value)


def keywords(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a signal, without ``signal`` and ``sender``."""
    return {name: named(name, value) for name, value in arguments.items() if name not in {"signal", "sender"}}


def named(name: str, value: Any, depth: int = 0, left: "Left | None" = None) -> Any:
    if value is not None and selection.is_secret_name(name):
        return privacy.mask(value, conf.mask_secret)
    return json_safe(value, depth, left)


class Left:
    """How many values of one argument may still be told."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = VALUES


def json_safe(value: Any, depth: int = 0, left: Left | None = None) -> Any:
    """Return ``value`` as the encoder can write it, of the same type where JSON has it; else by its type's name."""
    kind = type(value)
    if left is not None:
        left.values -= 1
        if left.values < 0:
            return type_name(value)
    if kind in NATIVE:
        return value
    if kind is str:
        return value if PLAIN.fullmatch(value) else text(value)
    if kind is int:
        return value if LEAST <= value <= MOST else str(value)
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if left is None:
        left = Left()
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
            return int(value) if LEAST <= value <= MOST else str(value)
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
        case datetime() | time():
            return value.isoformat().replace("+00:00", "Z")  # as the encoder does
        case date():
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
    told = {}
    for (key, item), _ in zip(value.items(), range(ITEMS), strict=False):
        name = key if type(key) is str and PLAIN.fullmatch(key) else str(json_safe(key))
        told[name] = named(name, item, depth, left)
    return told


def text(value: str) -> str:
    """Return ``value`` without secrets, and without what no store can hold (NUL, lone surrogates), cut at `TEXT`."""
    scrubbed = privacy.scrub(value[: TEXT + MARGIN], conf.mask_secret, selection.is_secret_name)
    cut = scrubbed if len(scrubbed) <= TEXT else scrubbed[:TEXT] + "…"
    return cut if cut.isprintable() else UNSTORABLE.sub("\ufffd", cut)


def encoded(data: dict[str, Any]) -> msgspec.Raw:
    """Return ``data`` as JSON, cut down where it is larger than the service takes."""
    written = encode(data)
    return msgspec.Raw(written if len(written) <= DATA else encode(cut(data)))


def cut(data: dict[str, Any]) -> dict[str, Any]:
    """Return ``data`` cut down, which ``truncated`` tells: long texts first, then the largest members are left out."""
    short: dict[str, Any] = shortened(data)
    sizes = {name: len(encode(member)) for name, member in short.items()}
    while sum(sizes.values()) > DATA * 0.9:  # the rest for names and commas
        largest = max(sizes, key=sizes.__getitem__)
        del sizes[largest], short[largest]
    return {**short, "truncated": True}


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
