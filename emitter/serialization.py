"""Values as JSON can hold them: without queries, without calling the project's code, without secrets."""

import math
from collections.abc import Callable, Collection, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType, NoneType
from typing import Any
from uuid import UUID

from django.core.files import File
from django.db.models import Model
from django.db.models.query import QuerySet
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from emitter import privacy, selection
from emitter.complaints import complain
from emitter.conf import conf
from emitter.lazy import unwrapped
from emitter.memory import layout
from emitter.names import LONG
from emitter.values import Column, column_of

DEPTH = 8  # of nested values; what lies deeper is told by type
ITEMS = 200  # of one list or mapping
VALUES = 10_000  # in all of one argument: depth and items alone would let a graph of lists grow without end
LETTERS = 200  # of a text that count as one value more
TEXT = 10_000  # characters of one text
LEAST, MOST = -(2**63), 2**63 - 1
MOST_DIGITS = 10**4000  # Python writes no number of more than 4,300 digits
CALLABLE = type | FunctionType | MethodType | BuiltinFunctionType
NAMING = ("name", "key", "field")  # members that name what is in the member ``value``
PLAIN = 12  # characters of a text that is told as it is if it has none of `SIGNS`: no kind of secret is as short
SIGNS = (":", "=", "%", "<", '"', "'", " ")
# Values that the encoder writes by itself, of exactly these types, so that no code of the project runs.
NATIVE = frozenset([type(None), bool, Decimal, UUID, datetime, date, time])


def label_of(model: type[Model]) -> str:
    """Return ``shop.Order``; a proxy counts as what it stands for, since it is the same object."""
    concrete: str = (model._meta.concrete_model or model)._meta.label
    return concrete


label: Callable[[type[Model]], str] = cache(label_of)


def sender(value: Any) -> str | None:
    """Return the sender of a signal: a model's label, a class's or function's dotted path, else its type's."""
    kind = type(value)
    if value is None:
        return None
    if issubclass(kind, str):
        return text(str.__str__(value))
    if issubclass(kind, Model):
        return label(kind)
    if issubclass(kind, type) and issubclass(value, Model):
        return label(value)
    named = value if issubclass(kind, CALLABLE) else kind
    return f"{named.__module__}.{named.__qualname__}"


def subject(instance: Model) -> str | None:
    """Return ``shop.Order/42``, ``shop.Line/42,1`` for a composite key; None without one. Reads no deferred field."""
    return subject_of(type(instance), instance.__dict__)


def subject_of(model: type[Model], held: Mapping[str, Any]) -> str | None:
    names = layout(model).keys
    if type(key := held.get(names[0])) is int and len(names) == 1 and not selection.has_secret_key(model):
        return f"{label(model)}/{key}"
    keys = [each.stored(held.get(name)) for name, each in zip(names, key_columns(model), strict=True)]
    return None if None in keys else f"{label(model)}/{key_of(model, keys)}"


@cache
def key_columns(model: Any) -> tuple[Column, ...]:
    return tuple(column_of(each) for each in model._meta.concrete_fields if each.attname in layout(model).keys)


def key_of(model: type[Model], keys: list[Any]) -> str:
    """Return a primary key as text, masked where it is itself a secret, as that of a token is."""
    if selection.has_secret_key(model):
        return privacy.mask(keys[0] if len(keys) == 1 else keys, conf.mask_secret)
    return ",".join(str(key if type(key) in NATIVE else json_safe(key)) for key in keys)


def named(name: str, value: Any, depth: int = 0, left: "Left | None" = None) -> Any:
    if value is not None and selection.is_secret_name(name):
        return privacy.mask(value, conf.mask_secret)
    return json_safe(value, depth, left)


class Left:
    """How much of one argument may still be told: so many values, of which a long text counts as several."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = VALUES


def json_safe(value: Any, depth: int = 0, left: Left | None = None) -> Any:
    """Return ``value`` as the encoder can write it, of the same type where JSON has it; else by its type's name."""
    kind = type(value)
    if kind in NATIVE:
        return value
    if left is not None:
        left.values -= 1 if kind is not str else 1 + len(value) // LETTERS
        if left.values < 0:
            return type_name(value)
    if kind is str:
        return value if len(value) <= PLAIN and is_plain(value) else text(value)
    if kind is int and LEAST <= value <= MOST:
        return value
    if kind is float:
        return value if math.isfinite(value) else str(value)
    left = left or Left()
    try:
        if depth < DEPTH and (kind is dict or kind is list):
            return mapping(value, depth + 1, left) if kind is dict else several(value, kind, depth + 1, left)
        return plain(unwrapped(value), depth, left)
    except Exception as error:  # noqa: BLE001  # a value's own code may fail, which costs the value and not the event
        complain("payload", "A value could not be told", error)
        return type_name(value)


