"""Which of Django's signals, and of the project's own, are captured, and by what."""

import sys
from typing import Any

from django.contrib.auth import signals as auth
from django.core import signals as core
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from django.db.models import signals as db
from django.dispatch import Signal

from emitter import (
    actors,
    bulk,
    contexts,
    frames,
    loading,
    objects,
    outlet,
    payload,
    pipeline,
    relations,
    requests,
    selection,
    serialization,
)
from emitter.complaints import complain
from emitter.conf import conf
from emitter.guard import Receiver, guarded
from emitter.lazy import unwrapped

MODEL = "django.db.models.signals."
CORE = "django.core.signals."
AUTH = "django.contrib.auth.signals."


def request_started(sender: Any, *, environ: Any = None, scope: Any = None, **_: Any) -> None:
    """Tell of a request without its path: which part of that is secret, only the route will tell."""
    if environ is None and scope is None:
        return  # sent by hand
    now = contexts.begin_wsgi(environ) if environ is not None else contexts.begin_asgi(scope)
    if "request_started" in selection.names():
        emit_request("request_started", now)


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
        outlet.work(is_urgent=False)  # nobody waits for it any more


def got_request_exception(sender: Any, *, request: Any = None, **_: Any) -> None:
    now, error = contexts.current(), sys.exc_info()[0]
    if now is not None:
        emit_request("got_request_exception", now, **place(request), exception=serialization.json_safe(error))


def emit_request(name: str, now: contexts.Context, **data: Any) -> None:
    pipeline.emit(CORE + name, data={"method": now.visit.method if now.visit else "", **address(), **data})


def place(request: Any) -> dict[str, Any]:
    """Return which route a request took; with it, its path."""
    match = request and request.resolver_match
    if not match:
        return {"route": None}
    path = requests.path_of(request)
    told = {"route": serialization.text(f"/{match.route}")}
    return told if path is None else {**told, "path": serialization.text(path)}


def user_logged_in(sender: Any, *, user: Any, **_: Any) -> None:
    emit_user("user_logged_in", user, "logged_in")


def user_logged_out(sender: Any, *, user: Any, **_: Any) -> None:
    emit_user("user_logged_out", user, "logged_out")


def user_login_failed(sender: Any, *, credentials: dict[str, Any], **_: Any) -> None:
    pipeline.emit(
        AUTH + "user_login_failed",
        sender=serialization.json_safe(sender),
        action="login_failed",
        data={"credentials": payload.credentials(credentials), **address()},
    )


def emit_user(name: str, user: Any, action: str) -> None:
    user = unwrapped(user)
    known = isinstance(user, Model)
    pipeline.emit(
        AUTH + name,
        sender=serialization.label(type(user)) if known else None,
        subject=serialization.subject(user) if known else None,
        action=action,
        actor=actors.actor_of(user),
        data=address(),
    )


def address() -> dict[str, Any]:
    now = contexts.current()
    return {"ip": now.visit.ip} if now is not None and now.visit is not None and now.visit.ip else {}


def custom(path: str) -> Receiver:
    """Return what tells the keyword arguments of the signal at ``path``."""

    def custom_signal(sender: Any, **kwargs: Any) -> None:
        about = unwrapped(kwargs.get("instance", sender))
        pipeline.emit(
            path,
            sender=serialization.sender(unwrapped(sender)),
            subject=serialization.subject(about) if issubclass(type(about), Model) else None,
            data=payload.keywords(kwargs),
            using=database(kwargs.get("using")),
        )

    return custom_signal


def database(using: Any) -> str:
    """Return the database that a signal names, if ``using`` is one and no other argument of that name."""
    return using if type(using) is str and using in connections.settings else DEFAULT_DB_ALIAS


def a_setting_changed(sender: Any, *, setting: str, value: Any, enter: bool, **_: Any) -> None:
    told = {"setting": setting, "value": serialization.named(setting, value), "enter": enter}
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
# What is told of the models that are followed: no receivers, so that Django behaves as if nobody listened.
followed: dict[str, set[type[Model]]] = {
    name: set() for name in ("pre_init", "post_init", "pre_save", "post_save", "select")
}
PER_MODEL: dict[str, tuple[Signal, Receiver]] = {
    "pre_init": (db.pre_init, guarded(objects.pre_init, of=followed["pre_init"])),
    "post_init": (db.post_init, guarded(objects.post_init, of=followed["post_init"])),
    "pre_save": (db.pre_save, guarded(objects.pre_save, of=followed["pre_save"], refuses=True)),
    "post_save": (db.post_save, guarded(objects.post_save, of=followed["post_save"], refuses=True)),
    "select": (db.pre_save, guarded(objects.select_before, of=followed["select"], refuses=True)),
}
# Django sends these only to models that somebody listens to, which costs them their fast deletes.
LISTENING: dict[str, tuple[Signal, Receiver]] = {
    "pre_delete": (db.pre_delete, guarded(objects.pre_delete, refuses=True)),
    "post_delete": (db.post_delete, guarded(objects.post_delete, refuses=True)),
}
on_m2m = guarded(relations.m2m_changed, refuses=True)
ALWAYS = ("request_started", "request_finished")  # they begin and end the context of a request, told or not


def connect() -> None:
    """Have every signal told that the settings ask for, each once however often this is called."""
    chosen = selection.names()
    for model in selection.models():
        follow(model, chosen)
    for name, (signal, receiver) in DJANGOS.items():
        if name in chosen or name in ALWAYS:
            frames.trace(signal, name, guarded(receiver))
    for name, signal in selection.ON_REQUEST.items():
        if name in chosen and name not in PER_MODEL and name not in LISTENING and name not in DJANGOS:
            frames.trace(signal, name, guarded(custom(f"{signal_module(name)}.{name}")))
    for path in conf.custom_signals:
        follow_custom(path)
    bulk.wrap()


def follow(model: type[Model], chosen: frozenset[str]) -> None:
    """Have one model told: never all senders, which would cost each of them its fast delete."""
    names = set(chosen)
    if "post_save" in chosen:
        mode = objects.policy_of(model).mode
        loading.watch(model, is_loaded=mode == "loaded")
        if mode == "select":
            names.add("select")
    for name in PER_MODEL.keys() & names:
        followed[name].add(model)
        signal, receiver = PER_MODEL[name]
        frames.trace(signal, name, receiver)
    for name in LISTENING.keys() & names:
        attach(*LISTENING[name], model)
    if "m2m_changed" in names:
        for through in selection.relations(model):
            attach(db.m2m_changed, on_m2m, through)


def follow_custom(path: str) -> None:
    try:
        for name, signal in selection.signals_at(path):
            told = signal.__dict__.get(frames.TRACED)
            if not told or name in told:  # else it is told already, by another name
                frames.trace(signal, name, guarded(custom(name)))
    except Exception as error:  # noqa: BLE001  # a check says so too; the project starts all the same
        complain("connect", f"HELIOGRAPH_CUSTOM_SIGNALS: {error}")


def attach(signal: Signal, receiver: Receiver, sender: type[Model]) -> None:
    """Connect ``receiver`` before all others: what they do is caused by the event that it makes."""
    frames.trace(signal)
    signal.connect(receiver, sender=sender, weak=False, dispatch_uid=f"heliograph.{receiver.__name__}")
    with signal.lock:
        signal.receivers.sort(key=lambda each: not str(each[0][0]).startswith("heliograph."))  # others keep their order
        signal.sender_receivers_cache.clear()


def signal_module(name: str) -> str:
    modules = {"connection_created": "django.db.backends.signals"}
    return modules.get(name, "django.db.models.signals")
