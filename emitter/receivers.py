"""The receivers that capture Django's signals and the project's own."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.apps import apps
from django.contrib.auth import signals as auth
from django.core import signals as core
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import DEFERRED, Model
from django.db.models import signals as db
from django.dispatch import Signal

from emitter import actors, bulk, changes, contexts, frames, memory, payload, pipeline, requests, selection
from emitter.complaints import complain
from emitter.exceptions import CaptureError
from emitter.lazy import unwrapped
from emitter.selection import Policy

MODEL = "django.db.models.signals."
CORE = "django.core.signals."
AUTH = "django.contrib.auth.signals."

Receiver = Callable[..., None]


def guarded(receiver: Receiver) -> Receiver:
    """Keep every error of ours from the project's code: the one place where they are caught.

    Except for models of ``HELIOGRAPH_FAIL_CLOSED``, for which the project asked that nothing be saved unheard.
    """

    @wraps(receiver)
    def run(sender: Any, **kwargs: Any) -> None:
        try:
            receiver(sender, **kwargs)
        except Exception as error:  # the edge to the host project: nothing may pass it, but what it asked for
            if quietly_fail_closed(sender):
                raise CaptureError(f"{receiver.__name__} of {sender.__name__} could not be captured") from error
            complain("capture", f"A {receiver.__name__} signal could not be captured", error)

    return run


def quietly_fail_closed(sender: Any) -> bool:
    try:
        return is_fail_closed(sender)
    except Exception:  # noqa: BLE001  # the settings can't be read: what went wrong before is told all the same
        return False


def is_fail_closed(sender: Any) -> bool:
    if not (isinstance(sender, type) and issubclass(sender, Model)):
        return False
    policy = selection.policy(sender)
    return policy is not None and policy.fail_closed


def policy_of(model: type[Model]) -> Policy:
    policy = selection.policy(model)
    if policy is None:
        raise LookupError(f"{model.__qualname__} is no longer captured")
    return policy


@guarded
def pre_save(sender: type[Model], *, instance: Model, raw: bool, using: str, update_fields: Any, **_: Any) -> None:
    if "pre_save" in selection.names():
        data = {"raw": raw, "update_fields": payload.json_safe(update_fields)}
        emit_object("pre_save", instance, using=using, data=data)


@guarded
def select_before(sender: type[Model], *, instance: Model, using: str, **_: Any) -> None:
    """Ask what the database holds, for models whose changes are to be told against that."""
    if policy_of(sender).mode == "select" and not instance._state.adding:
        memory.select(instance, using)


@guarded
def post_save(
    sender: type[Model], *, instance: Model, created: bool, raw: bool, using: str, update_fields: Any, **_: Any
) -> None:
    policy = policy_of(sender)
    if created:
        found, data = None, dict[str, Any](fields=payload.fields(instance, policy))
    else:
        is_off = policy.mode == "off"
        found = changes.written(instance, update_fields) if is_off else changes.diff(instance, using, update_fields)
        data = update_data(found, policy, update_fields)
    if not data:
        pipeline.counts["no_op"] += 1
        return
    if raw:
        data["raw"] = True
    fate = emit_object("post_save", instance, using=using, data=data, action="created" if created else "updated")
    if policy.mode != "off":
        memory.saved(
            instance,
            using,
            found.written if found else changes.values_written(instance, None),
            fate,
            before=found.before if found else None,
        )


def update_data(found: changes.Diff, policy: Policy, update_fields: Any) -> dict[str, Any]:
    """Return what an update tells; empty when it changed nothing."""
    asked = {"update_fields": payload.json_safe(sorted(update_fields))} if update_fields is not None else {}
    told = payload.diff(found, policy)
    return {**told, "diff_source": found.source, **asked} if told else {}


@guarded
def pre_delete(sender: type[Model], *, instance: Model, using: str, **_: Any) -> None:
    emit_object("pre_delete", instance, using=using, data={})


@guarded
def post_delete(sender: type[Model], *, instance: Model, using: str, **_: Any) -> None:
    data = {"fields": payload.fields(instance, policy_of(sender))}
    emit_object("post_delete", instance, using=using, data=data, action="deleted")


def emit_object(name: str, instance: Model, *, using: str, data: dict[str, Any], action: str | None = None) -> Any:
    return pipeline.emit(
        MODEL + name,
        sender=payload.label(type(instance)),
        subject=payload.subject(instance),
        action=action,
        data=data,
        using=using,
    )


@guarded
def m2m_changed(
    sender: type[Model],
    *,
    instance: Model,
    action: str,
    reverse: bool,
    model: type[Model],
    pk_set: set[Any] | None,
    using: str,
    **_: Any,
) -> None:
    when, operation = action.split("_", 1)
    if action == "pre_clear":
        note_cleared(sender, instance, reverse, model, using)
    keys = cleared(sender, instance) if action == "post_clear" else pk_set
    if when == "post" and keys != set():
        secret = selection.has_secret_key(model)
        told = None if keys is None else sorted((payload.told(key, secret) for key in keys), key=str)
        emit_relation(sender, instance, operation=operation, reverse=reverse, keys=told, using=using)


def emit_relation(
    through: type[Model], instance: Model, *, operation: str, reverse: bool, keys: list[Any] | None, using: str
) -> None:
    """Tell of a relation on the side that declares it, whichever side it was changed from."""
    each = declared(through)
    pipeline.emit(
        MODEL + "m2m_changed",
        sender=payload.label(type(instance)),
        subject=payload.subject(instance),
        action={"add": "added", "remove": "removed", "clear": "cleared"}.get(operation, operation),
        data={
            "field": None if each is None else f"{payload.label(each.model)}.{each.name}",
            "op": operation,
            "pks": keys,
            "reverse": reverse,
        },
        using=using,
    )


CLEARED = "_heliograph_cleared"  # the through model and the keys that a clear() is about to remove, on instance._state


def note_cleared(through: type[Model], instance: Model, reverse: bool, model: type[Model], using: str) -> None:
    """Remember which keys a clear() removes, which Django doesn't tell. One query."""
    each = declared(through)
    if each is None:
        return
    own, other = each.m2m_field_name(), each.m2m_reverse_field_name()
    if reverse:
        own, other = other, own
    rows = through._base_manager.using(using).filter(**{own: instance})
    keys = set(rows.values_list(f"{other}_id", flat=True))
    setattr(instance._state, CLEARED, (through._meta.label, keys))  # the class could not be pickled


