"""Copies of field values which in-place changes don't reach, and whether two values are the same to the database."""

import json
import math
import pickle
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.core.files import File
from django.db.models import Field

from emitter.event import EncodingErrors

IMMUTABLE = frozenset(
    [type(None), bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta, frozenset]
)
CONTAINERS = frozenset([dict, list])  # what JSON is decoded to, and may be changed in place
UNKNOWN = object()
encode = msgspec.json.Encoder().encode


class Encoded:
    """The JSON that a value was loaded from."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Frozen:
    """A copy of a mutable value, kept as bytes: the cheapest copy there is, which in-place changes don't reach."""

    __slots__ = ("pickled",)

    def __init__(self, value: Any) -> None:
        self.pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def freeze(value: Any) -> Any:
    """Return ``value``, or a copy of it if it might be changed in place; `UNKNOWN` if it can't be copied."""
    if type(value) in IMMUTABLE:
        return value
    if isinstance(value, File):
        return value.name
    try:
        return Frozen(value)
    except Exception:  # noqa: BLE001  # pickle runs the value's own code
        return UNKNOWN


def thaw(value: Any) -> Any:
    """Return the value that `freeze` was given."""
    if type(value) is Frozen:
        return pickle.loads(value.pickled)  # noqa: S301  # pickled in this process
    return json.loads(value.text) if type(value) is Encoded else value


def is_expression(value: Any) -> bool:
    """Tell whether the database computes the value, which only it then knows. For values that aren't `IMMUTABLE`."""
    return hasattr(value, "resolve_expression")


def differs(each: "Field[Any, Any]", old: Any, new: Any) -> bool:
    """Tell whether two values of a field are different once saved: '9.90' and Decimal('9.90') are not."""
    kind = type(new)
    if old is new or (type(old) is kind and kind in IMMUTABLE and old == new):
        return False
    if kind not in IMMUTABLE and is_expression(new):
        return True
    read: Callable[[Any], Any] = each.to_python
    if kind in CONTAINERS and type(old) is kind and is_written_alike(old, new):
        return False
    try:
        old, new = read(old), read(new)
        return not is_same(old, new) and not (is_nan(old) and is_nan(new))
    except Exception:  # noqa: BLE001  # what a field can't read is at least not what it was
        return True


def is_written_alike(old: Any, new: Any) -> bool:
    """Tell whether two values are the same JSON; False also where they aren't JSON. A quick way for most."""
    try:
        return bool(old == new) and encode(old) == encode(new)
    except EncodingErrors:
        return False


def is_same(old: Any, new: Any) -> bool:
    """Tell whether two values are equal, and in JSON and arrays of the same types: 1 is not True there."""
    match old, new:
        case dict(), dict():
            return old.keys() == new.keys() and all(is_same(old[key], new[key]) for key in old)
        case list() | tuple(), list() | tuple():
            return len(old) == len(new) and all(map(is_same, old, new))
        case _:
            return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
