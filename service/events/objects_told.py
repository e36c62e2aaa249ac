"""What one event tells of one object: by its own signal, by a change of a relation, or by a call on many rows.

What the emitter writes is in docs/reference/emitter-settings.md. Anybody may send anything: of what has another form,
as much is read as has this one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.events.models import Event

CUT = "…"  # how a text ends that was too long to be told
LONG = 10_000  # characters of a text that is told whole
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ref:
    """An object, as events and addresses name it."""

    sender: str
    object_id: str


def refs_of(subject: str) -> list[Ref]:
    """Return the objects that are told as ``subject``: several where it has several slashes."""
    parts = subject.split("/")
    return [Ref("/".join(parts[:cut]), "/".join(parts[cut:])) for cut in range(1, len(parts))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Objects that were related to this one, or no more. ``object_ids`` is None where they weren't told.

    ``reverse`` is what it is from this object: True where the field is declared by the others.
    """

    field: str
    reverse: bool
    model: str | None
    operation: str
    object_ids: list[str] | None
    through: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """``fields`` are values, of which nothing says what they were before; ``untold`` were written, too.

    Where an event isn't ``certain``, it may have been about this object, or not. Where it isn't ``whole``, more was
    written, and nothing says which fields.
    """

    certain: bool = True
    whole: bool = True
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    fields: Fields = field(default_factory=dict)
    untold: frozenset[str] = frozenset()
    relation: Relation | None = None


def told(event: Event, ref: Ref) -> Told:
    data = members(event.data)
    if (event.sender, event.object_id) == (ref.sender, ref.object_id):
        return told_of_own(event.action, data)
    place = place_of(ref, data)
    if "op" in data:
        return Told(certain=place is not None, relation=None if place is None else relation_of_named(event, data))
    row = row_at(place, data)
    untold = written(data) - row.keys()
    whole = bool(row or untold) and names_left_out(data)
    return Told(certain=place is not None, whole=whole, fields=row, untold=untold)


def told_of_own(action: str | None, data: Fields) -> Told:
    """Read what a signal told of its own object. One without an action, as a project's own, tells nothing of fields."""
    if action is None:
        return Told()
    if "op" in data:
        return Told(relation=relation_of_subject(data))
    holders = ("fields",) if action == "created" else ("changes", "fields")
    changes, fields = pairs(data.get("changes")), members(data.get("fields"))
    return Told(
        whole=any(isinstance(data.get(name), dict) for name in holders) and names_left_out(data),
        changes=changes,
        fields=fields,
        untold=frozenset((members(data.get("changes")).keys() - changes.keys()) | left_out(data)),
    )


def left_out(data: Fields) -> set[str]:
    """Return the names of the fields that the emitter left out of an event that would have been too large."""
    names = (name.partition(".") for name in texts(data.get("left_out")))
    return {name for holder, _, name in names if name and holder in {"changes", "fields"}}


def names_left_out(data: Fields) -> bool:
    """Tell whether an event that was cut names the fields that it was cut by."""
    names = data.get("left_out")
    return "truncated" not in data or (isinstance(names, list) and not {"changes", "fields"} & texts(names))


def relation_of_subject(data: Fields) -> Relation:
    keys = data.get("pks")
    return Relation(
        field=str(data.get("field")),
        reverse=data.get("reverse") is True,
        model=text(data.get("model")),
        operation=str(data["op"]),
        object_ids=[key for each in keys if (key := key_text(each)) is not None] if isinstance(keys, list) else None,
        through=text(data.get("through")),
    )


def relation_of_named(event: Event, data: Fields) -> Relation:
    """Return the change as the others saw it, whose keys it told: from the other side, unless both have the same."""
    return Relation(
        field=str(data.get("field")),
        reverse=data.get("reverse") is not True and data.get("symmetrical") is not True,
        model=event.sender,
        operation="remove" if data["op"] == "clear" else str(data["op"]),
        object_ids=None if event.object_id is None else [event.object_id],
        through=text(data.get("through")),
    )


def place_of(ref: Ref, data: Fields) -> int | None:
    """Return where an object is among the keys that an event names; None where it isn't."""
    keys = data.get("pks")
    if data.get("model") != ref.sender or not isinstance(keys, list):
        return None
    return next((place for place, key in enumerate(keys) if key_text(key) == ref.object_id), None)


def row_at(place: int | None, data: Fields) -> Fields:
    """Return the values that a call on many rows wrote to one of them, as far as they are told."""
    if data.get("operation") == "update":
        return members(data.get("values"))
    rows = data.get("rows")
    if place is None or not isinstance(rows, list) or len(rows) <= place:
        return {}
    row = members(rows[place])
    if data.get("operation") == "bulk_create" and not is_row_of(row, place, data):
        return {}
    return row


def is_row_of(row: Fields, place: int, data: Fields) -> bool:
    """Tell whether a new row is the one whose key is at ``place``: objects that got no key are rows without one."""
    return len(data["pks"]) == data.get("count") or data["pks"][place] in row.values()


def written(data: Fields) -> frozenset[str]:
    """Return the names of the fields that a call on many rows wrote."""
    return texts(data.get("fields")) | members(data.get("values")).keys()


def key_fields(data: Fields) -> set[str]:
    """Return the fields that may be the primary key: those that hold it in each row, or that conditions named it by."""
    keys, where = data.get("pks"), members(data.get("where"))
    if not isinstance(keys, list) or not keys:
        return set()
    if where:
        return {
            name.removesuffix("__in") for name, value in where.items() if value in (keys, *keys[:1]) and value != []
        }
    rows = [members(row) for row in data["rows"]] if isinstance(data.get("rows"), list) else []
    names = set(rows[0]) if rows else set()
    return {name for name in names if all(row.get(name) == key for row, key in zip(rows, keys, strict=False))}


def is_unknown(value: Any) -> bool:
    """Tell whether a value stands for one that the emitter didn't know, or cut: what only the database computed."""
    match value:
        case {"expression": str(), **others}:
            return not others
        case str():
            return len(value) > LONG and value.endswith(CUT)
    return False


def is_cut(value: Any) -> bool:
    """Tell whether some text in a value may have been cut, where an event says that some were."""
    match value:
        case str():
            return value.endswith(CUT)
        case dict():
            return any(map(is_cut, value.values()))
        case list():
            return any(map(is_cut, value))
    return False


def key_text(key: Any) -> str | None:
    """Return a primary key as it is in the subject of an event: of a composite one, its parts with commas."""
    match key:
        case str():
            return key
        case None | dict():
            return None
        case bool():
            return str(key).lower()
        case list():
            return ",".join(key_text(part) or "" for part in key)
    return str(key)


def members(value: Any) -> Fields:
    return value if isinstance(value, dict) else {}


def pairs(value: Any) -> dict[str, tuple[Any, Any]]:
    return dict(pairs_in(members(value)))


def pairs_in(changes: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name, change in changes.items():
        match change:
            case [old, new]:
                yield name, (old, new)


def texts(value: Any) -> frozenset[str]:
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
