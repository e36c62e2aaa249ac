"""Errors as RFC 9457 ``application/problem+json``: the one place where exceptions become HTTP."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.response import Response

from service.api import metrics
from service.api.inspection import Fault, RefusedError, printable
from service.api.renderers import JSONRenderer

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:heliograph:problem:"
FAILURE = ("The service failed", "server_error", "This is a fault of the service, and it was logged.")
RETRY_AFTER_OUTAGE = 5  # seconds; long enough for a Postgres restart, short enough to drain soon after


class Problem(APIException):
    """A refusal that says what is wrong and what to do.

    ``errors`` names the faulty parts, each a mapping with ``field``, ``code`` and ``detail``.
    """

    status_code = 400
    title = "The request can't be carried out"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, object]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, code)
        self.code = code
        self.errors = errors
        self.extra_headers = {**self.headers, **(headers or {})}


class Unavailable(Problem):
    status_code = 503
    title = "The service can't store or read right now"

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail, headers={"Retry-After": str(RETRY_AFTER_OUTAGE)})


class Refusal(Problem):
    status_code = 422
    title = "What was sent was refused"


def refusal(fault: Fault) -> Refusal:
    """Return the answer to ``fault``; whatever text it quotes, the answer is UTF-8."""
    field, detail = printable(fault.field), printable(fault.detail)
    errors = [{"field": field, "code": fault.code, "detail": detail}]
    return Refusal(fault.code, f"{field}: {detail}" if field else detail, errors=errors)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Turn what a view raised into a response; None for what is a bug, which Django answers with 500."""
    problem = as_problem(error)
    if problem is None:
        return None
    # Whatever the view renders otherwise, such as YAML or a page.
    if (request := context.get("request")) is not None:
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    body = document(problem.status_code, problem.title, problem.code, str(problem.detail), problem.errors)
    response = Response(body, status=problem.status_code, content_type=CONTENT_TYPE)
    for name, value in problem.extra_headers.items():
        response[name] = value
    return response


def as_problem(error: Exception) -> Problem | None:
    match error:
        case Problem():
            return error
        case RefusedError():
            return refusal(error.fault)
        case OperationalError() | InterfaceError():
            metrics.DATABASE_ERRORS.inc()
            logger.error("The database did not answer: %s", error)
            return Unavailable("database_unavailable", "The database does not answer. Send the same again.")
        case Http404():
            return translated(exceptions.NotFound())
        case PermissionDenied():
            return translated(exceptions.PermissionDenied())
        case APIException():
            return translated(error)
    return None


def translated(error: APIException) -> Problem:
    """Give one of DRF's own exceptions our shape."""
    code = error.get_codes()
    problem = Problem(code if isinstance(code, str) else "invalid", str(error.detail), headers=drf_headers(error))
    problem.status_code = error.status_code
    problem.title = HTTPStatus(error.status_code).phrase
    return problem


def drf_headers(error: APIException) -> dict[str, str]:
    wait = getattr(error, "wait", None)
    headers = {"Retry-After": str(int(wait) + 1)} if wait is not None else {}
    challenge = getattr(error, "auth_header", None)
    return {**headers, "WWW-Authenticate": challenge} if challenge else headers


def document(
    status: int, title: str, code: str, detail: str, errors: Sequence[Mapping[str, object]] = ()
) -> dict[str, object]:
    """Return the members of a problem document (RFC 9457 §3.1), with ``code`` and ``errors`` as extensions."""
    members: dict[str, object] = {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return {**members, "errors": list(errors)} if errors else members


def plain(status: int, title: str, code: str, detail: str) -> HttpResponse:
    return JsonResponse(document(status, title, code, detail), status=status, content_type=CONTENT_TYPE)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return plain(403, "The form can't be trusted", "csrf_failed", f"{reason} Reload the page and try again.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return plain(400, "The request can't be read", "bad_request", "The request is not one that can be read.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    hint = "See /api/v1/docs/." if request.path.endswith("/") else f"Perhaps {request.path}/ is meant."
    return plain(404, "Not found", "not_found", f"There is nothing at {request.path}. {hint}")


def server_error(request: HttpRequest) -> HttpResponse:
    return plain(500, *FAILURE)


def failure() -> Problem:
    """Return the answer to a fault of ours."""
    title, code, detail = FAILURE
    problem = Problem(code, detail)
    problem.status_code, problem.title = 500, title
    return problem


def encoded(problem: Problem) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of the answer to ``problem``, where there is no Django to send it."""
    body = document(problem.status_code, problem.title, problem.code, str(problem.detail), problem.errors)
    content = JSONRenderer().render(body)
    return content, {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(content)), **problem.extra_headers}
