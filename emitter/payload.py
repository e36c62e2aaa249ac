"""What an event tells of an object, a change or a call, as the JSON of its ``data``."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from django.contrib.auth import get_user_model
from django.db.models import Model

from emitter import privacy
from emitter.changes import Diff
from emitter.conf import conf
from emitter.memory import Snapshot
from emitter.names import words_of
from emitter.selection import Policy
from emitter.serialization import ITEMS, NATIVE, json_safe, named, text
from emitter.values import ADAPTED, UNKNOWN, encode, thaw

SHORT = 200  # characters of one text in an event that would be too large
DATA = 200_000  # bytes of an event's data; the service takes 256 KiB in all
HOLDERS = ("changes", "fields", "values")  # members of data that hold a value, or two, for each field
# Words of names under which a login says who tries, and not by what.
WHO = frozenset(["username", "user", "login", "email", "phone", "domain", "tenant", "realm", "backend", "provider"])


def fields(held: Mapping[str, Any], policy: Policy, names: Collection[str] | None = None) -> dict[str, Any]:
    """Return the fields that are loaded, or those of ``names``; a deferred one is left out, not fetched."""
    found = {}
    for name, is_secret, column in policy.columns:
        if name in held and (names is None or name in names):
            value = held[name]
            kind = column.kind
            if kind is not type(value) or kind in ADAPTED:
                value = column.stored(thaw(value))
            found[name] = told(value, True) if is_secret else value if type(value) in NATIVE else json_safe(value)
    return found


def deleted(known: Snapshot, instance: Model, policy: Policy) -> dict[str, Any]:
    """Return what a row held, as far as it is known; else what the object holds, and ``diff_source`` says which."""
    if policy.mode == "off" or known.source == "none":
        return {"fields": fields(instance.__dict__, policy), "diff_source": "off" if policy.mode == "off" else "none"}
    held = ((name, secret, column, thaw(known.values.get(name, UNKNOWN))) for name, secret, column in policy.columns)
    found = {name: told(column.stored(value), secret) for name, secret, column, value in held if value is not UNKNOWN}
    return {"fields": found, "diff_source": known.source}


def diff(found: Diff, policy: Policy) -> dict[str, Any]:
    """Return the members of ``data`` that tell of a change; empty when nothing that is told has changed."""
    data: dict[str, Any] = {}
    changes, fields = found.changes, found.fields
    for name, is_secret, column in policy.columns:
        if name in changes:
            pair = [told(column.stored(value), is_secret) for value in changes[name]]
            data.setdefault("changes", {})[name] = pair
        elif name in fields:
            data.setdefault("fields", {})[name] = told(column.stored(fields[name]), is_secret)
    return data


def told(value: Any, is_secret: bool) -> Any:
    if value is None:
        return None
    return privacy.mask(value, conf.mask_secret) if is_secret else json_safe(value)


def keywords(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a signal, without ``signal`` and ``sender``."""
    told = {name: value for name, value in arguments.items() if name not in {"signal", "sender"}}
    return {text(name): named(name, value) for (name, value), _ in zip(told.items(), range(ITEMS), strict=False)}


def credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a login was tried with, masked but for what says who tried: all else may be a secret of any name."""
    telling = WHO | set(words_of(get_user_model().USERNAME_FIELD))
    return {
        name: named(name, value) if telling.issuperset(words_of(name)) else told(value, is_secret=True)
        for name, value in keywords(given).items()
    }


def encoded(data: dict[str, Any]) -> msgspec.Raw:
    """Return ``data`` as JSON, cut down where it is larger than the service takes."""
    written = encode(data)
    return msgspec.Raw(written if len(written) <= DATA else encode(cut(data)))


def cut(data: dict[str, Any]) -> dict[str, Any]:
    """Return ``data`` cut down, which ``truncated`` tells: long texts first, then the largest members are left out.

    Of what holds fields, each by itself. ``left_out`` names them, so that a reader knows what it doesn't know.
    """
    short: dict[str, Any] = shortened(data)
    holders = {f"{name}.": short[name] for name in HOLDERS if isinstance(short.get(name), dict)} | {"": short}
    sizes = {
        (prefix, name): len(encode({name: member}))
        for prefix, members in holders.items()
        for name, member in members.items()
        if prefix or f"{name}." not in holders
    }
    left, left_out = sum(sizes.values()), []
    for largest in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if left <= DATA * 0.9:  # the rest for commas
            break
        prefix, name = largest
        del holders[prefix][name]
        left_out.append(shortened(f"{prefix}{name}"))
        left += len(encode(left_out[-1])) - sizes[largest]
    return {**short, "truncated": True, "left_out": left_out}


def shortened(value: Any) -> Any:
    match value:
        case str():
            return value if len(value) <= SHORT else value[:SHORT] + "…"
        case dict():
            return {key: shortened(member) for key, member in value.items()}
        case list():
            return [shortened(member) for member in value]
        case _:
            return value
