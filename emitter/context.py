"""In which request an event happens, and who does it.

Held in a `ContextVar`, so that threads and tasks never see each other's. Never evaluates ``request.user`` and never
queries.
"""

import re
import time
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from emitter.lazy import unwrapped

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,255}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True, kw_only=True)
class Context:
    """One request. The middleware fills in ``request`` and ``status``, if it is installed."""

    method: str
    path: str
    correlationid: str = field(default_factory=lambda: uuid.uuid4().hex)
    traceparent: str | None = None
    started: float = field(default_factory=time.perf_counter)
    request: HttpRequest | None = None
    status: int | None = None

    @property
    def route(self) -> str | None:
        match = self.request and self.request.resolver_match
        return f"/{match.route}" if match else None

    @property
    def duration(self) -> float:
        """Seconds since the request started, to the microsecond."""
        return round(time.perf_counter() - self.started, 6)

    @property
    def actor(self) -> str | None:
        return None if self.request is None else actor_of(known_user(self.request))


_current: ContextVar[Context | None] = ContextVar("heliograph_context", default=None)

# Where a request carries its context: in Django's async handler, variables set in one step don't reach the next.
CARRIED = "heliograph.context"


def current() -> Context | None:
    return _current.get()


def enter(context: Context) -> None:
    _current.set(context)


def leave() -> None:
    _current.set(None)


def begin_wsgi(environ: dict[str, Any]) -> Context:
    headers = {"x-request-id": environ.get("HTTP_X_REQUEST_ID"), "traceparent": environ.get("HTTP_TRACEPARENT")}
    context = made(headers, environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
    environ[CARRIED] = context
    enter(context)
    return context


def begin_asgi(scope: dict[str, Any]) -> Context:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
    context = made(headers, scope.get("method"), scope.get("path"))
    scope[CARRIED] = context
    enter(context)
    return context


def made(headers: Mapping[str, str | None], method: str | None, path: str | None) -> Context:
    """Make the context of a request, whose ids come from ``X-Request-ID`` and ``traceparent`` if they are well-formed.

    ``headers`` has lower-case names.
    """
    context = Context(method=method or "", path=path or "")
    request_id, traceparent = headers.get("x-request-id") or "", headers.get("traceparent") or ""
    if REQUEST_ID.fullmatch(request_id):
        context.correlationid = request_id
    if TRACEPARENT.fullmatch(traceparent):
        context.traceparent = traceparent
    return context


def of_request(request: HttpRequest) -> Context:
    """Return the context that ``request`` began with, or a new one where none was begun."""
    carrier = getattr(request, "scope", request.META)
    carried = carrier.get(CARRIED)
    if isinstance(carried, Context):
        return carried
    headers = {name.lower(): value for name, value in request.headers.items()}
    return made(headers, request.method, request.path)


def known_user(request: HttpRequest) -> Any:
    """Return the user if somebody has asked for it before; asking here would cost a query."""
    user = unwrapped(request.__dict__.get("user"))
    return user or request.__dict__.get("_cached_user") or request.__dict__.get("_acached_user")


def actor_of(user: Any) -> str | None:
    """Return ``auth.User/7``; None for nobody, for anonymous users and for one that is still to be looked up."""
    user = unwrapped(user)
    if user is None or not getattr(user, "is_authenticated", False) or getattr(user, "pk", None) is None:
        return None
    meta = getattr(user, "_meta", None)
    return f"{meta.label}/{user.pk}" if meta else None
