"""What the database held before a save, remembered when an object was loaded or saved: a diff then costs no query.

A snapshot hangs on ``instance._state`` and is never changed. One that was taken in a transaction knows what became of
it: once that was rolled back, the snapshot before it is what the database holds.
"""

import json
import math
import pickle
import threading
from collections.abc import Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, wraps
from typing import Any
from uuid import UUID

from django.core.files import File
from django.db import connections
from django.db.models import Field, JSONField, Model

from emitter import transactions
from emitter.complaints import complain
from emitter.transactions import Fate

ATTRIBUTE = "heliograph"  # of instance._state
WATCHED = "_heliograph_watched"  # of from_db and refresh_from_db
IMMUTABLE = frozenset(
    [type(None), bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta, frozenset]
)
UNKNOWN = object()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the database ``using`` held of one row, by attribute name, and whether it was ``loaded`` or ``saved``."""

    using: str | None
    values: Mapping[str, Any]
    source: str
    fate: Fate | None = None
    before: "Snapshot | None" = None


@dataclass(slots=True)
class Diff:
    """``changes`` maps a field to its old and new value; ``fields`` has new values whose old ones aren't known."""

    source: str
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)


def watch(model: type[Model]) -> None:
    """Have ``model`` remember what was loaded: three of its methods are wrapped, once."""
    if WATCHED not in vars(model):
        setattr(model, WATCHED, True)
        model.from_db = classmethod(watched_from_db(model))  # type: ignore[assignment,method-assign]
        for name, watched in (("refresh_from_db", watched_refresh), ("__getstate__", watched_getstate)):
            setattr(model, name, watched(unwatched(getattr(model, name))))


def unwatched(method: Any) -> Any:
    """Return a method without the wrapping that a parent of its model got."""
    return method.__wrapped__ if getattr(method, WATCHED, False) else method


def watched_from_db(model: type[Model]) -> Any:
    original = unwatched(model.from_db.__func__)  # type: ignore[attr-defined]  # it is a classmethod
    texts = [json_texts(each) for each in model._meta.concrete_fields if isinstance(each, JSONField)]
    has_mutable = any(is_mutable(each) for each in model._meta.concrete_fields)
    waiting = transactions.waiting

    @wraps(original)
    def from_db(cls: type[Model], db: str | None, field_names: Any, values: Any, *args: Any, **kwargs: Any) -> Any:
        if has_mutable or waiting:
            known: Any = loaded(cls, db, field_names, values)  # before the project's code may change a value in place
        elif texts:
            known = (db, field_names, values, [each.last for each in texts])
        else:
            known = (db, field_names, values, ())  # no more than this on the path of every row
        instance = original(cls, db, field_names, values, *args, **kwargs)
        try:
            instance._state.heliograph = known
        except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
            complain("load", "What was loaded could not be remembered", error)
        return instance

    setattr(from_db, WATCHED, True)
    return from_db


def watched_refresh(original: Any) -> Any:
    @wraps(original)
    def refresh_from_db(self: Model, *args: Any, **kwargs: Any) -> Any:
        fields = args[1] if len(args) > 1 else kwargs.get("fields")
        if isinstance(fields, Iterator):  # to be read twice
            fields = list(fields)
            if len(args) > 1:
                args = (args[0], fields, *args[2:])
            else:
                kwargs["fields"] = fields
        result = original(self, *args, **kwargs)
        try:
            refreshed(self, fields)
        except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
            complain("load", "What was refreshed could not be remembered", error)
        return result

    setattr(refresh_from_db, WATCHED, True)
    return refresh_from_db


def watched_getstate(original: Any) -> Any:
    """Leave what we remember out of pickles: a cache should hold no more for our sake."""

    @wraps(original)
    def getstate(self: Model) -> Any:
        state = original(self)
        try:
            return without_memory(state)
        except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
            complain("pickle", "What is remembered could not be left out of a pickle", error)
        return state

    setattr(getstate, WATCHED, True)
    return getstate


def without_memory(state: Any) -> Any:
    """Return what ``__getstate__`` gave, which may be of any form and may share its ``_state`` with the instance."""
    held = state.get("_state") if isinstance(state, dict) else None
    if ATTRIBUTE not in getattr(held, "__dict__", ()):
        return state
    bare = copy(held)
    delattr(bare, ATTRIBUTE)
    return {**state, "_state": bare}