def cleared(through: type[Model], instance: Model) -> Any:
    noted, keys = instance._state.__dict__.pop(CLEARED, (None, None))
    return keys if noted == through._meta.label else None


def declared(through: type[Model]) -> Any:
    """Return the field that ``through`` stores the relation of."""
    fields = (each for model in apps.get_models() for each in model._meta.local_many_to_many)
    return next((each for each in fields if each.remote_field.through is through), None)


@guarded
def request_started(sender: Any, *, environ: Any = None, scope: Any = None, **_: Any) -> None:
    """Tell of a request without its path: which part of that is secret, only the route will tell."""
    now = contexts.begin_wsgi(environ) if environ is not None else contexts.begin_asgi(scope)
    if "request_started" in selection.names():
        emit_request("request_started", now)


@guarded
def request_finished(sender: Any, **_: Any) -> None:
    now = contexts.of_visit()
    if now is not None:
        finish(now)


def finish(now: contexts.Context) -> None:
    """Tell that a request has ended, and have what was around it there again."""
    visit = now.visit
    if visit is None:
        return
    try:
        contexts.enter(now)
        if "request_finished" in selection.names():
            ended = {"status": visit.status, "duration": visit.duration}
            emit_request("request_finished", now, **place(visit.request), **ended)
    finally:
        contexts.end(visit)


@guarded
def got_request_exception(sender: Any, *, request: Any = None, **_: Any) -> None:
    now, error = contexts.current(), sys.exc_info()[0]
    if now is not None:
        emit_request("got_request_exception", now, **place(request), exception=payload.json_safe(error))


def emit_request(name: str, now: contexts.Context, **data: Any) -> None:
    pipeline.emit(CORE + name, data={"method": now.visit.method if now.visit else "", **address(), **data})


def place(request: Any) -> dict[str, Any]:
    """Return which route a request took; with it, its path."""
    match = request and request.resolver_match
    if not match:
        return {"route": None}
    path = requests.path_of(request)
    return {"route": payload.text(f"/{match.route}"), **({} if path is None else {"path": payload.text(path)})}


@guarded
def user_logged_in(sender: Any, *, user: Any, **_: Any) -> None:
    emit_user("user_logged_in", user, "logged_in")


@guarded
def user_logged_out(sender: Any, *, user: Any, **_: Any) -> None:
    emit_user("user_logged_out", user, "logged_out")


@guarded
def user_login_failed(sender: Any, *, credentials: dict[str, Any], **_: Any) -> None:
    pipeline.emit(
        AUTH + "user_login_failed",
        sender=payload.json_safe(sender),
        action="login_failed",
        data={"credentials": payload.json_safe(credentials), **address()},
    )


def emit_user(name: str, user: Any, action: str) -> None:
    user = unwrapped(user)
    known = isinstance(user, Model)
    pipeline.emit(
        AUTH + name,
        sender=payload.label(type(user)) if known else None,
        subject=payload.subject(user) if known else None,
        action=action,
        actor=actors.actor_of(user),
        data=address(),
    )


def address() -> dict[str, Any]:
    now = contexts.current()
    return {"ip": now.visit.ip} if now is not None and now.visit is not None and now.visit.ip else {}


