"""Who a user object stands for, found out without a query."""

from functools import cache
from inspect import getattr_static
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from emitter import privacy, selection
from emitter.complaints import complain
from emitter.conf import conf
from emitter.lazy import unwrapped

LENGTH = 255  # characters of an actor


def known_user(request: HttpRequest) -> Any:
    """Return the user if somebody has asked for it before; asking here would cost a query."""
    held = request.__dict__
    for name in ("user", "_cached_user", "_acached_user"):
        user = unwrapped(held.get(name))
        if user is not None:
            return user
    return None


def actor_of(user: Any) -> str | None:
    """Return ``auth.User/7``; None for nobody, for anonymous users and for one that is still to be looked up.

    A text is who it says. One that is no model, as a token's bearer may be, is named by its class, and asked by its own
    ``is_authenticated`` and ``pk``. Of a model no code is run. Never raises.
    """
    try:
        user = unwrapped(user)
        if isinstance(user, str):
            return cleaned(user) or None
        return row(user) if issubclass(type(user), Model) else bearer(user)
    except Exception as error:  # noqa: BLE001  # a user's own code may fail, which costs the name and not the event
        complain("actor", "Who acts could not be found out", error)
        return None


def row(user: Model) -> str | None:
    kind = type(user)
    keys = [user.__dict__.get(each.attname) for each in kind._meta.pk_fields]
    if any(key is None for key in keys) or not can_act(kind):
        return None
    label = (kind._meta.concrete_model or kind)._meta.label
    if selection.has_secret_key(kind):
        return f"{label}/{privacy.mask(keys[0], conf.mask_secret)}"
    text = f"{label}/{','.join(map(str, keys))}"
    return text if type(keys[0]) is int else cleaned(text)


@cache
def can_act(kind: type[Model]) -> bool:
    """Tell whether a model's rows are users. A property of the project's own counts as yes: asking it might query."""
    found = getattr_static(kind, "is_authenticated", None)
    return found is not None and found is not False


def bearer(user: Any) -> str | None:
    if user is None or not getattr(user, "is_authenticated", False) or (key := getattr(user, "pk", None)) is None:
        return None
    kind = type(user)
    return cleaned(f"{kind.__module__}.{kind.__qualname__}/{key}")


def cleaned(text: str) -> str:
    return selection.scrubbed(text, LENGTH)