def plain(value: Any, depth: int, left: Left) -> Any:
    kind = type(value)  # and never isinstance(), which asks the value itself
    if issubclass(kind, bool | NoneType):
        return value
    if issubclass(kind, Enum):
        return json_safe(value.value, depth, left)
    if issubclass(kind, str):
        return text(str.__str__(value))
    if issubclass(kind, Promise):
        return text(str(value)) if is_translation(value) else type_name(value)
    if issubclass(kind, int):
        return whole(int(value))
    if issubclass(kind, float):
        return json_safe(float(value))
    if issubclass(kind, Model):
        return subject(value) or label(kind)
    if issubclass(kind, QuerySet):
        return f"<QuerySet of {label(value.model)}>"
    return scalar(value, kind, depth, left)


def scalar(value: Any, kind: type, depth: int, left: Left) -> Any:
    if issubclass(kind, datetime | time):
        return value.isoformat().replace("+00:00", "Z")  # as the encoder does
    if issubclass(kind, date):
        return value.isoformat()
    if issubclass(kind, timedelta):
        return duration_iso_string(value)
    if issubclass(kind, Decimal | UUID):
        return str(value)
    if issubclass(kind, File):
        return None if value.name is None else text(str(value.name))
    if issubclass(kind, type):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(kind, "resolve_expression"):
        return {"expression": kind.__qualname__}
    if depth < DEPTH and issubclass(kind, Mapping):
        return mapping(value, depth + 1, left)
    if depth < DEPTH and issubclass(kind, list | tuple | Set):
        return several(value, kind, depth + 1, left)
    return type_name(value)


def several(value: Any, kind: type, depth: int, left: Left) -> Any:
    """Return a list; of a named tuple, a mapping; a pair of a secret name and a value without the value."""
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return mapping(dict(zip(kind._fields, value, strict=False)), depth, left)
    if issubclass(kind, list | tuple) and len(value) == 2 and type(value[0]) is str and value[1] is not None:
        return [json_safe(value[0], depth, left), named(value[0], value[1], depth, left)]
    found = [json_safe(item, depth, left) for item, _ in zip(value, range(ITEMS), strict=False)]
    return [*found, more(value)] if len(value) > ITEMS else found


def more(value: Collection[Any]) -> str:
    """Return what stands for the items that are left out."""
    return f"<{len(value) - ITEMS} more>"


def mapping(value: Mapping[Any, Any], depth: int, left: Left) -> dict[str, Any]:
    told = {}
    names_one = "value" in value and names_secret(value)
    for key, item in value.items() if len(value) <= ITEMS else islice(value.items(), ITEMS):
        name, is_secret = told_name(key) if type(key) is str and len(key) <= LONG else name_of(key)
        is_masked = item is not None and (is_secret or (names_one and name == "value"))
        told[name] = privacy.mask(item, conf.mask_secret) if is_masked else json_safe(item, depth, left)
    if len(value) > ITEMS:
        told["…"] = more(value)
    return told


def name_of(key: Any) -> tuple[str, bool]:
    """Return a member's name as it is told, and whether it is that of a secret."""
    name = key_text(key)
    return name, selection.is_secret_name(name)


told_name = selection.remembered(name_of)  # names are few, and looked at for each value


def names_secret(value: Mapping[Any, Any]) -> bool:
    """Tell whether one member names what is in another, as in ``{"name": "password", "value": "…"}``."""
    return any(type(value.get(key)) is str and selection.is_secret_name(value[key]) for key in NAMING)


def key_text(key: Any) -> str:
    kind = type(key)
    if kind is str:
        return str(json_safe(key))
    if issubclass(kind, Enum):
        name = text(str(key.name))
        return name if selection.is_secret_name(name) else key_text(key.value)
    if key is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[key]  # as JSON writes them
    return text(key.decode("latin-1")) if issubclass(kind, bytes) else str(json_safe(key))


def is_translation(value: Any) -> bool:
    """Tell whether a lazy value is Django's own text or address, so that none of the project's code makes it."""
    function = value.__reduce__()[1][0]
    return str(getattr(function, "__module__", "")).startswith("django.")


def whole(value: int) -> int | str:
    """Return a number, as text where it is beyond 64 bits."""
    if LEAST <= value <= MOST:
        return value
    return str(value) if abs(value) < MOST_DIGITS else "<builtins.int>"


def type_name(value: Any) -> str:
    kind = type(value)
    return f"<{type.__getattribute__(kind, '__module__')}.{type.__getattribute__(kind, '__qualname__')}>"


def is_plain(value: str) -> bool:
    for sign in SIGNS:
        if sign in value:
            return False
    return value.isprintable()


def text(value: str) -> str:
    """Return ``value`` without secrets, and without what no store can hold (NUL, lone surrogates), cut at `TEXT`."""
    return selection.scrubbed(value, TEXT, "…")
