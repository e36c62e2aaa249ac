"""CloudEvents in binary mode: attributes as headers, data as the body (HTTP binding §3.1)."""

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

import msgspec
from django.http import HttpRequest
from msgspec import Raw

from service.api.inspection import Fault, RefusedError

PREFIX = "HTTP_CE_"  # of the headers ce-*, as WSGI names them
STRUCTURED = "application/cloudevents"
JSON = re.compile(r"(application|text)/json|[^/]+/[^/]+\+json")
ESCAPED = re.compile(r"\\(.)")
NOT_A_HEADER = frozenset({"data", "data_base64", "datacontenttype"})  # they are the body, and Content-Type


def is_binary(request: HttpRequest) -> bool:
    if (request.content_type or "").startswith(STRUCTURED):
        return False
    return any(name.startswith(PREFIX) for name in request.META)


def holds_json(request: HttpRequest) -> bool:
    """Tell whether the data is JSON, which it is too where nothing is said of it (CloudEvents spec §3.1)."""
    return not request.content_type or JSON.fullmatch(request.content_type) is not None


def event_of(request: HttpRequest, content: bytes, data: bytes | None) -> bytes:
    """Return the event as JSON; ``data`` is what ``content`` is as JSON, if it is. Raises `RefusedError`."""
    event: dict[str, object] = dict(attributes_of(request))
    if request.META.get("CONTENT_TYPE"):
        event["datacontenttype"] = text_of("Content-Type", request.META["CONTENT_TYPE"])
    if data is not None:
        event["data"] = Raw(data)
    elif content:
        event |= encoded(request, content)
    return msgspec.json.encode(event)


def attributes_of(request: HttpRequest) -> dict[str, str]:
    headers = {name[len(PREFIX) :].lower(): value for name, value in request.META.items() if name.startswith(PREFIX)}
    for name in sorted(NOT_A_HEADER & headers.keys()):
        raise RefusedError(Fault(f"ce-{name}", "invalid_attribute_name", "Send it as the body, with a Content-Type."))
    return {name: unescaped(name, value) for name, value in headers.items()}


def unescaped(name: str, value: str) -> str:
    """Undo quoting, then one round of percent-encoding (HTTP binding §3.1.3.2)."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = ESCAPED.sub(r"\1", value[1:-1])
    return text_of(f"ce-{name}", value, unquote_to_bytes(value.encode("latin-1")))


def text_of(header: str, value: str, octets: bytes | None = None) -> str:
    """Return what a header says in UTF-8; WSGI takes its octets for Latin-1."""
    try:
        return (value.encode("latin-1") if octets is None else octets).decode()
    except UnicodeDecodeError as error:
        raise RefusedError(Fault(header, "invalid", "The header is not UTF-8, percent-encoded.")) from error


def encoded(request: HttpRequest, content: bytes) -> dict[str, str]:
    """Return data that isn't JSON as a text where it is one, else in Base64 (JSON format §3.1.1)."""
    if (request.content_type or "").startswith("text/") and b"\0" not in content:
        try:
            return {"data": content.decode()}
        except UnicodeDecodeError:
            pass
    return {"data_base64": b64encode(content).decode()}
