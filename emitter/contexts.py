"""In which request, task or command an event happens, and who does it.

Held in a `ContextVar`, so that threads and tasks never see each other's. Never evaluates ``request.user`` and never
queries.
"""

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any, TypeVar
from uuid import UUID

from asgiref.sync import iscoroutinefunction
from django.db.models import Model
from django.http import HttpRequest

from emitter import actors, requests
from emitter.complaints import complain
from emitter.event import Event, Later
from emitter.lazy import unwrapped

UNATTRIBUTED = 1_000  # events of one request that wait for an actor at the most

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """One request, from its start to its end, for all contexts in it. The middleware fills in what it sees.

    ``around`` is the context that it was made in, as by a test client; that is there again when it has ended.
    """

    around: "Context | None" = None
    method: str = ""
    ip: str | None = None
    started: float = field(default_factory=time.perf_counter)
    request: HttpRequest | None = None
    status: int | None = None
    is_inside: bool = False  # of the middleware
    is_over: bool = False
    actor: str | None = None  # who asks, as far as the project has found out
    user: Any = None  # whom ``actor`` names
    seen: Any = None  # what ``request.user`` was then
    unattributed: list[Event | Later] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Seconds since it started, to the microsecond."""
        return round(time.perf_counter() - self.started, 6)

    def known_actor(self) -> str | None:
        """Return whom the request has as its user now, as a login may change it."""
        request = self.request
        if request is None:
            return self.actor
        user = request.__dict__.get("user")
        return self.actor if user is not None and user is self.seen else self.look(request)

    def look(self, request: HttpRequest) -> str | None:
        user = actors.known_user(request)
        was_unsaved = self.actor is None and issubclass(type(user), Model)
        if user is not self.user or was_unsaved:
            self.user, self.actor = user, None  # before it is asked: should it save something, it isn't asked again
            self.actor = actors.actor_of(user)
            self.settle()
        held = request.__dict__.get("user")
        self.seen = held if self.actor is not None and unwrapped(held) is user else None
        return self.actor

    def settle(self) -> None:
        """Name the actor, once it is known, in those events that came before and haven't left yet."""
        if self.actor is not None:
            for event in self.unattributed:
                event.actor = self.actor
                if isinstance(event, Later) and event.event is not None:  # made, and still to leave
                    event.event.actor = self.actor
            self.unattributed.clear()

    def end(self) -> None:
        """Keep the actor for what the request has left running, and let go of everything else."""
        self.known_actor()
        self.is_over = True
        self.around = self.request = self.user = self.seen = None
        self.unattributed.clear()


@dataclass(slots=True, kw_only=True, eq=False)
class Context:
    """One request, task, command or block of code; all events in it share ``correlationid``.

    ``actor`` is who was named; else it is who asks in ``visit``. ``around`` is there again when ``block`` has ended.
    """

    correlationid: str = field(default_factory=lambda: uuid.uuid4().hex)
    traceparent: str | None = None
    actor: str | None = None
    visit: Visit | None = None
    around: "Context | None" = None
    block: "Block | None" = None

    def attribute(self, event: Event | Later) -> None:
        """Name the actor in ``event``, now or as soon as the project has found out who it is."""
        visit = self.visit
        if self.actor is not None or visit is None:
            event.actor = event.actor or self.actor
            return
        known = visit.known_actor()
        if event.actor is None:
            event.actor = known
            if known is None and not visit.is_over and len(visit.unattributed) < UNATTRIBUTED:
                visit.unattributed.append(event)

    def known_actor(self) -> str | None:
        return self.actor if self.actor is not None or self.visit is None else self.visit.known_actor()


_current: ContextVar[Context | None] = ContextVar("heliograph_context", default=None)

# Where a request carries its context: in Django's async handler, variables set in one step don't reach the next.
CARRIED = "heliograph.context"


current = _current.get


def enter(context: Context | None) -> None:
    _current.set(context)


def leave(context: Context) -> None:
    """Have what was around ``context`` there again, if it is still there itself.

    A generator may be closed anywhere: in another task, or when the request that it was made in has long ended.
    """
    here = current()
    while here is not None and here is not context:
        here = here.around
    if here is context:
        _current.set(context.around)
    context.around = None


@contextmanager
def entered(context: Context) -> Iterator[None]:
    context.around = current()
    _current.set(context)
    try:
        yield
    finally:
        leave(context)


def context(*, actor: Any = None, correlationid: Any = None, traceparent: str | None = None) -> "Block":
    """Give the events of a block one context: in scripts, threads, consumers, jobs. Also a decorator, of all functions.

    ``actor`` is a user, or a text such as ``auth.User/7`` or ``cron``. What isn't given, or can't be used, comes from
    the context around, if there is one; a new correlation id, if not. ``correlationid`` is up to 255 visible ASCII
    characters, a number or a UUID. Never raises.
    """
    return Block(actor, correlationid, traceparent)


