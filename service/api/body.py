"""Read a request's body within its limits. Knows nothing of what it holds."""

import gzip
import zlib
from collections.abc import Collection, Mapping
from io import BytesIO

from django.http import HttpRequest

from service.api import limits
from service.api.problems import Problem

JSON = "application/json"


class BodyProblem(Problem):
    """What is wrong with a body as a whole, or with a header that tells of it: ``field`` names which."""

    field = "body"

    def __init__(self, code: str, detail: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> None:
        errors = [{"field": field or self.field, "code": code, "detail": detail}]
        super().__init__(code, detail, errors=errors, headers=headers)


class Malformed(BodyProblem):
    status_code = 400
    title = "The body can't be read"


class TooLarge(BodyProblem):
    status_code = 413
    title = "The request is too large"


class UnsupportedMedia(BodyProblem):
    status_code = 415
    title = "The body is of a kind that isn't taken here"
    field = "Content-Type"


def read_json(request: HttpRequest, limit: int) -> bytes:
    """Return the body of ``request``, which says that it is JSON, and holds ``limit`` bytes at the most."""
    check_media_type(request, {JSON})
    content = read(request)
    if len(content) > limit:
        raise too_large("body", limit)
    return content


def check_media_type(request: HttpRequest, known: Collection[str]) -> None:
    media_type, charset = request.content_type or "", (request.content_params or {}).get("charset", "utf-8")
    if media_type not in known:
        raise UnsupportedMedia("unsupported_media_type", f"Content-Type {media_type!r}: send {' or '.join(known)}.")
    if charset.lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMedia("unsupported_charset", f"JSON is UTF-8, not {charset}.")


def read(request: HttpRequest) -> bytes:
    """Return the body of ``request`` with its Content-Encoding undone.

    Raises `TooLarge` before more than a limit is held in memory, `UnsupportedMedia` for another encoding than
    gzip, `Malformed` for gzip that is broken or cut off.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"gzip", "identity"}:
        raise UnsupportedMedia(
            "unsupported_encoding",
            f"Content-Encoding {encoding!r}: send gzip or none.",
            field="Content-Encoding",
            headers={"Accept-Encoding": "gzip"},
        )
    wire = read_wire(request)
    return inflate(wire) if encoding == "gzip" else wire


def read_wire(request: HttpRequest) -> bytes:
    text = request.META.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdecimal()):
        raise Malformed("bad_length", f"The Content-Length {text!r} is no number.", field="Content-Length")
    length = int(text[:20])
    if length > limits.BODY_BYTES:
        raise too_large("body", limits.BODY_BYTES)
    body: bytes = request.read(limits.BODY_BYTES + 1)
    if len(body) > limits.BODY_BYTES:
        raise too_large("body", limits.BODY_BYTES)
    if len(body) < length:
        raise Malformed("body_cut_off", f"The body ended after {len(body)} of {length} bytes. Send it again.")
    return body


def inflate(wire: bytes) -> bytes:
    """Undo gzip, stopping at the limit: a bomb costs no more than an honest body."""
    try:
        with gzip.open(BytesIO(wire)) as file:
            inflated = file.read(limits.INFLATED_BYTES + 1)
    except EOFError as error:
        raise Malformed("bad_gzip", "The gzip body is cut off. Send it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Malformed("bad_gzip", f"The body says gzip and isn't: {error}.") from error
    if len(inflated) > limits.INFLATED_BYTES:
        raise too_large("inflated body", limits.INFLATED_BYTES)
    return inflated


def too_large(what: str, limit: int) -> TooLarge:
    return TooLarge("body_too_large", f"The {what} may hold {limit} bytes at the most. Send less at once.")
