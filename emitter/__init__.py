"""Heliograph's emitter: captures the signals of a Django project and sends them to a Heliograph service.

What a project uses: `context`, `flush`, `counts`, and `emitter.middleware.HeliographMiddleware`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emitter.contexts import context as context
    from emitter.outlet import flush as flush
    from emitter.outlet import report as counts

__all__ = ["context", "counts", "flush"]

HOMES = {
    "context": ("emitter.contexts", "context"),
    "counts": ("emitter.outlet", "report"),
    "flush": ("emitter.outlet", "flush"),
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use: the sending half needs no Django, and settings aren't there yet."""
    if name not in HOMES:
        raise AttributeError(f"module 'emitter' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = HOMES[name]
    return getattr(import_module(module), attribute)