class Block:
    """What gives a block its context; may be entered several times, also at once."""

    def __init__(self, actor: Any, correlationid: Any, traceparent: str | None) -> None:
        self.actor = actor
        self.correlationid = correlationid
        self.traceparent = traceparent

    def __enter__(self) -> Context:
        made = self.made()
        _current.set(made)
        return made

    def __exit__(self, *_: object) -> None:
        try:
            here = current()
            while here is not None and here.block is not self:
                here = here.around
            if here is not None:
                leave(here)
        except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
            complain("context", "A context could not be left", error)

    def made(self) -> Context:
        around = current()
        try:
            return self.within(around)
        except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
            complain("context", "What a context was given could not be read", error)
            return Context(around=around, block=self)

    def within(self, around: Context | None) -> Context:
        outer = around or Context()
        return Context(
            correlationid=self.usable("correlationid", requests.correlation_id) or outer.correlationid,
            traceparent=self.usable("traceparent", requests.traceparent) or outer.traceparent,
            actor=actors.actor_of(self.actor) or outer.actor,
            visit=outer.visit,  # whose user may become known only later
            around=around,
            block=self,
        )

    def usable(self, name: str, read: Callable[[str | None], str | None]) -> str | None:
        given = getattr(self, name)
        if given is None or given == "":
            return None
        found = read(str(given)) if isinstance(given, str | int | UUID) else None
        if found is None:
            complain(name, f"emitter.context() was given a {name} that can't be one; it is not used")
        return found

    def __call__(self, function: F) -> F:
        """Return ``function`` with a context for each call, which lasts as long as what it returns is run."""
        steps: Any = None
        if isasyncgenfunction(function):
            steps = AsyncSteps
        elif isgeneratorfunction(function):
            steps = Steps

        @wraps(function)
        def method(*args: Any, **kwargs: Any) -> Any:
            if steps is not None:
                return steps(function(*args, **kwargs), self.made())
            with self:
                return function(*args, **kwargs)

        @wraps(function)
        async def amethod(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return amethod if iscoroutinefunction(function) else method  # type: ignore[return-value]  # they do as it does


class Steps(Generator[Any, Any, Any]):
    """A generator that is in its context while it runs, and leaves whoever iterates over it in theirs."""

    def __init__(self, running: Generator[Any, Any, Any], context: Context) -> None:
        self.running = running
        self.context = context

    def send(self, value: Any) -> Any:
        with entered(self.context):
            return self.running.send(value)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        with entered(self.context):
            return self.running.throw(kind if value is None else value)


class AsyncSteps(AsyncGenerator[Any, Any]):
    """`Steps` of an asynchronous generator."""

    def __init__(self, running: AsyncGenerator[Any, Any], context: Context) -> None:
        self.running = running
        self.context = context

    async def asend(self, value: Any) -> Any:
        with entered(self.context):
            return await self.running.asend(value)

    async def athrow(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        with entered(self.context):
            return await self.running.athrow(kind if value is None else value)


def begin_wsgi(environ: dict[str, Any]) -> Context:
    names = ("x-request-id", "traceparent", "x-forwarded-for")
    found = {name: environ.get("HTTP_" + name.replace("-", "_").upper()) for name in names}
    context = made(found, environ.get("REQUEST_METHOD"), environ.get("REMOTE_ADDR"))
    environ[CARRIED] = context
    enter(context)
    return context


def begin_asgi(scope: dict[str, Any]) -> Context:
    client = scope.get("client") or (None,)
    context = made(requests.of_scope(scope), scope.get("method"), client[0])
    scope[CARRIED] = context
    enter(context)
    return context


def made(found: Mapping[str, str | None], method: str | None, address: str | None) -> Context:
    """Make the context of a request, whose ids come from ``X-Request-ID`` and ``traceparent`` if they are well-formed.

    ``found`` are its headers by lower-case name.
    """
    ip = requests.client_address(found.get("x-forwarded-for"), address)
    context = Context(visit=Visit(around=standing(), method=method or "", ip=ip))
    context.traceparent = requests.traceparent(found.get("traceparent"))
    traced = context.traceparent and context.traceparent[3:35]
    context.correlationid = requests.correlation_id(found.get("x-request-id")) or traced or context.correlationid
    return context


def standing() -> Context | None:
    """Return the context that a request which starts now is in: never an earlier request that was not ended."""
    here = current()
    while here is not None and here.visit is not None and not (here.visit.is_inside or here.visit.is_over):
        here = here.visit.around
    return here


def of_request(request: HttpRequest) -> Context:
    """Return the context that ``request`` began with, or a new one where none was begun."""
    carrier = getattr(request, "scope", request.META)
    carried = carrier.get(CARRIED)
    if isinstance(carried, Context) and carried.visit is not None and not carried.visit.is_over:
        return carried
    found = {name.lower(): value for name, value in request.headers.items()}
    return made(found, request.method, request.META.get("REMOTE_ADDR"))


def of_visit() -> Context | None:
    """Return the context of the request that is under way, whatever blocks in it were not left."""
    here = current()
    while here is not None and here.around is not None and here.around.visit is here.visit:
        here = here.around
    return here if here is not None and here.visit is not None and not here.visit.is_over else None


def resume(context: Context) -> None:
    """Enter a request's context where its response is closed: in async handlers it has been lost on the way.

    Not where another request is under way, with which it shares the response.
    """
    here, visit = current(), context.visit
    if visit is None or visit.is_over:
        return
    now, outer = here and here.visit, visit.around and visit.around.visit
    if now is None or now is outer:
        enter(context)


def end(visit: Visit) -> None:
    """End a request, and have what was around it there again."""
    around = visit.around
    try:
        visit.end()
    finally:
        enter(around)
