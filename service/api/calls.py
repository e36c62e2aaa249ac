"""What is known of the request that is being answered: for its log lines, its metrics and its answer.

A contextvar holds it, so that whoever learns something notes it: the front, the key's authentication, the resolver.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse

logger = logging.getLogger("heliograph.access")

REQUEST_ID = re.compile(r"[!-~]{1,128}")


@dataclass(slots=True, kw_only=True)
class Call:
    """One request. ``status`` is 0 until there is an answer; ``is_cut`` tells that the client didn't get all of it."""

    request_id: str
    method: str
    path: str
    begun: float = field(default_factory=time.perf_counter)
    route: str = ""
    status: int = 0
    is_cut: bool = False
    project: int | None = None
    key: str = ""
    user: int | None = None

    @property
    def duration(self) -> float:
        """Return the seconds since it began."""
        return time.perf_counter() - self.begun


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call | None:
    return _current.get()


def note_key(project: int, prefix: str) -> None:
    """Note whose key the request came with."""
    if (call := _current.get()) is not None:
        call.project, call.key = project, prefix


def note_user(project: int, user: int) -> None:
    """Note who sent the request, a person."""
    if (call := _current.get()) is not None:
        call.project, call.user = project, user


def note_route(route: str) -> None:
    """Note which of our addresses is asked."""
    if (call := _current.get()) is not None:
        call.route = route


def begin(scope: dict[str, Any]) -> Call:
    """Start to note what is known of the request of an ASGI ``scope``, in the context of its task."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    # The path as it was sent: decoded, it could hold the end of a line.
    call = Call(
        request_id=request_id, method=scope["method"], path=scope["raw_path"].decode("ascii", "backslashreplace")
    )
    _current.set(call)
    return call


def write_access_line(call: Call) -> None:
    cut = ", cut off" if call.is_cut else ""
    logger.info("%s %s %d, %d ms%s", call.method, call.path, call.status, call.duration * 1000, cut)


class RouteMiddleware:
    """Note which of our addresses is asked: the pattern, not the path, so that there are few."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> None:
        if request.resolver_match is not None:
            note_route(request.resolver_match.route)