def refreshed(instance: Model, names: Collection[str] | None) -> None:
    """Note that ``names``, or all loaded fields, hold what the database holds."""
    using = instance._state.db
    known = snapshot(instance, using)
    fresh = {
        each.attname: value
        for each, value in loaded_fields(instance)
        if names is None or each.attname in names or each.name in names
    }
    frozen = {name: freeze(value) for name, value in fresh.items()}
    note(instance, Snapshot(using=using, values={**known.values, **frozen}, source="loaded", fate=open_fate(using)))


def snapshot(instance: Model, using: str | None) -> Snapshot:
    """Return what is known of the row of ``instance`` in ``using``; empty when nothing is."""
    found: Any = getattr(instance._state, ATTRIBUTE, None)
    if type(found) is tuple:
        db, names, values, texts = found
        found = Snapshot(using=db, values=with_texts(by_name(type(instance), names, values), texts), source="loaded")
        note(instance, found)
    while found is not None and found.fate is not None and found.fate.is_rolled_back:
        found = found.before
    if found is None or found.using != using or not is_of_row(found, instance):
        return Snapshot(using=using, values={}, source="none")
    known: Snapshot = found
    return known


def is_of_row(known: Snapshot, instance: Model) -> bool:
    held = instance.__dict__
    return all(known.values.get(name, UNKNOWN) == held.get(name) for name in key_names(type(instance)))


@cache
def key_names(model: type[Model]) -> tuple[str, ...]:
    """Return the attribute name of the primary key, or those of a composite one."""
    return tuple(each.attname for each in getattr(model._meta, "pk_fields", None) or [model._meta.pk])


def note(instance: Model, known: Snapshot) -> None:
    setattr(instance._state, ATTRIBUTE, known)


class Texts(threading.local):
    """What a JSON field was decoded from last, in this thread: its value and the text, which can't be changed."""

    last: tuple[Any, Any] = (None, None)


def json_texts(each: "JSONField") -> Texts:
    """Have a JSON field keep the text that it decoded last: `from_db` comes right after it, row by row."""
    found: Texts | None = each.__dict__.get(ATTRIBUTE)
    if found is None:
        texts = each.__dict__[ATTRIBUTE] = found = Texts()
        original = each.from_db_value

        def from_db_value(value: Any, *args: Any) -> Any:
            decoded = original(value, *args)
            texts.last = (decoded, value)
            return decoded

        each.__dict__["from_db_value"] = from_db_value
    return found


def with_texts(values: dict[str, Any], texts: Collection[tuple[Any, Any]]) -> dict[str, Any]:
    """Return ``values`` with the texts of those that may have been changed in place since."""
    return {name: value if type(value) in IMMUTABLE else text_of(value, texts) for name, value in values.items()}


def text_of(value: Any, texts: Collection[tuple[Any, Any]]) -> Any:
    found = next((text for decoded, text in texts if decoded is value), None)
    return (
        Encoded(found) if isinstance(found, str) else freeze(value) if not isinstance(value, list | dict) else UNKNOWN
    )


def saved(
    instance: Model,
    using: str,
    update_fields: Collection[str] | None,
    fate: Fate | None,
    found: Diff | None = None,
) -> None:
    """Note that the database holds what was saved just now: what ``found`` tells of it, else all."""
    before = snapshot(instance, using)
    if before.fate is not None and before.fate.outcome is not None:
        before = replace(before, fate=None, before=None)  # decided: what was before it is of no more use
    values = dict(before.values)
    for name, value in told_values(found) if found else named_values(instance, update_fields):
        if hasattr(value, "resolve_expression"):
            values.pop(name, None)  # the database computed it, and only it knows
        else:
            values[name] = freeze(value)
    values.update({name: instance.__dict__.get(name) for name in key_names(type(instance))})
    is_open = fate is not None and fate.outcome is None
    note(
        instance,
        Snapshot(using=using, values=values, source="saved", fate=fate, before=before if is_open else None),
    )


