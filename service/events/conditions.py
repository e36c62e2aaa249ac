"""What may hold of an event, each kind said twice side by side: for Postgres and in Python.

Both say the same of every stored event, which tests/service/events/test_grammar.py holds them to. Neither is ever
unknown: where an event lacks what a condition asks of, the condition doesn't hold, and its opposite does.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from operator import and_, or_
from typing import Any, Protocol
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import BooleanField, Expression, F, Func, Q, TextField, Value

from service.events import ids
from service.events.models import Event

EARLIEST = ids.EPOCH + ids.SKEW
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
INDEX = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")  # what Postgres takes for the place of an item
ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
HAS = 'strpos(lower({} COLLATE "C"), {{1}}) > 0'
TEXTS = ("type", "source", "sender", "object_id", "action", "actor", "correlation_id")


class Condition(Protocol):
    def q(self) -> Q:
        """Return what keeps the rows of which it holds."""

    def matches(self, event: Event) -> bool: ...


@dataclass(frozen=True, slots=True)
class Criteria:
    """Conditions that all have to hold."""

    conditions: tuple[Condition, ...] = ()

    @property
    def since(self) -> datetime | None:
        """Return the moment before which none occurred of which all hold, if a condition names one."""
        return max((bounded(each.moment) for each in self.conditions if isinstance(each, Since)), default=None)

    @property
    def until(self) -> datetime | None:
        return min((bounded(each.moment) for each in self.conditions if isinstance(each, Before)), default=None)

    def q(self) -> Q:
        return reduce(and_, (condition.q() for condition in self.conditions), Q())

    def matches(self, event: Event) -> bool:
        return all(condition.matches(event) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition

    def q(self) -> Q:
        return ~self.condition.q()

    def matches(self, event: Event) -> bool:
        return not self.condition.matches(event)


@dataclass(frozen=True, slots=True)
class Is:
    column: str
    value: str | UUID

    def q(self) -> Q:
        return Q((self.column, self.value))

    def matches(self, event: Event) -> bool:
        return bool(getattr(event, self.column) == self.value)


@dataclass(frozen=True, slots=True)
class IsOneOf:
    column: str
    values: tuple[str, ...]

    def q(self) -> Q:
        return Q((f"{self.column}__in", self.values))

    def matches(self, event: Event) -> bool:
        return getattr(event, self.column) in self.values


@dataclass(frozen=True, slots=True)
class StartsWith:
    """Not LIKE, which would read ``_`` and ``%`` as more than themselves."""

    column: str
    prefix: str

    def q(self) -> Q:
        return Q(Told(F(self.column), Value(self.prefix), sql="starts_with({0}, {1})"))

    def matches(self, event: Event) -> bool:
        return str(getattr(event, self.column)).startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class Since:
    """Occurred at ``moment`` or later; the bound on the id lets Postgres leave out older partitions."""

    moment: datetime

    def q(self) -> Q:
        moment = bounded(self.moment)
        return Q(occurred_at__gte=moment, id__gte=ids.floor(moment - ids.SKEW))

    def matches(self, event: Event) -> bool:
        return event.occurred_at >= self.moment


@dataclass(frozen=True, slots=True)
class Before:
    """Occurred before ``moment``; the bound on the id lets Postgres leave out newer partitions."""

    moment: datetime

    def q(self) -> Q:
        moment = bounded(self.moment)
        return Q(occurred_at__lt=moment, id__lt=ids.floor(moment + ids.SKEW + ids.MILLISECOND))

    def matches(self, event: Event) -> bool:
        return event.occurred_at < self.moment


@dataclass(frozen=True, slots=True)
class Changed:
    """``data.changes`` is an object with this member."""

    field: str

    def q(self) -> Q:
        held = "COALESCE(jsonb_typeof({0} -> 'changes') = 'object' AND {0} -> 'changes' ? {1}, false)"
        return Q(Told(F("data"), Value(self.field), sql=held))

    def matches(self, event: Event) -> bool:
        changes = event.data.get("changes") if isinstance(event.data, dict) else None
        return isinstance(changes, dict) and self.field in changes


@dataclass(frozen=True, slots=True)
class DataIs:
    """What ``data`` has at ``path`` is ``text``, or the number, true, false or null that ``text`` writes in JSON.

    Numbers are compared by value, so that 19.90 is 19.9, and exactly. A part of the path names a member of an object,
    and where it is a whole number the place of an item in an array too, from 0, or from -1 backwards.
    """

    path: tuple[str, ...]
    text: str

    def q(self) -> Q:
        strings = ArrayField(TextField())
        values = [json.dumps(self.text), *([self.text] if self.text in CONSTANTS or is_number(self.text) else [])]
        held = "COALESCE({0} #> {1}::text[] = ANY({2}::jsonb[]), false)"
        return Q(Told(F("data"), Value([*self.path], strings), Value(values, strings), sql=held))

    def matches(self, event: Event) -> bool:
        if event.data is None:
            return False
        value = event.data
        for part in self.path:
            try:
                value = step(value, part)
            except LookupError:
                return False
        return self.is_written(value)

    def is_written(self, value: object) -> bool:
        match value:
            case str():
                return value == self.text
            case bool() | None:
                return self.text in CONSTANTS and CONSTANTS[self.text] is value
            case int() | float() | Decimal():
                return is_number(self.text) and Decimal(self.text) == exactly(value)
        return False


@dataclass(frozen=True, slots=True)
class Says:
    """One of the event's texts, or any string in its ``data``, has ``text`` in it. The case of A to Z is no matter.

    That of other letters is, since Postgres would fold them by the collation of its database.
    """

    text: str

    def q(self) -> Q:
        needle = Value(folded(self.text))
        texts = (Told(F(column), needle, sql=f"COALESCE({HAS.format('{0}')}, false)") for column in TEXTS)
        strings = """jsonb_path_query({0}, 'strict $.** ? (@.type() == "string")') AS found(string)"""
        inside = f"EXISTS (SELECT FROM {strings} WHERE {HAS.format('(string #>> ARRAY[]::text[])')})"
        return reduce(or_, map(Q, texts), Q(Told(F("data"), needle, sql=inside)))

    def matches(self, event: Event) -> bool:
        needle = folded(self.text)
        texts = (getattr(event, column) or "" for column in TEXTS)
        return any(needle in folded(text) for text in (*texts, *strings_of(event.data)))


class Told(Func):
    """Whether ``sql`` holds, in which {0}, {1} … stand for the expressions. Never null."""

    def __init__(self, *expressions: Expression | F, sql: str) -> None:
        super().__init__(*expressions, output_field=BooleanField())
        self.sql = sql

    def as_postgresql(self, compiler: Any, connection: object) -> tuple[str, list[Any]]:
        compiled = [compiler.compile(expression) for expression in self.get_source_expressions()]
        places = map(int, re.findall(r"{(\d)}", self.sql))
        return self.sql.format(*(sql for sql, _ in compiled)), [each for place in places for each in compiled[place][1]]


def bounded(moment: datetime) -> datetime:
    """Bring ``moment`` within what ids and Postgres can tell, offsets over 15:59 left out; no event is outside."""
    return min(max(moment, EARLIEST), LATEST).astimezone(UTC)


def is_number(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None


def exactly(number: float | Decimal) -> Decimal:
    """Return ``number`` as it is written: 0.1 is a tenth, though the double is a little more."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def step(value: object, part: str) -> Any:
    """Return what ``value`` has at ``part``, as Postgres' ``#>`` does. Raises LookupError where it has nothing."""
    if isinstance(value, dict):
        return value[part]
    if isinstance(value, list) and INDEX.fullmatch(part):
        return value[int(part)]
    raise LookupError(part)


def folded(text: str) -> str:
    return text.translate(ASCII_LOWER)


def strings_of(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings_of(inner)
