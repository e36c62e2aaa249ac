"""Have models remember what they were loaded with, on ``instance._state``, and keep that out of pickles.

A JSON column is remembered as the text that it was read from: no copy is as cheap.
"""

import json
from collections.abc import Callable, Collection, Iterator
from copy import copy
from functools import wraps
from typing import Any

from django.db import connections
from django.db.models import JSONField, Model
from msgspec.structs import replace

from emitter import transactions
from emitter.complaints import complain
from emitter.memory import ATTRIBUTE, Row, Snapshot, by_name, layout, note, open_fate, settled, snapshot
from emitter.values import UNKNOWN, as_json, freeze

WATCHED = "_heliograph_watched"  # of from_db and refresh_from_db


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
            kept[0] = (decoded, None if decoded is None else as_json(decoded))  # Django takes what isn't JSON as it is
        else:
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
