"""Read what a view left of a request's body, so that its answer reaches the client.

A server that answers and closes while the client still writes makes TCP throw the answer away, and a server that
keeps the connection would take the rest of the body for the next request.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from service.api import limits

CHUNK = 64 * 1024

GetResponse = Callable[[HttpRequest], HttpResponse]


class DrainingMiddleware:
    """Drain a POST up to four times what a body may hold; a larger one, or any other's, costs the connection."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if has_unasked_body(request) if request.method != "POST" else not drained(body_stream(request)):
            response["Connection"] = "close"
        return response


def has_unasked_body(request: HttpRequest) -> bool:
    """Tell whether a body came that nobody reads. Waiting for it would let a stalled client hold a thread."""
    return request.META.get("CONTENT_LENGTH") not in {None, "", "0"} or "Transfer-Encoding" in request.headers


def body_stream(request: HttpRequest) -> Any:
    """Return the stream of the body; Django takes one without a length for empty, so such a one is the server's."""
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    framed = request.META["SERVER_PROTOCOL"].startswith("HTTP/2") and not request.META.get("CONTENT_LENGTH")
    return request.META["wsgi.input"] if chunked or framed else request


def drained(stream: Any) -> bool:
    room = 4 * limits.BODY_BYTES
    while room > 0:
        chunk = stream.read(CHUNK)
        if not chunk:
            return True
        room -= len(chunk)
    return False
