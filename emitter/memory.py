"""What the database held before a save, remembered when an object was loaded or saved: a diff then costs no query.

What is remembered hangs on ``instance._state``: the bare values of a row that was loaded, or a `Row`, a `Snapshot`, or
the last `Save`. It is never changed. What was noted in a transaction knows what became of it: once that was rolled
back, what was noted before is what the database holds.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from operator import itemgetter
from typing import Any

import msgspec
from django.db import connections
from django.db.models import Field, FileField, JSONField, Model
from django.db.models.fields.files import FieldFile, ImageFieldFile

from emitter import transactions
from emitter.complaints import complain
from emitter.transactions import Fate
from emitter.values import (
    IMMUTABLE,
    UNKNOWN,
    Encoded,
    as_json,
    freeze,
    is_expression,
    is_plain_json,
    is_same_json,
)

ATTRIBUTE = "heliograph"  # of instance._state
TEXTS = frozenset([str, bytes])  # what JSON is decoded from
CONTAINERS = frozenset([dict, list])  # what it is decoded to
FILES = frozenset([FieldFile, ImageFieldFile])
KEPT = IMMUTABLE | {Encoded}  # types of values that need no copy
DEEP = 32  # saves of one object that are remembered unlooked at: more than wait to be told, each on the one before


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the database ``using`` held of one row, by attribute name, and whether it was ``loaded`` or ``saved``."""

    using: str | None
    values: dict[str, Any]
    source: str
    fate: Fate | None = None
    before: "Snapshot | None" = None


class Row(msgspec.Struct, frozen=True):
    """What `from_db` was given, of one of several databases or of some columns only; else its values are kept bare."""

    using: str | None
    names: Collection[str] | None
    values: Collection[Any]


class Layout(msgspec.Struct, frozen=True):
    """A model's columns by attribute name, in order; those that a save writes, with their fields; those of the key.

    ``take`` gives the values of all from a ``__dict__``; ``decoded`` are columns of JSON whose text is remembered, at
    the places ``json``; those of files are ``files``; ``is_plain`` tells that no others can change in place.
    """

    names: tuple[str, ...]
    take: Callable[[Mapping[str, Any]], Any]
    written: tuple[tuple[str, "Field[Any, Any]"], ...]
    keys: tuple[str, ...]
    decoded: tuple[str, ...]
    json: tuple[int, ...]
    files: tuple[int, ...]
    is_plain: bool


@cache
def layout(model: type[Model]) -> Layout:
    meta = model._meta
    fields = meta.concrete_fields
    names = tuple(each.attname for each in fields)
    decoded = tuple(each.attname for each in fields if isinstance(each, JSONField) and not is_mutable(each))
    return Layout(
        names=names,
        take=itemgetter(*names) if len(names) > 1 else lambda held: [held[name] for name in names],
        # Generated columns are computed by the database, and the instance may be behind.
        written=tuple((each.attname, each) for each in fields if not each.primary_key and not each.generated),
        keys=tuple(each.attname for each in getattr(meta, "pk_fields", None) or [meta.pk]),
        decoded=decoded,
        json=tuple(map(names.index, decoded)),
        files=tuple(place for place, each in enumerate(fields) if isinstance(each, FileField)),
        is_plain=not any(is_mutable(each) for each in fields),
    )


def is_mutable(each: Any) -> bool:
    """Tell whether a field's values must be copied: all but Django's own, and JSON of another form than plain."""
    if isinstance(each, JSONField) and not is_plain_json(each):
        return True
    return not type(each).__module__.startswith("django.db.models.")


