"""What events are told apart by in a count, and which of it is counted as they come."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Case, DateTimeField, F, Func, TextField, Value, When
from django.db.models.functions import Cast, Collate, Concat

DIMENSIONS: Final = ("type", "source", "sender", "action", "outcome")  # in the order of SQL's GROUPING
# What is counted together: everything, each dimension by itself, the catalogue of signals, each combination.
GROUPINGS: Final = ((), *((name,) for name in DIMENSIONS), ("type", "sender"), DIMENSIONS)
TEXT: Final = TextField()


def rolled(kept: tuple[str, ...]) -> int:
    """Return what SQL's GROUPING() of all dimensions is in a row that tells those in ``kept`` apart."""
    return sum(1 << place for place, name in enumerate(reversed(DIMENSIONS)) if name not in kept)


def grouping_of(columns: frozenset[str]) -> tuple[str, ...] | None:
    """Return the smallest grouping that tells all of ``columns`` apart; None when one of them isn't counted by."""
    return next((grouping for grouping in GROUPINGS if columns <= set(grouping)), None)


@dataclass(frozen=True, slots=True)
class By:
    """A value that events are told apart by, as text, and the columns that it is made of."""

    columns: frozenset[str]
    value: Callable[[str], Any]  # an expression, given what stands before the name of a column


def column(name: str) -> By:
    # In one table or another it has a collation of its own.
    return By(frozenset({name}), lambda prefix: Collate(F(prefix + name), "C"))


def subject(prefix: str) -> Case:
    whole = Concat(f"{prefix}sender", Value("/"), f"{prefix}object_id", output_field=TEXT)
    return Case(When(**{f"{prefix}object_id": None}, then=None), default=whole, output_field=TEXT)


def signal(prefix: str) -> Cast:
    return Cast(Func(f"{prefix}type", f"{prefix}sender", function="jsonb_build_array", output_field=TEXT), TEXT)


ALL = By(frozenset(), lambda prefix: Value(None, TEXT))
SIGNAL = By(frozenset({"type", "sender"}), signal)  # as JSON
GROUP_BY = {name: column(name) for name in (*DIMENSIONS, "actor")}
TOP_BY = GROUP_BY | {"object": By(frozenset({"sender", "object_id"}), subject)}


class Truncated(Func):
    """When the interval of a moment begins, as a moment; Django's Trunc makes a local time of it."""

    template = "date_trunc('%(interval)s', %(expressions)s, 'UTC')"
    output_field = DateTimeField()

    def __init__(self, moment: str, interval: str) -> None:
        super().__init__(moment, interval=interval)
