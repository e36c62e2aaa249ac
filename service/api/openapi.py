"""What every operation of the OpenAPI document says by itself: the scope it asks for, and what its refusals look like.

Whatever a view documents itself is left as it is.
"""

from http import HTTPStatus
from typing import Any

from drf_spectacular.openapi import AutoSchema

from service.api.problems import CONTENT_TYPE, document

SCOPES = "x-scopes"  # the scopes that a key needs; none where any key will do

PROBLEMS: dict[str, dict[str, object]] = {
    "400": document(
        400,
        "A query parameter can't be used",
        "unknown_parameter",
        "There is no parameter 'colour'. None is known here.",
        [
            {
                "field": "colour",
                "code": "unknown_parameter",
                "detail": "There is no parameter 'colour'. None is known here.",
            }
        ],
    ),
    "401": document(401, "The key was not accepted", "key_missing", "Send a key as 'Authorization: Bearer hg_…'."),
    "403": document(403, "A scope is missing", "scope_missing", "The key hg_4Fh2kQz9… has no scope 'events:read'."),
    "404": document(404, "Not Found", "not_found", "This project has no event 01a1f873-c8a0-7c3e-a1b2-000000000000."),
    "408": document(
        408,
        "The request took too long to arrive",
        "request_timeout",
        "The body came slower than 16384 bytes a second. Send it again.",
    ),
    "409": document(
        409, "That can't be done as things are", "own_key", "A key can't revoke itself. Use another, or rotate it."
    ),
    "413": document(
        413,
        "The request is too large",
        "body_too_large",
        "The body may hold 5242880 bytes at the most. Send less at once.",
    ),
    "415": document(
        415, "The body is of a kind that isn't taken here", "unsupported_media_type", "Send application/json."
    ),
    "422": document(
        422,
        "What was sent was refused",
        "required",
        "source: The attribute source is missing.",
        [{"field": "source", "code": "required", "detail": "The attribute source is missing."}],
    ),
    "429": document(
        429,
        "The requests of this minute are used up",
        "rate_limited",
        "The key hg_4Fh2kQz9… may make 60000 requests a minute. Send it again in 12 s.",
    ),
    "503": document(
        503,
        "The service can't store or read right now",
        "database_unavailable",
        "The database does not answer. Send the same again.",
    ),
}
CHALLENGE = {
    "WWW-Authenticate": {
        "description": "How to send a key.",
        "schema": {"type": "string", "example": 'Bearer realm="heliograph"'},
        "required": True,
    }
}
HEADERS = {"401": CHALLENGE}


class OperationSchema(AutoSchema):
    def get_operation(self, *args: Any, **options: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **options)
        if operation is not None:
            self.say_scope(operation)
            for status, response in operation["responses"].items():
                response["description"] = response["description"] or HTTPStatus(int(status)).phrase
                show_problem(status, response)
        return operation

    def say_scope(self, operation: dict[str, Any]) -> None:
        scope = getattr(self.view, "scopes", {}).get(self.method)
        operation[SCOPES] = [] if scope is None else [str(scope)]
        if scope is not None:
            needs = f"Needs the scope `{scope}`, of a key or of a person's role."
            operation["description"] = "\n\n".join(filter(None, [operation.get("description"), needs]))


def show_problem(status: str, response: dict[str, Any]) -> None:
    content = response.get("content", {}).get(CONTENT_TYPE)
    if content is None or status not in PROBLEMS:
        return
    example = PROBLEMS[status]
    content.setdefault("examples", {str(example["code"]): {"value": example, "summary": example["title"]}})
    if status in HEADERS:
        response["headers"] = {**HEADERS[status], **response.get("headers", {})}