class Save(msgspec.Struct, eq=False):
    """What an object held when it was saved, and what was remembered of its row until then. Remembered itself.

    Cheap to make, and looked at later. ``names`` are the fields that were written, None for all. ``noted`` are the
    values of all columns, if nothing can change them any more; else they are ``held`` and must be looked at now.
    ``depth`` is how many saves ``before`` may still be looked at.
    """

    model: type[Model]
    using: str
    names: Collection[str] | None
    plan: Layout
    before: Any
    noted: list[Any] | None
    held: dict[str, Any]
    depth: int = 0
    fate: Fate | None = None
    row_before: Snapshot | None = None  # once it was asked for, as is the next
    row_after: Snapshot | None = None

    def look(self) -> dict[str, Any]:
        """Return the values of the columns that were loaded, by attribute name."""
        if self.noted is not None and not self.held:
            self.held = dict(zip(self.plan.names, self.noted, strict=True))
        return self.held

    @property
    def written(self) -> dict[str, Any]:
        """The values that were written, of the fields named or of all that were loaded, by attribute name."""
        return values_written(self.plan, self.look(), self.names)

    @property
    def is_idle(self) -> bool:
        """Tell, if that is seen at a glance, that all of the row was written as it was."""
        old, new = self.before, self.noted
        is_row = type(old) is list  # whose JSON is text
        if type(old) is Save and old.names is None and old.using == self.using:
            old = old.noted
        if type(old) is not list or new is None or self.names is not None:
            return False
        for was, now in zip(old, new, strict=True):
            if was is not now and type(now) is not Encoded and (type(was) is not type(now) or was != now):
                return False
        pairs = [(old[place], new[place]) for place in self.plan.json]
        return all(is_same_json(Encoded(was) if is_row and type(was) in TEXTS else was, now) for was, now in pairs)

    @property
    def snapshot_before(self) -> Snapshot:
        """What the row held before."""
        before, known = self.before, self.row_before  # in this order: another thread may look at the same time
        if known is None:
            self.row_before = known = resolved(before, self.model, self.using, self.look())
            self.before = None  # or a chain of all saves would hang on it
        return known

    @property
    def snapshot(self) -> Snapshot:
        """What the row holds now."""
        if self.row_after is None:
            changed = {**self.written, **keys(self.plan, self.look())}
            self.row_after = after(self.snapshot_before, self.plan, changed, self.using, self.fate)
        return self.row_after


UNDOABLE = frozenset([Save, Snapshot])  # what may have been noted in a transaction


def note_save(instance: Model, using: str, names: Collection[str] | None) -> Save:
    """Note what ``instance`` holds, which was saved just now."""
    model, held = type(instance), instance.__dict__
    plan, before = layout(model), getattr(instance._state, ATTRIBUTE, None)
    if type(before) in UNDOABLE:
        before = not_undone(instance)
    noted = stable(plan, held) if plan.is_plain else None
    loaded = {} if noted else {name: held[name] for name in plan.names if name in held}
    return Save(model, using, names, plan, before, noted, loaded, depth_over(before))


def depth_over(before: Any) -> int:
    """Return the depth of a save on ``before``, which is looked at now where nobody may ever do so: of untold saves."""
    if type(before) is not Save or before.row_before is not None:
        return 0
    if before.depth < DEEP:
        return before.depth + 1
    _ = before.snapshot
    return 0


def stable(plan: Layout, held: Mapping[str, Any]) -> list[Any] | None:
    """Return a copy of all columns, of JSON its text, of a file its name; None where one is missing or may change."""
    try:
        values = [*plan.take(held)]
    except KeyError:  # deferred
        return None
    for place in plan.json:
        if type(values[place]) in CONTAINERS:
            values[place] = as_json(values[place])
    for place in plan.files:
        if type(values[place]) in FILES:
            values[place] = values[place].name
    return values if KEPT.issuperset(map(type, values)) else None


def not_undone(instance: Model) -> Any:
    """Return what is remembered, without what was rolled back since."""
    found: Any = getattr(instance._state, ATTRIBUTE, None)
    while type(found) in UNDOABLE and found.fate is not None and found.fate.is_rolled_back:
        found = (found.snapshot if type(found) is Save else found).before
    return found


def snapshot(instance: Model, using: str | None) -> Snapshot:
    """Return what is known of the row of ``instance`` in ``using``; empty when nothing is."""
    return resolved(not_undone(instance), type(instance), using, instance.__dict__)


