"""What a save changed, against what is remembered of the row. No query."""

from collections.abc import Mapping
from typing import Any

import msgspec

from emitter.memory import Save
from emitter.values import UNKNOWN, Encoded, differs, is_same_json, thaw


class Diff(msgspec.Struct):
    """``changes`` maps a field to its old and new value; ``fields`` has new values whose old ones aren't known."""

    source: str
    changes: Mapping[str, tuple[Any, Any]]
    fields: Mapping[str, Any]


def found(save: Save, mode: str) -> Diff:
    """Return what a save changed, or only wrote, as the model's mode asks."""
    return Diff("off", {}, {name: thaw(value) for name, value in save.written.items()}) if mode == "off" else diff(save)


def diff(save: Save) -> Diff:
    """Return what a save changed, against what was known before."""
    known, now = save.snapshot_before, save.written
    changes: dict[str, tuple[Any, Any]] = {}
    fields: dict[str, Any] = {}
    for name, each in save.plan.written:
        new = now.get(name, UNKNOWN)
        old = known.values.get(name, UNKNOWN)
        if new is old or new is UNKNOWN or (type(old) is Encoded and is_same_json(old, new)):
            continue
        old, new = thaw(old), thaw(new)
        if old is UNKNOWN:
            fields[name] = new
        elif differs(each, old, new):
            changes[name] = (old, new)
    return Diff(known.source, changes, fields)
