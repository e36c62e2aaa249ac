"""What a save changed, against what is remembered of the row. No query."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from django.db.models import Model

from emitter.memory import Snapshot, layout, snapshot
from emitter.values import UNKNOWN, Encoded, differs, is_written_as, thaw


class Diff(msgspec.Struct):
    """``changes`` maps a field to its old and new value; ``fields`` has new values whose old ones aren't known.

    ``before`` is what it was held against; None when it was held against nothing.
    """

    source: str
    changes: Mapping[str, tuple[Any, Any]]
    fields: Mapping[str, Any]
    before: Snapshot | None = None

    @property
    def written(self) -> dict[str, Any]:
        """The new values of all that may have changed."""
        return {**self.fields, **{name: new for name, (_, new) in self.changes.items()}}


def found(instance: Model, mode: str, using: str, update_fields: Collection[str] | None) -> Diff:
    """Return what a save that was done just now changed, or only wrote, as the model's mode asks."""
    return written(instance, update_fields) if mode == "off" else diff(instance, using, update_fields)


def diff(instance: Model, using: str, update_fields: Collection[str] | None) -> Diff:
    """Return what a save that was done just now changed, against what was known before."""
    known = snapshot(instance, using)
    before, now = known.values, instance.__dict__
    changes: dict[str, tuple[Any, Any]] = {}
    fields: dict[str, Any] = {}
    for name, each in layout(type(instance)).written:
        new = now.get(name, UNKNOWN)
        old = before.get(name, UNKNOWN)
        if new is old or new is UNKNOWN:
            continue
        if update_fields is not None and each.name not in update_fields and name not in update_fields:
            continue
        if type(old) is Encoded and is_written_as(old.text, new):
            continue
        old = thaw(old)
        if old is UNKNOWN:
            fields[name] = new
        elif differs(each, old, new):
            changes[name] = (old, new)
    return Diff(known.source, changes, fields, known)


def written(instance: Model, update_fields: Collection[str] | None) -> Diff:
    """Return what a save that was done just now wrote, held against nothing."""
    return Diff("off", {}, values_written(instance, update_fields))


def values_written(instance: Model, update_fields: Collection[str] | None) -> dict[str, Any]:
    """Return the values that a save wrote, by attribute name: of the fields named, else of all that are loaded."""
    now = instance.__dict__
    return {
        name: now[name]
        for name, each in layout(type(instance)).written
        if name in now and (update_fields is None or each.name in update_fields or name in update_fields)
    }
