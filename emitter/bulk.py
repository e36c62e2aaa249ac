"""The calls that change many rows and send no signal: one ``heliograph.*`` event each.

Django has no signal for them, so the methods of `QuerySet` are wrapped, for the models that are captured. No query is
added: keys are told where the call names them.
"""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import Model
from django.db.models.query import QuerySet
from django.db.models.sql import UpdateQuery

from emitter import bulk_memory, frames, outlet, pipeline, selection, serialization
from emitter.bulk_data import (
    Overheard,
    attributes,
    is_case_of,
    listed,
    matched,
    may_cascade_into,
    told_keys,
    told_values,
    updated,
)
from emitter.complaints import complain
from emitter.conf import conf
from emitter.event import stamp
from emitter.exceptions import CaptureError
from emitter.holes import is_unheard
from emitter.pipeline import Stamp
from emitter.selection import Policy
from emitter.transactions import Fate

WRAPPED = "_heliograph_wrapped"
CONFLICTS = ("ignore_conflicts", "update_conflicts", "update_fields", "unique_fields")  # arguments of bulk_create
CAUSES = {"delete", "bulk_update", "update_or_create"}  # calls that are made of signals and other calls
HEARD = {"delete", "update_or_create"}  # calls whose rows send signals
SIGNALS = {"delete": "post_delete", "raw_delete": "post_delete"}  # of the rows, as if they had been written one by one

Covers = Callable[[str, type[Model], Mapping[str, Any]], bool]

# What the call that runs now tells by itself: bulk_update() is made of update().
_covers: ContextVar[Covers | None] = ContextVar("heliograph_bulk", default=None)

Describe = Callable[[Policy, Any], dict[str, Any]]
Note = Callable[[Any, Fate | None], None]


def wrap() -> None:
    """Wrap the methods, once a process."""
    for owner, name, wrapper in (
        (QuerySet, "update", update),
        (QuerySet, "delete", delete),
        (QuerySet, "_raw_delete", raw_delete),
        (QuerySet, "bulk_create", bulk_create),
        (QuerySet, "bulk_update", bulk_update),
        (QuerySet, "update_or_create", update_or_create),
        (UpdateQuery, "update_batch", update_batch),
    ):
        original = getattr(owner, name)
        if not hasattr(original, WRAPPED):
            wrapped = wraps(original)(wrapper(original))
            setattr(wrapped, WRAPPED, True)
            setattr(owner, name, wrapped)


def tell(
    name: str,
    model: type[Model],
    call: Callable[[], Any],
    describe: Describe,
    *,
    using: Callable[[], str],
    values: Mapping[str, Any] | None = None,
    covers: Covers | None = None,
    note: Note | None = None,
) -> Any:
    """Make a call and emit ``heliograph.<name>`` once it has ended; what happens in it is caused by that.

    ``describe`` gets the policy and the result, ``note`` the result and what the event's fate will be; it is called
    even if nothing is told. ``covers`` tells which calls that are made by this one need not be told.
    """
    policy, minted = to_be_told(name, model, values or {})
    token = _covers.set(covers)
    try:
        with frames.entered(minted[0] if minted and name in CAUSES else frames.cause()):
            result = call()
    except BaseException as error:
        if policy and minted and name in CAUSES:
            tell_failure(name, policy, minted, error)
        raise
    finally:
        _covers.reset(token)
    if policy is None:
        return result
    try:
        fate = emit(name, policy, minted, describe(policy, result), using()) if minted else None
        fate = fate if minted else bulk_memory.open_fate(using())  # what is read now may be rolled back, told or not
        if note is not None and policy.mode != "off":
            note(result, fate)
    except Exception as error:  # the edge to the host project: nothing may pass it, but what it asked for
        if policy.fail_closed:
            raise CaptureError(f"{name}() of {policy.label} could not be captured") from error
        complain("capture", f"A call of {name}() could not be captured", error)
    return result


def tell_failure(name: str, policy: Policy, minted: Stamp, error: BaseException) -> None:
    """Tell of a call that raised, since what happened in it names it as its cause. Claims no outcome."""
    try:
        told = {"error": serialization.json_safe(type(error)), "count": None}
        emit(name, policy, minted, told, None)
    except Exception as problem:  # noqa: BLE001  # the edge to the host project: what it raised passes, not this
        complain("capture", f"A failed call of {name}() could not be captured", problem)


def emit(name: str, policy: Policy, minted: Stamp, told: dict[str, Any], using: str | None) -> Fate | None:
    return pipeline.emit(
        f"heliograph.{name}",
        sender=policy.label,
        action=name if using else None,
        data={"model": policy.label, "operation": name, **told},
        using=using,
        minted=minted,
    )


def to_be_told(name: str, model: type[Model], values: Mapping[str, Any]) -> tuple[Policy | None, Stamp | None]:
    """Return how a call's model is captured, None if it isn't, and the call's identity, None if it isn't told.

    Counts it as a hole if it should be told.
    """
    try:
        if model._meta.auto_created or model._meta.apps is not apps:
            count_hole(is_unheard(model))
            return None, None
        policy, covers = selection.policy(model), _covers.get()
        if policy is None or SIGNALS.get(name, "post_save") not in selection.names():
            return None, None
        if covers is not None and covers(name, model, values):
            return None, None
        if not conf.bulk:
            count_hole(name not in HEARD)
            return policy, None
        return policy, stamp()
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("capture", f"A call of {name}() could not be captured", error)
        return None, None


