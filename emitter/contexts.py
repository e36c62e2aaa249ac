"""In which request, task or command an event happens, and who does it.

Held in a `ContextVar`, so that threads and tasks never see each other's. Never evaluates ``request.user`` and never
queries.
"""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from django.http import HttpRequest

from emitter import privacy
from emitter.conf import conf
from emitter.event import Event
from emitter.lazy import unwrapped

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,255}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
UNATTRIBUTED = 1_000  # events of one context that wait for an actor at the most


@dataclass(slots=True, kw_only=True)
class Context:
    """One request, task, command or block of code; all events in it share ``correlationid``.

    The middleware fills in ``request`` and ``status``. Without a request, ``actor`` is who was named.
    """

    correlationid: str = field(default_factory=lambda: uuid.uuid4().hex)
    traceparent: str | None = None
    actor: str | None = None
    method: str = ""
    path: str = ""
    ip: str | None = None
    started: float = field(default_factory=time.perf_counter)
    request: HttpRequest | None = None
    status: int | None = None
    unattributed: list[Event] = field(default_factory=list)

    @property
    def route(self) -> str | None:
        match = self.request and self.request.resolver_match
        return f"/{match.route}" if match else None

    @property
    def duration(self) -> float:
        """Seconds since it started, to the microsecond."""
        return round(time.perf_counter() - self.started, 6)

    def attribute(self, event: Event) -> None:
        """Name the actor in ``event``, now or as soon as the project has found out who it is."""
        event.actor = event.actor or self.known_actor()
        is_request = self.method or self.request is not None  # which the middleware has yet to see
        if event.actor is None and is_request and len(self.unattributed) < UNATTRIBUTED:
            self.unattributed.append(event)

    def settle(self) -> None:
        """Name the actor in those events that came before it was known and haven't left yet."""
        actor = self.known_actor()
        for event in self.unattributed if actor else ():
            event.actor = actor
        self.unattributed.clear()

    def known_actor(self) -> str | None:
        if self.actor is None and self.request is not None:
            self.actor = actor_of(known_user(self.request))
        return self.actor


_current: ContextVar[Context | None] = ContextVar("heliograph_context", default=None)

# Where a request carries its context: in Django's async handler, variables set in one step don't reach the next.
CARRIED = "heliograph.context"


current = _current.get


def enter(context: Context | None) -> None:
    _current.set(context)


def leave() -> None:
    _current.set(None)


@contextmanager
def context(
    *, actor: Any = None, correlationid: str | None = None, traceparent: str | None = None
) -> Iterator[Context]:
    """Give the events of a block one context: in scripts, threads, consumers, jobs. Also a decorator.

    ``actor`` is a user, or a text such as ``auth.User/7`` or ``cron``. What isn't given comes from the context around,
    if there is one; a new correlation id, if not.
    """
    around = current() or Context()
    inner = Context(
        correlationid=correlationid or around.correlationid,
        traceparent=traceparent or around.traceparent,
        actor=actor if isinstance(actor, str) else actor_of(actor) or around.known_actor(),
        request=around.request,  # whose user may become known only later
        unattributed=around.unattributed,
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


def begin_wsgi(environ: dict[str, Any]) -> Context:
    names = ("x-request-id", "traceparent", "x-forwarded-for")
    headers = {name: environ.get("HTTP_" + name.replace("-", "_").upper()) for name in names}
    context = made(headers, environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"), environ.get("REMOTE_ADDR"))
    environ[CARRIED] = context
    enter(context)
    return context


def begin_asgi(scope: dict[str, Any]) -> Context:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
    client = scope.get("client") or (None,)
    context = made(headers, scope.get("method"), scope.get("path"), client[0])
    scope[CARRIED] = context
    enter(context)
    return context


def made(headers: Mapping[str, str | None], method: str | None, path: str | None, address: str | None) -> Context:
    """Make the context of a request, whose ids come from ``X-Request-ID`` and ``traceparent`` if they are well-formed.

    ``headers`` has lower-case names.
    """
    context = Context(method=method or "", path=path or "", ip=client_address(headers.get("x-forwarded-for"), address))
    request_id, traceparent = headers.get("x-request-id") or "", headers.get("traceparent") or ""
    if TRACEPARENT.fullmatch(traceparent):
        context.traceparent = traceparent
    if REQUEST_ID.fullmatch(request_id) and not has_secret(unquote(request_id)):
        context.correlationid = request_id
    elif context.traceparent:
        context.correlationid = traceparent[3:35]
    return context


def has_secret(text: str) -> bool:
    return privacy.scrub(text) != text


def client_address(forwarded_for: str | None, address: str | None) -> str | None:
    """Return who asked: the address before as many proxies as are trusted; what others wrote there is not believed."""
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    proxies = conf.trusted_proxies
    return hops[-proxies] if 0 < proxies <= len(hops) else address or None


def of_request(request: HttpRequest) -> Context:
    """Return the context that ``request`` began with, or a new one where none was begun."""
    carrier = getattr(request, "scope", request.META)
    carried = carrier.get(CARRIED)
    if isinstance(carried, Context):
        return carried
    headers = {name.lower(): value for name, value in request.headers.items()}
    return made(headers, request.method, request.path, request.META.get("REMOTE_ADDR"))


def known_user(request: HttpRequest) -> Any:
    """Return the user if somebody has asked for it before; asking here would cost a query."""
    found = (unwrapped(request.__dict__.get(name)) for name in ("user", "_cached_user", "_acached_user"))
    return next((user for user in found if user is not None), None)


def actor_of(user: Any) -> str | None:
    """Return ``auth.User/7``; None for nobody, for anonymous users and for one that is still to be looked up.

    One that is no model, as a token's bearer may be, is named by its class.
    """
    user = unwrapped(user)
    if user is None or not getattr(user, "is_authenticated", False) or getattr(user, "pk", None) is None:
        return None
    meta, kind = getattr(user, "_meta", None), type(user)
    return f"{meta.concrete_model._meta.label if meta else f'{kind.__module__}.{kind.__qualname__}'}/{user.pk}"
