"""What the database held before a save, remembered when an object was loaded or saved: a diff then costs no query.

A snapshot hangs on ``instance._state`` and is never changed. One that was taken in a transaction knows what became of
it: once that was rolled back, the snapshot before it is what the database holds.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from functools import cache, wraps
from typing import Any

import msgspec
from django.db import connections
from django.db.models import Field, JSONField, Model
from msgspec.structs import replace

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
)

ATTRIBUTE = "heliograph"  # of instance._state
WATCHED = "_heliograph_watched"  # of from_db and refresh_from_db
TEXTS = frozenset([str, bytes])  # what JSON is decoded from


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

    ``decoded`` are columns of JSON whose text is remembered; ``is_plain`` tells that no other can change in place.
    """

    names: tuple[str, ...]
    written: tuple[tuple[str, "Field[Any, Any]"], ...]
    keys: tuple[str, ...]
    decoded: tuple[str, ...]
    is_plain: bool


@cache
def layout(model: type[Model]) -> Layout:
    meta = model._meta
    fields = meta.concrete_fields
    return Layout(
        names=tuple(each.attname for each in fields),
        # Generated columns are computed by the database, and the instance may be behind.
        written=tuple((each.attname, each) for each in fields if not each.primary_key and not each.generated),
        keys=tuple(each.attname for each in getattr(meta, "pk_fields", None) or [meta.pk]),
        decoded=tuple(each.attname for each in fields if isinstance(each, JSONField) and not is_mutable(each)),
        is_plain=not any(is_mutable(each) for each in fields),
    )


def is_mutable(each: Any) -> bool:
    """Tell whether a field's values must be copied: all but Django's own, and JSON of another form than plain."""
    if isinstance(each, JSONField) and not is_plain_json(each):
        return True
    return not type(each).__module__.startswith("django.db.models.")


def watch(model: type[Model], *, is_loaded: bool) -> None:
    """Have ``model`` keep what we remember out of pickles and, with ``is_loaded``, remember what was loaded. Once."""
    if not vars(model).get("__getstate__") or not getattr(model.__getstate__, WATCHED, False):
        setattr(model, "__getstate__", watched_getstate(unwatched(model.__getstate__)))  # noqa: B010
    if is_loaded and WATCHED not in vars(model):
        setattr(model, WATCHED, True)
        model.from_db = classmethod(watched_from_db(model))  # type: ignore[assignment,method-assign]
        if not getattr(
            Model.refresh_from_db, WATCHED, False
        ):  # called by all overrides: only here is known what it loads
            Model.refresh_from_db = watched_refresh(Model.refresh_from_db)  # type: ignore[method-assign]


def unwatched(method: Any) -> Any:
    """Return a method without the wrapping that a parent of its model got."""
    return method.__wrapped__ if getattr(method, WATCHED, False) else method


def watched_from_db(model: type[Model]) -> Any:
    original = unwatched(model.from_db.__func__)  # type: ignore[attr-defined]  # it is a classmethod
    fields = model._meta.concrete_fields
    count, waiting = len(fields), transactions.waiting
    is_plain, is_alone = layout(model).is_plain, len(connections.settings) == 1
    texts = [(place, keep_text(each)) for place, each in enumerate(fields) if isinstance(each, JSONField) and is_plain]

    @wraps(original)
    def from_db(cls: type[Model], db: str | None, field_names: Any, values: Any, **kwargs: Any) -> Any:
        known: Any
        if waiting or not is_plain or (texts and len(values) != count):
            known = loaded(cls, db, field_names, values)  # before the project's code may change a value in place
        else:
            known = [*values]  # no more than this on the path of most rows
            for place, latest in texts:
                decoded, text = latest[0]
                known[place] = text if decoded is values[place] else as_json(values[place])
            if not is_alone or len(values) != count:
                known = Row(db, field_names, known)
        instance = original(cls, db, field_names, values, **kwargs)
        try:
            instance._state.heliograph = known
        except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
            complain("load", "What was loaded could not be remembered", error)
        return instance

    setattr(from_db, WATCHED, True)
    return from_db


def keep_text(each: Any) -> list[tuple[Any, Any]]:
    """Have a JSON field keep the text of what it decodes, for `from_db`: no copy is as cheap.

    Returns where the latest value and its text are. Rows are made one by one, so that is the row's own, unless another
    thread was faster, or one query loads two objects of a model.
    """
    latest: list[tuple[Any, Any]] | None = each.__dict__.get(ATTRIBUTE)
    if latest is not None:
        return latest
    kept = each.__dict__[ATTRIBUTE] = [(UNKNOWN, None)]
    original = each.from_db_value

    def from_db_value(value: Any, expression: Any, connection: Any) -> Any:
        decoded = scanned(value)
        if decoded is UNKNOWN:
            decoded = original(value, expression, connection)
        kept[0] = (decoded, value)
        return decoded

    each.__dict__["from_db_value"] = from_db_value
    return kept


scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # it has


def scanned(value: Any) -> Any:
    """Return what `json.loads` makes of a text, by the same scanner without its detours: they cost more than we do.

    `UNKNOWN` is for Django's own method to decide: of no text, of spaces around it, of an error in it.
    """
    if type(value) is not str:
        return UNKNOWN
    try:
        decoded, end = scan(value, 0)
    except (StopIteration, ValueError):
        return UNKNOWN
    return decoded if end == len(value) else UNKNOWN


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
            if WATCHED in vars(type(self)):
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


def snapshot(instance: Model, using: str | None) -> Snapshot:
    """Return what is known of the row of ``instance`` in ``using``; empty when nothing is."""
    found: Any = getattr(instance._state, ATTRIBUTE, None)
    if type(found) is not Snapshot and found is not None:
        row = found if type(found) is Row else Row(using, None, found)
        found = Snapshot(using=row.using, values=unpacked(type(instance), row), source="loaded")
        note(instance, found)
    while found is not None and found.fate is not None and found.fate.is_rolled_back:
        found = found.before
    if found is None or found.using != using or not is_of_row(found, instance):
        return Snapshot(using=using, values={}, source="none")
    known: Snapshot = found
    return known


def is_of_row(known: Snapshot, instance: Model) -> bool:
    values, held = known.values, instance.__dict__
    return not any(values.get(name, UNKNOWN) != held.get(name) for name in layout(type(instance)).keys)


def note(instance: Model, known: Snapshot) -> None:
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


def loaded(model: type[Model], using: str | None, names: Any, values: Any) -> Snapshot | None:
    try:
        frozen = {name: freeze(value) for name, value in by_name(model, names, values).items()}
        return Snapshot(using=using, values=frozen, source="loaded", fate=open_fate(using))
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("load", "What was loaded could not be remembered", error)
        return None


def refreshed(instance: Model, names: Collection[str] | None) -> None:
    """Note that ``names``, or all loaded fields, hold what the database holds."""
    using = instance._state.db
    known, held = snapshot(instance, using), instance.__dict__
    fresh = {
        each.attname: freeze(held[each.attname])
        for each in instance._meta.concrete_fields
        if each.attname in held and (names is None or each.attname in names or each.name in names)
    }
    fate, before = open_fate(using), None
    if fate is not None:  # if it is rolled back, who knows whether a value that is new was there before?
        same = {name: value for name, value in known.values.items() if fresh.get(name, value) == value}
        before = replace(settled(known), values=same)
    keys = {name: held.get(name) for name in layout(type(instance)).keys}
    values = {**known.values, **keys, **fresh}
    note(instance, Snapshot(using=using, values=values, source="loaded", fate=fate, before=before))


def select(instance: Model, using: str) -> None:
    """Note what the database holds now, if only that there is no such row. One query."""
    row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values().first() or {}
    values = {name: freeze(value) for name, value in row.items()}
    note(instance, Snapshot(using=using, values=values, source="select", fate=open_fate(using)))


def saved(
    instance: Model,
    using: str,
    written: Mapping[str, Any],
    fate: Fate | None,
    before: Snapshot | None = None,
) -> None:
    """Note that the database holds what was ``written`` just now, and else what it held ``before``."""
    if before is None:
        before = snapshot(instance, using)
    held, plan = instance.__dict__, layout(type(instance))
    values = {**before.values, **written}
    for name, value in written.items():
        if type(value) not in IMMUTABLE:
            if is_expression(value):
                del values[name]  # the database computed it, and only it knows
            else:
                values[name] = as_json(value) if name in plan.decoded else freeze(value)
    for name in plan.keys:
        values[name] = held.get(name)
    earlier = None
    if fate is not None and fate.outcome is None:
        is_together = before.fate is not None and before.fate.outcome is None and before.fate.within == fate.within
        earlier = before.before if is_together else settled(before)
    note(instance, Snapshot(using=using, values=values, source="saved", fate=fate, before=earlier))


def settled(known: Snapshot) -> Snapshot:
    """Return ``known``, without what was before it once that is of no more use: when it was decided."""
    if known.fate is None or known.fate.outcome is None:
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
