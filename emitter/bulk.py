"""The calls that change many rows and send no signal: one ``heliograph.*`` event each.

Django has no signal for them, so the methods of `QuerySet` are wrapped, for the models that are captured. No query is
added: keys are told where the call names them.
"""

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import wraps
from typing import Any

from django.db import router
from django.db.models import Model
from django.db.models.query import QuerySet
from django.db.models.sql import UpdateQuery

from emitter import frames, memory, payload, pipeline, selection
from emitter.bulk_data import attributes, listed, matched, may_cascade_into, told_keys, told_values
from emitter.changes import values_written
from emitter.complaints import complain
from emitter.conf import conf
from emitter.event import stamp
from emitter.exceptions import CaptureError
from emitter.pipeline import Stamp
from emitter.selection import Policy
from emitter.transactions import Fate

WRAPPED = "_heliograph_wrapped"
CONFLICTS = ("ignore_conflicts", "update_conflicts", "update_fields", "unique_fields")  # arguments of bulk_create

# Of which model the call that runs now tells by itself which other: bulk_update() is made of update().
_covered: ContextVar[tuple[type[Model] | None, str]] = ContextVar("heliograph_bulk", default=(None, ""))

Describe = Callable[[Policy, Any], dict[str, Any]]


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
    covers: str = "",
    note: Callable[[Fate | None], None] | None = None,
) -> Any:
    """Make a call and emit ``heliograph.<name>`` once it has succeeded; what happens in it is caused by that.

    ``describe`` gets the policy and the result, ``note`` what the event's fate will be.
    """
    told = to_be_told(name, model)
    token = _covered.set((model, covers))
    try:
        with frames.entered(told[1][0] if told else frames.cause()):
            result = call()
    finally:
        _covered.reset(token)
    if told is None:
        return result
    policy, minted = told
    try:
        data = {"model": policy.label, "operation": name, **describe(policy, result)}
        kind, db = f"heliograph.{name}", using()
        fate = pipeline.emit(kind, sender=policy.label, action=name, data=data, using=db, minted=minted)
        if note is not None:
            note(fate)
    except Exception as error:  # the edge to the host project: nothing may pass it, but what it asked for
        if policy.fail_closed:
            raise CaptureError(f"{name}() of {policy.label} could not be captured") from error
        complain("capture", f"A call of {name}() could not be captured", error)
    return result


def to_be_told(name: str, model: type[Model]) -> tuple[Policy, Stamp] | None:
    """Return how a call is to be told, and its identity; None if it isn't. Counts it as a hole if it should be."""
    try:
        policy = None if model._meta.auto_created else selection.policy(model)  # an m2m's are told as m2m_changed
        if policy is None or _covered.get() == (model, name):
            return None
        if not conf.bulk:
            pipeline.counts["hole"] += 1
            return None
        return policy, stamp()
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("capture", f"A call of {name}() could not be captured", error)
        return None


def written(queryset: Any) -> Callable[[], str]:
    """Return what tells the database that a call writes to, which needn't be the one that ``queryset`` reads."""
    return lambda: queryset._db or router.db_for_write(queryset.model, **queryset._hints)


def update(original: Callable[..., int]) -> Callable[..., int]:
    def method(self: QuerySet[Any], **kwargs: Any) -> Any:
        def describe(policy: Policy, count: int) -> dict[str, Any]:
            values = told_values(policy, self.model, kwargs)
            return {"fields": sorted(values), "values": values, **matched(self, policy, count)}

        return tell("update", self.model, lambda: original(self, **kwargs), describe, using=written(self))

    return method


def delete(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: QuerySet[Any]) -> Any:
        model: Any = self.model

        def describe(policy: Policy, result: Any) -> dict[str, Any]:
            told = matched(self, policy, result[1].get(model._meta.label, 0))
            return told | {"pks": None} if may_cascade_into(model) else told

        return tell("delete", model, lambda: original(self), describe, using=written(self), covers="raw_delete")

    return method


def raw_delete(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: QuerySet[Any], using: str) -> Any:
        def describe(policy: Policy, count: int | None) -> dict[str, Any]:
            return matched(self, policy, count or 0)

        return tell("raw_delete", self.model, lambda: original(self, using), describe, using=lambda: using)

    return method


def bulk_create(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: QuerySet[Any], objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        def describe(policy: Policy, created: Any) -> dict[str, Any]:
            options = dict(zip(("batch_size", *CONFLICTS), args, strict=False)) | kwargs
            conflicts = {name: payload.json_safe(options[name]) for name in CONFLICTS if options.get(name)}
            return {**listed(self.model, created, policy, [name for name, _ in policy.fields]), **conflicts}

        return tell(
            "bulk_create", self.model, lambda: original(self, objs, *args, **kwargs), describe, using=written(self)
        )

    return method


def bulk_update(original: Callable[..., int]) -> Callable[..., int]:
    def method(self: QuerySet[Any], objs: Any, fields: Any, *args: Any, **kwargs: Any) -> Any:
        objs, fields = readable_twice(objs), readable_twice(fields)

        def describe(policy: Policy, count: int) -> dict[str, Any]:
            names = attributes(self.model, fields)
            return {
                **listed(self.model, objs, policy, [name for name, _ in policy.fields if name in names]),
                "count": count,
            }

        def note(fate: Fate | None) -> None:
            for each in objs:  # or the next save() of one would be held against what it held before
                memory.saved(each, written(self)(), values_written(each, fields), fate)

        return tell(
            "bulk_update",
            self.model,
            lambda: original(self, objs, fields, *args, **kwargs),
            describe,
            using=written(self),
            covers="update",
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


def readable_twice(values: Any) -> Any:
    return list(values) if isinstance(values, Iterator) else values