def named(path: str) -> Receiver:
    """Return a receiver for the signal at ``path``, which tells its keyword arguments."""

    @guarded
    def custom_signal(sender: Any, **kwargs: Any) -> None:
        instance = kwargs.get("instance")
        pipeline.emit(
            path,
            sender=payload.sender(sender),
            subject=payload.subject(instance) if isinstance(instance, Model) else None,
            data=payload.keywords(kwargs),
            using=database(kwargs.get("using")),
        )

    return custom_signal


def database(using: Any) -> str:
    """Return the database that a signal names, if ``using`` is one and no other argument of that name."""
    return using if isinstance(using, str) and using in connections.settings else DEFAULT_DB_ALIAS


@guarded
def pre_init(sender: type[Model], *, args: tuple[Any, ...], kwargs: dict[str, Any], **_: Any) -> None:
    """Tell the values under their fields' names: as bare arguments they would go out with the secrets among them."""
    policy = policy_of(sender)
    values = {each.attname: value for each, value in zip(sender._meta.concrete_fields, args, strict=False)} | kwargs
    told = {
        name: payload.told(values[name], secret)
        for name, secret in policy.fields
        if values.get(name, DEFERRED) is not DEFERRED
    }
    pipeline.emit(MODEL + "pre_init", sender=policy.label, data={"fields": told})


@guarded
def post_init(sender: type[Model], *, instance: Model, **_: Any) -> None:
    pipeline.emit(MODEL + "post_init", sender=policy_of(sender).label, subject=payload.subject(instance), data={})


@guarded
def a_setting_changed(sender: Any, *, setting: str, value: Any, enter: bool, **_: Any) -> None:
    told = {"setting": setting, "value": payload.named(setting, value), "enter": enter}
    pipeline.emit(CORE + "setting_changed", data=told)


DJANGOS: dict[str, tuple[Signal, Receiver]] = {
    "request_started": (core.request_started, request_started),
    "request_finished": (core.request_finished, request_finished),
    "got_request_exception": (core.got_request_exception, got_request_exception),
    "user_logged_in": (auth.user_logged_in, user_logged_in),
    "user_logged_out": (auth.user_logged_out, user_logged_out),
    "user_login_failed": (auth.user_login_failed, user_login_failed),
    "setting_changed": (core.setting_changed, a_setting_changed),
}
PER_MODEL: dict[str, tuple[Signal, Receiver]] = {
    "pre_save": (db.pre_save, pre_save),
    "post_save": (db.post_save, post_save),
    "pre_delete": (db.pre_delete, pre_delete),
    "post_delete": (db.post_delete, post_delete),
    "pre_init": (db.pre_init, pre_init),
    "post_init": (db.post_init, post_init),
}
ALWAYS = ("request_started", "request_finished")  # they begin and end the context of a request, told or not


def connect() -> None:
    """Connect every receiver that the settings ask for, each once however often this is called."""
    chosen = selection.names()
    for model in selection.models():
        follow(model, chosen)
    for name, (signal, receiver) in DJANGOS.items():
        if name in chosen or name in ALWAYS:
            attach(signal, receiver)
    for name, signal in selection.ON_REQUEST.items():
        if name in chosen and name not in PER_MODEL and name not in DJANGOS:
            attach(signal, named(f"{signal_module(name)}.{name}"), uid=name)
    try:
        for path, signal in selection.custom_signals():
            frames.trace(signal, is_always_told=True)
            attach(signal, named(path), uid=path)
    except Exception as error:  # noqa: BLE001  # a check says so too; the project starts all the same
        complain("connect", f"HELIOGRAPH_CUSTOM_SIGNALS: {error}")
    bulk.wrap()


def follow(model: type[Model], chosen: frozenset[str]) -> None:
    """Connect what is captured of one model: never for all senders, which would cost each of them its fast delete."""
    for name, (signal, receiver) in PER_MODEL.items():
        if name in chosen:
            attach(signal, receiver, model)
    policy = policy_of(model)
    if "post_save" in chosen and policy.mode == "loaded":
        memory.watch(model)
    if "post_save" in chosen and policy.mode == "select":
        attach(db.pre_save, select_before, model)
    if "m2m_changed" in chosen:
        for each in model._meta.local_many_to_many:
            if isinstance(each.remote_field.through, type):
                attach(db.m2m_changed, m2m_changed, each.remote_field.through)


def attach(signal: Signal, receiver: Receiver, sender: Any = None, uid: str = "") -> None:
    """Connect ``receiver`` before all others: what they do is caused by the event that it makes."""
    frames.trace(signal)
    signal.connect(receiver, sender=sender, weak=False, dispatch_uid=f"heliograph.{uid or receiver.__name__}")
    with signal.lock:
        signal.receivers.sort(key=lambda each: not str(each[0][0]).startswith("heliograph."))  # others keep their order
        signal.sender_receivers_cache.clear()


def signal_module(name: str) -> str:
    modules = {"connection_created": "django.db.backends.signals"}
    return modules.get(name, "django.db.models.signals")
