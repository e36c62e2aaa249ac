"""Copies of field values which in-place changes don't reach, and whether two values are the same to the database."""

import json
import math
import pickle
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.files import File
from django.db.models import Field, GenericIPAddressField, JSONField
from django.utils import timezone
from django.utils.functional import LazyObject

from emitter.event import EncodingErrors

IMMUTABLE = frozenset(
    [type(None), bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta, frozenset]
)
# Of these types, as Django's own fields have them, no two different values are stored alike.
COMPARABLE = frozenset([bool, int, str, UUID, date])
ADAPTED = frozenset([Decimal, datetime])  # of these, a value of the right type may be stored as another
UNKNOWN = object()
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


def is_plain_json(each: Any) -> bool:
    """Tell whether a field holds JSON as Python's own module reads and writes it."""
    return type(each) is JSONField and each.decoder is None and each.encoder is None


class Encoded:
    """The JSON that a value was loaded from, or saved as."""

    __slots__ = ("text",)

    def __init__(self, text: str | bytes) -> None:
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
    if issubclass(type(value), LazyObject):  # a pickle would evaluate it
        return UNKNOWN
    if isinstance(value, File):
        return value.name
    try:
        return Frozen(value)
    except Exception:  # noqa: BLE001  # pickle runs the value's own code
        return UNKNOWN


def as_json(value: Any) -> Any:
    """Return a copy of what a JSON column was given: its JSON, which costs less than a pickle, if it can be that."""
    try:
        return Encoded(encode(value))
    except EncodingErrors:
        return freeze(value)


def thaw(value: Any) -> Any:
    """Return the value that `freeze` was given."""
    if type(value) is Frozen:
        return pickle.loads(value.pickled)  # noqa: S301  # pickled in this process
    return json.loads(value.text) if type(value) is Encoded else value


def is_expression(value: Any) -> bool:
    """Tell whether the database computes the value, which only it then knows. For values that aren't `IMMUTABLE`."""
    return hasattr(value, "resolve_expression")


# The type that a column of Django's own gives back, by `Field.get_internal_type()`.
KINDS: dict[str, type] = {
    **dict.fromkeys(["CharField", "TextField", "SlugField"], str),
    **dict.fromkeys(["AutoField", "BigAutoField", "SmallAutoField", "IntegerField", "BigIntegerField"], int),
    **dict.fromkeys(["SmallIntegerField", "PositiveIntegerField", "PositiveBigIntegerField"], int),
    "PositiveSmallIntegerField": int,
    "BooleanField": bool,
    "FloatField": float,
    "DateField": date,
    "DateTimeField": datetime,
    "TimeField": time,
    "DurationField": timedelta,
    "UUIDField": UUID,
    "DecimalField": Decimal,
}


class Column(msgspec.Struct, frozen=True):
    """The field that gives a column its type, for a foreign key that of its target, and the exact type of its values.

    The type is None where it isn't known, as for a field of the project's own.
    """

    field: Any
    kind: type | None
    quantum: Decimal  # the least step of decimal numbers

    def stored(self, value: Any) -> Any:
        """Return ``value`` as the column will hold it: 7 for "7", 1.01 for 1.005. Runs none of the project's code."""
        kind, own = self.kind, type(value)
        if kind is None or own not in IMMUTABLE or value is None or (own is kind and kind not in ADAPTED):
            return value
        try:
            if own is not kind and not (kind is datetime and own is date):  # Django would warn of that
                value = self.field.to_python(value)
            if kind is datetime:
                return aware(value)
            return rounded(value, self.quantum) if kind is Decimal else value
        except Exception:  # noqa: BLE001  # what a field can't read is told as it is
            return value


def column_of(each: Any) -> Column:
    while each.is_relation and each.concrete:
        each = each.target_field
    is_djangos = type(each).__module__.startswith("django.db.models.")
    kind = KINDS.get(each.get_internal_type()) if is_djangos else None
    return Column(each, kind, Decimal(1).scaleb(-each.decimal_places) if kind is Decimal else Decimal(0))


def aware(value: Any) -> Any:
    """Return a time as Django saves it: one without a zone is of the default zone."""
    if settings.USE_TZ and type(value) is datetime and value.tzinfo is None:
        return timezone.make_aware(value, timezone.get_default_timezone())
    return value


def rounded(value: Decimal, quantum: Decimal) -> Decimal:
    """Round as Postgres does, and MySQL, to as many places as the column has."""
    return value if value.same_quantum(quantum) or not value.is_finite() else value.quantize(quantum, ROUND_HALF_UP)


def differs(each: "Field[Any, Any]", old: Any, new: Any) -> bool:
    """Tell whether two values of a field are different once saved: '9.90' and Decimal('9.90') are not."""
    kind = type(new)
    if old is new:
        return False
    if type(old) is kind and kind in IMMUTABLE:
        if old == new:
            return False
        is_djangos = type(each).__module__.startswith("django.db.models.") and type(each) is not GenericIPAddressField
        if kind in COMPARABLE and is_djangos:
            return True
    if kind not in IMMUTABLE and is_expression(new):
        return True
    if is_written_alike(each, old, new) if isinstance(each, JSONField) else is_prepared_alike(each, old, new):
        return False
    read: Callable[[Any], Any] = each.to_python
    try:
        stored = column_of(each).stored
        old, new = stored(read(old)), stored(read(new))
        return not is_same(old, new) and not (is_nan(old) and is_nan(new))
    except Exception:  # noqa: BLE001  # what a field can't read or compare is at least not what it was
        return True


def is_prepared_alike(each: "Field[Any, Any]", old: Any, new: Any) -> bool:
    """Tell whether a field of the project's own, whose values may not compare, sends the same to the database."""
    if column_of(each).kind is not None:
        return False
    try:
        old, new = each.get_prep_value(old), each.get_prep_value(new)
        return type(old) is type(new) and type(old) in IMMUTABLE and bool(old == new)
    except Exception:  # noqa: BLE001  # it runs the project's code
        return False


def is_written_alike(each: Any, old: Any, new: Any) -> bool:
    """Tell whether a column is sent the same JSON for two values; False also where they can't be written."""
    try:
        return json.dumps(old, cls=each.encoder) == json.dumps(new, cls=each.encoder)
    except Exception:  # noqa: BLE001  # an encoder may be the project's own
        return False


def is_same_json(old: Any, new: Any) -> bool:
    """Tell whether two values of a JSON column are the same JSON, for sure: in the same order, too."""
    try:
        return json_of(old) == json_of(new)
    except EncodingErrors:
        return False


def json_of(value: Any) -> bytes:
    return encode(decode(value.text) if type(value) is Encoded else value)


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
