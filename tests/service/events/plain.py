"""What ``GET events/`` has to find, said a second time: by its documentation, over the events as they were sent.

Nothing of the service is imported, so that none of its faults is repeated here.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

Event = dict[str, Any]
NOTHING = object()
SAID = ("type", "source", "sender", "object_id", "action", "actor", "correlationid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One thing asked for. Without a ``name`` it is free text; ``path`` goes with the name ``data``."""

    name: str
    value: str
    path: tuple[str, ...] = ()
    negated: bool = False

    def finds(self, event: Event) -> bool:
        return self.negated != holds(self, event)


def holds(ask: Ask, event: Event) -> bool:
    name, _, way = ask.name.partition("__")
    told = attribute(event, name)
    match way or name:
        case "":
            return any(ascii_lower(ask.value) in ascii_lower(text) for text in texts(event))
        case "gte":
            return occurred(event) >= moment(ask.value)
        case "lt":
            return occurred(event) < moment(ask.value)
        case "in":
            return told in ask.value.split(",")
        case "startswith":
            return told is not None and told.startswith(ask.value)
        case "traceid" | "emitterid":
            return told is not None and digits(told) == digits(ask.value)
        case "changed":
            changes = at(event.get("data"), ("changes",))
            return isinstance(changes, dict) and ask.value in changes
        case "data":
            return is_written(at(event.get("data"), ask.path), ask.value)
    return told == ask.value


def attribute(event: Event, name: str) -> str | None:
    match name:
        case "object_id":
            sender, subject = event.get("sender"), event.get("subject", "")
            return subject.removeprefix(f"{sender}/") if sender and subject.startswith(f"{sender}/") else None
        case "traceid":
            return event["traceparent"].split("-")[1] if "traceparent" in event else None
    found: str | None = event.get(name)
    return found


def occurred(event: Event) -> datetime:
    return moment(event["time"]) if "time" in event else minted(event)


def minted(event: Event) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(event["id"].replace("-", "")[:12], 16))


def moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def digits(text: str) -> str:
    return text.replace("-", "").lower()


def texts(event: Event) -> Iterator[str]:
    yield from (text for name in SAID if (text := attribute(event, name)) is not None)
    yield from (value for _, value in leaves(event.get("data")) if isinstance(value, str))


def ascii_lower(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what ``value`` holds that is neither object nor array, each with its path."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from leaves(inner, (*path, name))
        case list():
            for place, inner in enumerate(value):
                yield from leaves(inner, (*path, str(place)))
        case _:
            yield path, value


def at(value: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        match value:
            case dict():
                value = value.get(part, NOTHING)
            case list() if part.removeprefix("-").isdecimal() and -len(value) <= int(part) < len(value):
                value = value[int(part)]
            case _:
                return NOTHING
    return value


def is_written(value: Any, text: str) -> bool:
    """Tell whether ``value`` is ``text``, or the number or constant that it writes in JSON."""
    match value:
        case str():
            return value == text
        case bool() | None:
            return json.dumps(value) == text
        case int() | float():
            return Fraction(repr(value)) == number(text)
    return False


def number(text: str) -> Fraction | None:
    try:
        found = json.loads(text, parse_int=Fraction, parse_float=Fraction, parse_constant=str)
    except ValueError:
        return None
    return found if isinstance(found, Fraction) else None
