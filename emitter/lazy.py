"""Look into Django's lazy objects without waking them: evaluating ``request.user`` would cost the project a query."""

from typing import Any

from django.utils.functional import LazyObject, empty


def unwrapped(value: Any) -> Any:
    """Return what a lazy object holds, None while nobody has evaluated it, and any other value as it is.

    Asks for the type and never for ``__class__``, which a lazy object answers by evaluating itself.
    """
    if not issubclass(type(value), LazyObject):
        return value
    held = value.__dict__.get("_wrapped", empty)
    return None if held is empty else held
