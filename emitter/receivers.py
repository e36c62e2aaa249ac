"""The receivers that capture signals, and which signals they are connected to."""

import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any

from django.apps import apps
from django.contrib.auth import signals as auth
from django.core import signals as core
from django.db import DEFAULT_DB_ALIAS
from django.db.models import ManyToManyField, Model
from django.db.models import signals as db
from django.dispatch import Signal
from django.utils.module_loading import import_string

from emitter import context, payload, pipeline
from emitter.complaints import complain
from emitter.conf import conf
from emitter.lazy import unwrapped

MODEL = "django.db.models.signals."
CORE = "django.core.signals."
AUTH = "django.contrib.auth.signals."

Receiver = Callable[..., None]


def guarded(receiver: Receiver) -> Receiver:
    """Keep every error of ours from the project's code: the one place where they are caught."""

    @wraps(receiver)
    def run(sender: Any, **kwargs: Any) -> None:
        try:
            receiver(sender, **kwargs)
        except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
            complain("capture", f"A {receiver.__name__} signal could not be captured", error)

    return run


@guarded
def pre_save(sender: type[Model], *, instance: Model, raw: bool, using: str, update_fields: Any, **_: Any) -> None:
    data = {"raw": raw, "update_fields": payload.json_safe(update_fields)}
    emit_object("pre_save", instance, using=using, data=data)


@guarded
def post_save(
    sender: type[Model], *, instance: Model, created: bool, raw: bool, using: str, update_fields: Any, **_: Any
) -> None:
    data: dict[str, Any] = {"fields": payload.fields(instance)}
    if raw:
        data["raw"] = True
    if not created:
        data["update_fields"] = payload.json_safe(update_fields)
    emit_object("post_save", instance, using=using, data=data, action="created" if created else "updated")


@guarded
def pre_delete(sender: type[Model], *, instance: Model, using: str, **_: Any) -> None:
    emit_object("pre_delete", instance, using=using, data={})


@guarded
def post_delete(sender: type[Model], *, instance: Model, using: str, **_: Any) -> None:
    emit_object("post_delete", instance, using=using, data={"fields": payload.fields(instance)}, action="deleted")


def emit_object(name: str, instance: Model, *, using: str, data: dict[str, Any], action: str | None = None) -> None:
    pipeline.emit(
        MODEL + name,
        sender=payload.label(type(instance)),
        subject=payload.subject(instance),
        action=action,
        data=data,
        using=using,
        settled=action is not None,
    )


@guarded
def m2m_changed(
    sender: type[Model],
    *,
    instance: Model,
    action: str,
    reverse: bool,
    pk_set: set[Any] | None,
    using: str,
    **_: Any,
) -> None:
    when, operation = action.split("_", 1)
    if when == "post" and pk_set != set():
        pipeline.emit(
            MODEL + "m2m_changed",
            sender=payload.label(type(instance)),
            subject=payload.subject(instance),
            action={"add": "added", "remove": "removed", "clear": "cleared"}.get(operation, operation),
            data={
                "field": declared_as(sender),
                "op": operation,
                "pks": None if pk_set is None else sorted(map(payload.json_safe, pk_set), key=str),
                "reverse": reverse,
            },
            using=using,
        )


def declared_as(through: type[Model]) -> str | None:
    """Return the relation that ``through`` stores as it is declared, such as ``shop.Order.tags``."""
    fields = (each for model in apps.get_models() for each in model._meta.local_many_to_many)
    return next(
        (f"{payload.label(each.model)}.{each.name}" for each in fields if each.remote_field.through is through), None
    )


@guarded
def request_started(sender: Any, *, environ: Any = None, scope: Any = None, **_: Any) -> None:
    now = context.begin_wsgi(environ) if environ is not None else context.begin_asgi(scope)
    emit_request("request_started", now)


@guarded
def request_finished(sender: Any, **_: Any) -> None:
    now = context.current()
    if now is not None:
        emit_request("request_finished", now, route=now.route, status=now.status, duration=now.duration)
        context.leave()


@guarded
def got_request_exception(sender: Any, *, request: Any = None, **_: Any) -> None:
    now, error = context.current(), sys.exc_info()[0]
    if now is not None:
        emit_request("got_request_exception", now, route=now.route, exception=payload.json_safe(error))


def emit_request(name: str, now: context.Context, **data: Any) -> None:
    pipeline.emit(CORE + name, data={"method": now.method, "path": payload.text(now.path), **data})


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
        data={"credentials": payload.json_safe(credentials)},
    )


def emit_user(name: str, user: Any, action: str) -> None:
    user = unwrapped(user)
    known = isinstance(user, Model)
    pipeline.emit(
        AUTH + name,
        sender=payload.label(type(user)) if known else None,
        subject=payload.subject(user) if known else None,
        action=action,
        actor=context.actor_of(user),
        data={},
    )


def custom(path: str) -> Receiver:
    """Return a receiver for the signal at ``path``."""

    @guarded
    def custom_signal(sender: Any, **kwargs: Any) -> None:
        instance = kwargs.get("instance")
        pipeline.emit(
            path,
            sender=payload.sender(sender),
            subject=payload.subject(instance) if isinstance(instance, Model) else None,
            data=payload.keywords(kwargs),
            using=kwargs.get("using") or DEFAULT_DB_ALIAS,
        )

    return custom_signal


def connect() -> None:
    """Connect every receiver, each once however often this is called."""
    for model in tracked_models():
        for signal, receiver in MODEL_RECEIVERS:
            attach(signal, receiver, model)
    for through in tracked_throughs():
        attach(db.m2m_changed, m2m_changed, through)
    for signal, receiver in PROJECT_RECEIVERS:
        attach(signal, receiver)
    for path in conf.signals:
        attach_custom(path)


def attach(signal: Signal, receiver: Receiver, sender: type[Model] | None = None) -> None:
    signal.connect(receiver, sender=sender, weak=False, dispatch_uid=f"heliograph.{receiver.__name__}")


def attach_custom(path: str) -> None:
    try:
        signal = import_string(path)
        signal.connect(custom(path), weak=False, dispatch_uid=f"heliograph.{path}")
    except (ImportError, AttributeError) as error:  # a check says so too; the project starts all the same
        complain("connect", f"HELIOGRAPH_SIGNALS: {path} can't be connected: {error}")


def tracked_models() -> list[type[Model]]:
    """Return the models whose signals are captured, proxies included: each is the sender of its own saves."""
    return [model for model in apps.get_models() if is_tracked(model)]


def tracked_throughs() -> Iterator[type[Model]]:
    for model in tracked_models():
        for each in model._meta.local_many_to_many:
            if isinstance(each, ManyToManyField) and isinstance(each.remote_field.through, type):
                yield each.remote_field.through


def is_tracked(model: type[Model]) -> bool:
    name = payload.label(model)
    return matches(name, conf.models) and not matches(name, conf.exclude_models)


def matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


MODEL_RECEIVERS: list[tuple[Signal, Receiver]] = [
    (db.pre_save, pre_save),
    (db.post_save, post_save),
    (db.pre_delete, pre_delete),
    (db.post_delete, post_delete),
]
PROJECT_RECEIVERS: list[tuple[Signal, Receiver]] = [
    (core.request_started, request_started),
    (core.request_finished, request_finished),
    (core.got_request_exception, got_request_exception),
    (auth.user_logged_in, user_logged_in),
    (auth.user_logged_out, user_logged_out),
    (auth.user_login_failed, user_login_failed),
]
