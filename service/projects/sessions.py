"""Authenticate a request by its session: who is logged in names a project as ``Heliograph-Project: shop``.

Without that header no session is looked at, so that a request with a key, or with nothing, costs what it did.
"""

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from service.api import calls
from service.api.problems import Problem
from service.projects import operations, queries, ratelimit, remembered
from service.projects.models import Scope
from service.projects.seats import Seat

HEADER = "Heliograph-Project"

# Of those whose answers take long, who are asked about many times a second.
_seats: remembered.Memory[Seat] = remembered.Memory(10_000)


class NotAMember(Problem):
    status_code = 403
    title = "The project is none of yours"

    def __init__(self) -> None:
        super().__init__("project_unknown", f"You are in no project of the name that {HEADER} has.")


class CsrfFailed(Problem):
    status_code = 403
    title = "The request can't be trusted"


class SessionAuthentication(BaseAuthentication):
    """Set ``request.user`` to who is logged in, and ``request.auth`` to the `Seat` in the project that is named."""

    def authenticate(self, request: Request) -> tuple[User, Seat] | None:
        """Return None without the header, or for nobody who is logged in, who is told what those without a key are.

        Runs three queries: the session, the person and the role are as they are now. Raises `NotAMember`, also where
        there is no such project, `CsrfFailed` for what changes something, and `RateLimited`.
        """
        name = request.headers.get(HEADER)
        if name is None or not isinstance(user := request._request.user, User):
            return None
        check_csrf(request._request)
        seat = queries.seat_in(user, name)
        if seat is None:
            raise NotAMember
        calls.note_user(seat.project_id, seat.user_id)
        ratelimit.count_user(request._request, seat.user_id)
        return user, seat


def check_csrf(request: HttpRequest) -> None:
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]  # it is asked, and calls nobody
    check.process_request(request)
    reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]  # no view is exempt
    if reason is not None:
        header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").title()
        raise CsrfFailed("csrf_failed", f"{reason} Send the cookie '{settings.CSRF_COOKIE_NAME}' as {header}, too.")


def lasting(request: Request, scope: Scope) -> Callable[[], bool]:
    """Return what tells whether who sent ``request`` is still logged in, and has ``scope``."""
    session_key, name = request._request.session.session_key, request.headers[HEADER]

    def may_go_on() -> bool:
        seat = known_seat(session_key, name)
        return seat is not None and scope in seat.scopes

    return may_go_on


def known_seat(session_key: str | None, name: str) -> Seat | None:
    """Return the seat of who is logged in as it is now, or was up to `remembered.SECONDS` ago."""
    which = operations.digest(f"{session_key}/{name}")
    seat = _seats.get(which)
    if seat is None:
        read_at = time.monotonic()
        seat = seat_of(session_key, name)
        if seat is not None:
            _seats.put(which, seat, read_at)
    return seat


def seat_of(session_key: str | None, name: str) -> Seat | None:
    request = HttpRequest()
    request.session = SessionStore(session_key)
    user = auth.get_user(request)
    return queries.seat_in(user, name) if isinstance(user, User) else None


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # spectacular's base is untyped
    target_class = SessionAuthentication
    name = ["session", "project"]  # both together

    def get_security_definition(self, auto_schema: object) -> list[dict[str, str]]:
        return [
            {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
                "description": "A person's session: log in at `/accounts/login/`. This page then sends it by itself. "
                "Unsafe methods need the header `X-CSRFToken`, too.",
            },
            {
                "type": "apiKey",
                "in": "header",
                "name": HEADER,
                "description": "Beside a session: the name of the project that is asked about. A key has its own.",
            },
        ]