def told_values(found: Diff) -> Iterator[tuple[str, Any]]:
    yield from found.fields.items()
    for name, (_, new) in found.changes.items():
        yield name, new


def named_values(instance: Model, update_fields: Collection[str] | None) -> Iterator[tuple[str, Any]]:
    for each, value in saved_fields(instance, update_fields):
        yield each.attname, value


def select(instance: Model, using: str) -> None:
    """Note what the database holds now, if only that there is no such row. One query."""
    row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values().first() or {}
    values = {name: freeze(value) for name, value in row.items()}
    note(instance, Snapshot(using=using, values=values, source="select", fate=open_fate(using)))


def diff(instance: Model, using: str, update_fields: Collection[str] | None) -> Diff:
    """Return what a save that was done just now changed, against what was known before. No query."""
    known = snapshot(instance, using)
    found = Diff(known.source)
    before, now = known.values, instance.__dict__
    for each in instance._meta.concrete_fields:
        name = each.attname
        new = now.get(name, UNKNOWN)
        old = before.get(name, UNKNOWN)
        if new is old or new is UNKNOWN or each.primary_key or each.generated:
            continue
        if update_fields is not None and each.name not in update_fields and name not in update_fields:
            continue
        old = thaw(old)
        if old is UNKNOWN:
            found.fields[name] = new
        elif differs(each, old, new):
            found.changes[name] = (old, new)
    return found


def written(instance: Model, using: str, update_fields: Collection[str] | None) -> Diff:
    """Return what a save that was done just now wrote, held against nothing."""
    return Diff("off", fields={each.attname: value for each, value in saved_fields(instance, update_fields)})


def saved_fields(instance: Model, update_fields: Collection[str] | None) -> Iterator[tuple[Any, Any]]:
    """Yield the fields that a save wrote, with their values: those named, else all that are loaded."""
    for each, value in loaded_fields(instance):
        if each.primary_key or each.generated:  # the database computes the latter, and the instance may be behind
            continue
        if update_fields is None or each.name in update_fields or each.attname in update_fields:
            yield each, value


def loaded_fields(instance: Model) -> Iterator[tuple[Any, Any]]:
    values = instance.__dict__
    for each in instance._meta.concrete_fields:
        if each.attname in values:
            yield each, values[each.attname]


def loaded(model: type[Model], using: str | None, names: Any, values: Any) -> Snapshot | None:
    try:
        frozen = {name: freeze(value) for name, value in by_name(model, names, values).items()}
        return Snapshot(using=using, values=frozen, source="loaded", fate=open_fate(using))
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("load", "What was loaded could not be remembered", error)
        return None


def by_name(model: type[Model], names: Collection[str], values: Collection[Any]) -> dict[str, Any]:
    """Pair what `from_db` was given: values in the order of the fields, those left out by ``names``."""
    fields = [each.attname for each in model._meta.concrete_fields]
    if len(values) != len(fields):
        fields = [name for name in fields if name in names]
    return dict(zip(fields, values, strict=False))


def differs(each: "Field[Any, Any]", old: Any, new: Any) -> bool:
    """Tell whether two values of a field are different once saved: '9.90' and Decimal('9.90') are not."""
    if old is new or (type(old) is type(new) and type(old) in IMMUTABLE and old == new):
        return False
    if hasattr(new, "resolve_expression"):
        return True
    try:
        old, new = each.to_python(old), each.to_python(new)
        return not is_same(old, new) and not (is_nan(old) and is_nan(new))
    except Exception:  # noqa: BLE001  # what a field can't read is at least not what it was
        return True


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
    if type(value) is Frozen:
        return pickle.loads(value.pickled)  # noqa: S301  # pickled in this process
    return json.loads(value.text) if type(value) is Encoded else value


def is_mutable(each: Any) -> bool:
    """Tell whether a field's values must be copied: all but Django's own, and JSON of another form than plain."""
    if isinstance(each, JSONField) and (each.decoder is not None or type(each) is not JSONField):
        return True
    return not type(each).__module__.startswith("django.db.models.")


def open_fate(using: str | None) -> Fate | None:
    """Return the fate that what is read now shares, if anything waits for a commit there."""
    if using is None or not transactions.waiting:
        return None
    return transactions.ledger(connections[using]).latest