def resolved(found: Any, model: type[Model], using: str | None, held: Mapping[str, Any]) -> Snapshot:
    """Return what was remembered as a snapshot, if it is of the row whose key is in ``held``; else an empty one."""
    if type(found) is Save:
        found = found.snapshot
    elif type(found) is not Snapshot and found is not None:
        row = found if type(found) is Row else Row(using, None, found)
        found = Snapshot(using=row.using, values=unpacked(model, row), source="loaded")
    if found is None or found.using != using or not is_of_row(found, model, held):
        return Snapshot(using=using, values={}, source="none")
    known: Snapshot = found
    return known


def is_of_row(known: Snapshot, model: type[Model], held: Mapping[str, Any]) -> bool:
    return not any(known.values.get(name, UNKNOWN) != held.get(name) for name in layout(model).keys)


def note(instance: Model, known: Snapshot | Save) -> None:
    setattr(instance._state, ATTRIBUTE, known)


def unpacked(model: type[Model], row: Row) -> dict[str, Any]:
    """Return by name what was kept of a row, for JSON what it was decoded from."""
    found = by_name(model, row.names, row.values)
    for name in layout(model).decoded:
        text: Any = found.get(name)
        if type(text) in TEXTS:
            found[name] = Encoded(text)
    return found


def by_name(model: type[Model], names: Collection[str] | None, values: Collection[Any]) -> dict[str, Any]:
    """Pair what `from_db` was given: values in the order of the columns, those left out by ``names``."""
    columns: Collection[str] = layout(model).names
    if len(values) != len(columns):
        columns = [name for name in columns if names is None or name in names]
    return dict(zip(columns, values, strict=False))


def select(instance: Model, using: str) -> None:
    """Note what the database holds now, if only that there is no such row. One query."""
    row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values().first() or {}
    values = {name: freeze(value) for name, value in row.items()}
    note(instance, Snapshot(using=using, values=values, source="select", fate=open_fate(using)))


def values_written(plan: Layout, held: Mapping[str, Any], names: Collection[str] | None) -> dict[str, Any]:
    """Return the values that a save wrote, by attribute name: of the fields named, else of all that are loaded."""
    return {
        name: held[name]
        for name, each in plan.written
        if name in held and (names is None or each.name in names or name in names)
    }


def after(before: Snapshot, plan: Layout, changed: Mapping[str, Any], using: str, fate: Fate | None) -> Snapshot:
    """Return what a row holds once ``changed`` was written, and else what it held ``before``."""
    values = {**before.values, **changed}
    for name, value in changed.items():
        if type(value) not in KEPT:
            if is_expression(value):
                del values[name]  # the database computed it, and only it knows
            else:
                values[name] = as_json(value) if name in plan.decoded else freeze(value)
    earlier = None
    if fate is not None and fate.outcome != "committed":
        is_together = before.fate is not None and before.fate.outcome is None and before.fate.within == fate.within
        earlier = before.before if is_together else settled(before)
    return Snapshot(using=using, values=values, source="saved", fate=fate, before=earlier)


def keys(plan: Layout, held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: held.get(name) for name in plan.keys}


def saved(instance: Model, using: str, written: Mapping[str, Any], fate: Fate | None) -> None:
    """Note that the database holds what was ``written`` just now, and else what it held before."""
    plan = layout(type(instance))
    changed = {**written, **keys(plan, instance.__dict__)}
    note(instance, after(snapshot(instance, using), plan, changed, using, fate))


def settled(known: Snapshot) -> Snapshot:
    """Return ``known``, without what was before it once that is of no more use: when it was committed."""
    if known.fate is None or known.fate.outcome != "committed":
        return known
    return Snapshot(using=known.using, values=known.values, source=known.source)


def open_fate(using: str | None) -> Fate | None:
    """Return the fate that what is read now shares, if anything waits for a commit there."""
    if using is None or not transactions.waiting:
        return None
    try:
        return transactions.ledger(connections[using]).latest
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("load", "The transaction of what was loaded could not be followed", error)
        return None
