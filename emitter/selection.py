"""What of a project is captured, as its settings say. Decided once a model, and anew when a test changes a setting."""

import re
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth import signals as auth
from django.core import signals as core
from django.core.signals import setting_changed
from django.db.backends import signals as backends
from django.db.backends.signals import connection_created
from django.db.models import Field, Model
from django.db.models import signals as db
from django.dispatch import Signal
from django.utils.module_loading import import_string

from emitter.conf import conf
from emitter.conf import forget as forget_settings
from emitter.names import is_secret
from emitter.privacy import scrub
from emitter.values import Column, column_of

T = TypeVar("T")

MARGIN = 1_000  # characters of a text more than are told, looked at before the cut: half a secret doesn't look like one
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
INSTALLED = frozenset(["site-packages", "dist-packages"])  # folders; an overlay of environments has several

# Django's own bookkeeping. A session's primary key is a credential, so that it must never leave.
NEVER = ("admin.LogEntry", "auth.Permission", "contenttypes.*", "sessions.*", "heliograph.*")

GROUPS = {
    "model": ("post_save", "post_delete"),
    "m2m": ("m2m_changed",),
    "auth": ("user_logged_in", "user_logged_out", "user_login_failed"),
    "request": ("request_started", "request_finished", "got_request_exception"),
}
ON_REQUEST = {
    "pre_save": db.pre_save,
    "pre_delete": db.pre_delete,
    "pre_init": db.pre_init,
    "post_init": db.post_init,
    "class_prepared": db.class_prepared,
    "pre_migrate": db.pre_migrate,
    "post_migrate": db.post_migrate,
    "connection_created": connection_created,
    "setting_changed": setting_changed,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one model is captured."""

    label: str
    fields: tuple[tuple[str, bool], ...]  # attribute name, and whether it is secret, of those that are told
    columns: tuple[tuple[str, bool, Column], ...]  # of the same, with what their columns hold
    mode: str  # "loaded", "select" or "off"
    fail_closed: bool


@cache
def policy(model: type[Model]) -> Policy | None:
    """Return how ``model`` is captured; None when it isn't. A proxy is captured as what it stands for."""
    concrete = model._meta.concrete_model or model
    label = concrete._meta.label
    if not is_chosen(model):
        return None
    columns = tuple((each.attname, is_secret_field(each), column_of(each)) for each in told_fields(concrete))
    return Policy(
        label=label,
        fields=tuple((name, secret) for name, secret, _ in columns),
        columns=columns,
        mode=next((mode for pattern, mode in conf.diff.items() if matches(label, [pattern])), "loaded"),
        fail_closed=matches(label, conf.fail_closed),
    )


def is_chosen(model: type[Model]) -> bool:
    if is_excluded_model(model):
        return False
    chosen, concrete = set(conf.models), model._meta.concrete_model or model
    return (
        any(matches(label, conf.models) for label in labels(model))
        or ("@own" in chosen and is_own(concrete._meta.app_config))
        or ("@user" in chosen and concrete._meta.label_lower == settings.AUTH_USER_MODEL.lower())
    )


def labels(model: type[Model]) -> set[str]:
    """Return a model's label, and of a proxy that of the model it stands for, too."""
    return {model._meta.label, (model._meta.concrete_model or model)._meta.label}


def is_excluded_model(model: type[Model]) -> bool:
    return any(matches(label, [*NEVER, *conf.exclude_models]) for label in labels(model))


def is_own(config: AppConfig | None) -> bool:
    """Tell whether an app is the project's own rather than installed: whether it lies outside of site-packages."""
    if config is None or INSTALLED & set(Path(config.path).parts):
        return False
    return not config.path.startswith(tuple(sysconfig.get_path(name) for name in ("purelib", "platlib")))


def told_fields(model: type[Model]) -> "Iterator[Field[Any, Any]]":
    return (each for each in model._meta.concrete_fields if not is_excluded(each, model))


def is_excluded(each: Any, model: type[Model] | None = None) -> bool:
    """Tell whether a field is not to be told: by its name or its column's, of ``model`` or of what it inherits from."""
    owners = {kind._meta.label for kind in {each.model, *(model or each.model).__mro__} if hasattr(kind, "_meta")}
    names = {each.name, each.attname or each.name}
    return any(matches(f"{owner}.{name}", conf.exclude_fields) for owner in owners for name in names)


_remembered: list[Any] = []


def remembered(function: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return ``function``, which decides by the settings, so that it remembers what it said until one changes."""
    kept = lru_cache(maxsize=10_000)(function)
    _remembered.append(kept)
    return kept


@lru_cache(maxsize=10_000)
def is_secret_name(name: str, of: str = "") -> bool:
    """Tell whether a field or argument of this name holds a secret, by the rules and by the settings."""
    return is_secret(name, frozenset(conf.mask_names), frozenset(conf.unmask_names), of)


def scrubbed(text: str, length: int, more: str = "") -> str:
    """Return ``text`` without secrets, and without what no store can hold (NUL, lone surrogates).

    At most ``length`` characters, of which ``more`` tells that there were others.
    """
    found = scrub(text[: length + MARGIN], conf.mask_secret, is_secret_name)
    cut = found if len(found) <= length else found[:length] + more
    return cut if cut.isprintable() else UNSTORABLE.sub("\ufffd", cut)


def is_secret_field(each: "Field[Any, Any]") -> bool:
    """Tell whether a field holds a secret, or points to one, be it a parent's, its own model's or no key."""
    seen: set[Field[Any, Any]] = set()
    while each not in seen:
        if is_secret_name(each.name, each.model.__name__):
            return True
        seen.add(each)
        each = getattr(each, "target_field", each)
    return False


@cache
def has_secret_key(model: type[Model]) -> bool:
    """Tell whether a model's primary key, or a part of it, is secret."""
    return any(is_secret_field(each) for each in getattr(model._meta, "pk_fields", None) or [model._meta.pk])


def matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def models() -> list[type[Model]]:
    """Return the models that are captured, proxies included: each is the sender of its own saves."""
    return [model for model in apps.get_models() if policy(model) is not None]


@cache
def names() -> frozenset[str]:
    """Return the names of Django's signals that are captured, groups resolved."""
    return frozenset(name for chosen in conf.signals for name in GROUPS.get(chosen, (chosen,)))


def relations(model: type[Model]) -> Iterator[type[Model]]:
    """Yield the tables of a model's many-to-many relations: of its own, and of those that others have to it."""
    fields: list[Any] = model._meta.get_fields(include_hidden=True)
    for each in fields:
        through = getattr(each if hasattr(each, "through") else each.remote_field, "through", None)
        if each.many_to_many and isinstance(through, type):
            yield through


def unknown_names() -> list[str]:
    known = {*ON_REQUEST, *GROUPS, *(name for group in GROUPS.values() for name in group)}
    return [name for name in conf.signals if name not in known]


def custom_signals() -> Iterator[tuple[str, Signal]]:
    """Yield the paths and signals that ``HELIOGRAPH_CUSTOM_SIGNALS`` names; raise ImportError for one that is none."""
    for path in conf.custom_signals:
        yield from signals_at(path)


def signals_at(path: str) -> Iterator[tuple[str, Signal]]:
    """Yield the path and signal that ``path`` names, or all of a module or an app; raise ImportError for none."""
    if path.endswith(".*"):
        yield from all_of(path.removesuffix(".*"))
        return
    found = import_string(path)
    if not isinstance(found, Signal):
        raise ImportError(f"{path} is no signal")
    yield path, found


def all_of(name: str) -> Iterator[tuple[str, Signal]]:
    """Yield the signals that a module declares, or an app in its module ``signals``."""
    config = next((each for each in apps.get_app_configs() if name in {each.name, each.label}), None)
    module = import_module(f"{config.name}.signals" if config else name)
    for attribute, value in vars(module).items():
        if isinstance(value, Signal) and value not in DJANGOS:
            yield f"{module.__name__}.{attribute}", value


DJANGOS = [each for module in (db, core, auth, backends) for each in vars(module).values() if isinstance(each, Signal)]


def forget(**kwargs: Any) -> None:
    if str(kwargs.get("setting", "")).startswith(("HELIOGRAPH_", "AUTH_USER_MODEL")):
        forget_settings()
        for each in (policy, names, is_secret_name, has_secret_key, *_remembered):
            each.cache_clear()
