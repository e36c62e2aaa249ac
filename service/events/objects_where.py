"""Whether a row met the conditions of a call on many rows, as the event tells them.

The service doesn't know the types of fields: two texts that differ may be one number, one moment, or one word to a
database that minds no case. So the answer is None wherever that isn't certain.
"""

import re
from collections.abc import Mapping
from typing import Any

# No number, date or UUID is written with letters only; words of ASCII letters differ in every collation.
WORD = re.compile(r"[A-Za-z]+(?:[_ -][A-Za-z]+)*")
SEPARATORS = str.maketrans("", "", "_ -")
MASK = "[masked"


def met(where: Any, row: Mapping[str, Any]) -> bool | None:
    """Tell whether ``row`` met ``where``, which is None where it couldn't be told. What ``row`` lacks is unknown."""
    if not isinstance(where, dict):
        return None
    verdicts = [condition_met(name, value, row) for name, value in where.items()]
    return False if False in verdicts else None if None in verdicts else True


def condition_met(condition: str, value: Any, row: Mapping[str, Any]) -> bool | None:
    name, _, lookup = condition.rpartition("__")
    if lookup not in {"in", "isnull"} or not name:
        name, lookup = condition, "exact"
    if name not in row:
        return None
    if lookup == "isnull":
        return (row[name] is None) is value if isinstance(value, bool) else None
    values = value if lookup == "in" and isinstance(value, list) else [value]
    verdicts = [same(row[name], each) for each in values]
    return True if True in verdicts else None if None in verdicts else False


def same(one: Any, other: Any) -> bool | None:
    """Tell whether two values are equal to the database. Null equals nothing, as in SQL, but a null in JSON."""
    if one is None or other is None:
        return None if one is other else False
    if isinstance(one, str) and isinstance(other, str):
        return same_text(one, other)
    if type(one) is int and type(other) is int:
        return one == other
    return True if type(one) is type(other) and one == other else None


def same_text(one: str, other: str) -> bool | None:
    if one == "[masked]" or other == "[masked]":  # all look alike
        return None
    if one == other:
        return True
    if one.startswith(MASK) or other.startswith(MASK):
        return None
    return False if WORD.fullmatch(one) and WORD.fullmatch(other) and letters(one) != letters(other) else None


def letters(word: str) -> str:
    return word.lower().translate(SEPARATORS)