def count_hole(is_one: bool) -> None:
    if is_one:
        outlet.counts["hole"] += 1


def written(queryset: Any) -> Callable[[], str]:
    """Return what tells the database that a call writes to, which needn't be the one that ``queryset`` reads."""
    return lambda: queryset._db or router.db_for_write(queryset.model, **queryset._hints)


def update(original: Callable[..., int]) -> Callable[..., int]:
    def method(self: QuerySet[Any], **kwargs: Any) -> Any:
        def describe(policy: Policy, count: int) -> dict[str, Any]:
            values = told_values(policy, self.model, kwargs)
            return {"fields": sorted(values), "values": values, **matched(self, policy, count)}

        return tell(
            "update", self.model, lambda: original(self, **kwargs), describe, using=written(self), values=kwargs
        )

    return method


def delete(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: QuerySet[Any]) -> Any:
        model: Any = self.model

        def describe(policy: Policy, result: Any) -> dict[str, Any]:
            told = matched(self, policy, result[1].get(model._meta.label, 0))
            return told | {"pks": None} if may_cascade_into(model) else told

        def covers(name: str, of: type[Model], _: Any) -> bool:
            return (name, of) == ("raw_delete", model)

        return tell("delete", model, lambda: original(self), describe, using=written(self), covers=covers)

    return method


def raw_delete(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: QuerySet[Any], using: str) -> Any:
        def describe(policy: Policy, count: int | None) -> dict[str, Any]:
            return matched(self, policy, count or 0)

        return tell("raw_delete", self.model, lambda: original(self, using), describe, using=lambda: using)

    return method


def bulk_create(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: QuerySet[Any], objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        def conflicts() -> dict[str, Any]:
            options = dict(zip(("batch_size", *CONFLICTS), args, strict=False)) | kwargs
            return {name: serialization.json_safe(options[name]) for name in CONFLICTS if options.get(name)}

        def describe(policy: Policy, created: Any) -> dict[str, Any]:
            objects = created if isinstance(created, list) else []  # what was given, if that was nothing
            return {**listed(self.model, objects, policy, [name for name, _ in policy.fields]), **conflicts()}

        def note(created: Any, fate: Fate | None) -> None:
            if isinstance(created, list) and not conflicts():
                bulk_memory.note_created(created, written(self)(), fate)

        return tell(
            "bulk_create",
            self.model,
            lambda: original(self, objs, *args, **kwargs),
            describe,
            using=written(self),
            note=note,
        )

    return method


def bulk_update(original: Callable[..., int]) -> Callable[..., int]:
    def method(self: QuerySet[Any], objs: Any, fields: Any, *args: Any, **kwargs: Any) -> Any:
        objs, fields = Overheard(objs), Overheard(fields)

        def covers(name: str, model: type[Model], values: Mapping[str, Any]) -> bool:
            return (name, model) == ("update", self.model) and is_case_of(values, attributes(model, fields.seen))

        def describe(policy: Policy, count: int) -> dict[str, Any]:
            names = attributes(self.model, fields.seen)
            told = [name for name, _ in policy.fields if name in names]
            return updated(self, policy, objs.seen, told, count)

        def note(count: int, fate: Fate | None) -> None:
            bulk_memory.note_updated(objs.seen, fields.seen, count, written(self)(), fate)

        return tell(
            "bulk_update",
            self.model,
            lambda: original(self, objs, fields, *args, **kwargs),
            describe,
            using=written(self),
            covers=covers,
            note=note,
        )

    return method


def update_or_create(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        def describe(policy: Policy, result: Any) -> dict[str, Any]:
            instance, is_created = result
            given = dict(zip(("defaults", "create_defaults"), args, strict=False)) | kwargs
            used = given.get("create_defaults") if is_created else None
            names = attributes(self.model, given.get("defaults") or () if used is None else used)
            told = sorted(name for name, _ in policy.fields if name in names)
            return {"fields": told, "count": 1, "pks": told_keys(self.model, [instance.pk]), "created": is_created}

        return tell(
            "update_or_create", self.model, lambda: original(self, *args, **kwargs), describe, using=written(self)
        )

    return method


def update_batch(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what deleting an object does to those that pointed to it, by ``SET NULL`` or ``SET DEFAULT``."""

    def method(self: UpdateQuery, pk_list: list[Any], values: dict[str, Any], using: str) -> Any:
        model: Any = self.model

        def describe(policy: Policy, _: Any) -> dict[str, Any]:
            told = told_values(policy, model, values)
            return {"fields": sorted(told), "values": told, "count": len(pk_list), "pks": told_keys(model, pk_list)}

        return tell("update", model, lambda: original(self, pk_list, values, using), describe, using=lambda: using)

    return method
