"""Read a request's body within its limits. Knows nothing of what it holds."""

import gzip
import sys
import zlib
from collections.abc import Callable, Collection, Mapping
from io import BytesIO
from typing import BinaryIO, cast

from django.http import HttpRequest

from service.api import limits
from service.api.problems import Problem

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JSON = "application/json"
# 8 MiB, as RFC 9659 wants of HTTP: a frame of a few bytes may ask its reader for a window of gigabytes.
ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
ZSTD_FRAMES = 10_000


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

    Raises `TooLarge` before more than a limit is held in memory, `UnsupportedMedia` for an encoding that isn't in
    `ENCODINGS`, `Malformed` for a body that is broken or cut off.
    """
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if encoding == "identity":
        return read_wire(request)
    if encoding not in ENCODINGS:
        raise UnsupportedMedia(
            "unsupported_encoding",
            f"Content-Encoding {encoding!r}: send {', '.join(ENCODINGS)} or none.",
            field="Content-Encoding",
            headers={"Accept-Encoding": ", ".join(ENCODINGS)},
        )
    return inflate(read_wire(request), encoding)


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


def open_gzip(wire: BytesIO) -> BinaryIO:
    return cast("BinaryIO", gzip.open(wire))


def open_zstd(wire: BytesIO) -> BinaryIO:
    """Raise `Malformed` for so many frames that going from one to the next would take seconds."""
    rest, frames = wire.getbuffer(), 0
    while rest:
        frames += 1
        if frames > ZSTD_FRAMES:
            raise Malformed("bad_zstd", f"The zstd body has over {ZSTD_FRAMES} frames. Compress it in one.")
        rest = rest[zstd.get_frame_size(rest) :]
    return cast("BinaryIO", zstd.open(wire, options=ZSTD_OPTIONS))


ENCODINGS: dict[str, Callable[[BytesIO], BinaryIO]] = {"gzip": open_gzip, "zstd": open_zstd}


def inflate(wire: bytes, encoding: str, limit: int = limits.INFLATED_BYTES) -> bytes:
    """Undo one of `ENCODINGS`, stopping at the limit: a bomb costs no more than an honest body."""
    try:
        with ENCODINGS[encoding](BytesIO(wire)) as file:
            inflated = file.read(limit + 1)
    except EOFError as error:
        raise Malformed(f"bad_{encoding}", f"The {encoding} body is cut off. Send it again.") from error
    except (gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
        raise Malformed(f"bad_{encoding}", f"The body says {encoding} and isn't: {error}.") from error
    if len(inflated) > limit:
        raise too_large("inflated body", limit)
    return inflated


def too_large(what: str, limit: int) -> TooLarge:
    return TooLarge("body_too_large", f"The {what} may hold {limit} bytes at the most. Send less at once.")
