"""Let a key, or a person, do what their scopes say, and nothing else."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from service.api.problems import Problem
from service.projects.authentication import caller_of
from service.projects.models import Key
from service.projects.seats import Seat

if TYPE_CHECKING:  # DRF's views import this module by its settings
    from rest_framework.views import APIView


class Forbidden(Problem):
    status_code = 403
    title = "A scope is missing"


class HasKey(BasePermission):
    """Ask for a key or a person, whatever their scopes."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return bool(caller_of(request))


class HasScope(BasePermission):
    """Ask for the scope that the view names for the method: ``scopes = {"GET": Scope.EVENTS_READ}``.

    A method that the view has and doesn't name is refused, so that a forgotten entry can't open anything.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        caller = caller_of(request)
        method = "GET" if request.method == "HEAD" else request.method
        scope = getattr(view, "scopes", {}).get(method)
        if scope is None:
            return method == "OPTIONS" or method not in view.allowed_methods  # the latter is a 405
        if scope not in caller.scopes:
            raise Forbidden("scope_missing", f"{named(caller)} has no scope '{scope}'.")
        return True


def named(caller: Key | Seat) -> str:
    return f"The key {caller.prefix}…" if isinstance(caller, Key) else f"Your role of a {caller.role}"
