"""From ASGI's scope to WSGI's environment (PEP 3333)."""

import sys
from functools import lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

Scope = dict[str, Any]

ALWAYS: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
# The body is here whole: these tell how it came.
OF_THE_WIRE = {b"content-length", b"transfer-encoding", b"expect"}
SHORT = 64  # bytes of a name that is worth remembering


def environ_of(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the environment of a request whose ``body`` was read whole, with its true length."""
    server, client = scope["server"], scope["client"]
    return {
        **ALWAYS,
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "wsgi.url_scheme": scope["scheme"],
        **headers_of(scope),
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.input": BytesIO(body),
    }


def headers_of(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = known_name_of(raw_name) if len(raw_name) <= SHORT else name_of(raw_name)
        if name is None:
            continue
        value = raw_value.decode("latin-1")
        if name in headers:
            value = headers[name] + ("; " if name == "HTTP_COOKIE" else ",") + value
        headers[name] = value
    return headers


def name_of(raw: bytes) -> str | None:
    """Return a header's name as WSGI has it; None for one to leave out. An underscore could pose as a hyphen."""
    if b"_" in raw or raw in OF_THE_WIRE:
        return None
    name = raw.decode("latin-1").upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


known_name_of = lru_cache(maxsize=1024)(name_of)
