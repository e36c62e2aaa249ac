"""From ASGI's scope to WSGI's environment (PEP 3333)."""

import sys
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
PLAIN = {"HTTP_CONTENT_TYPE": "CONTENT_TYPE"}
# The body is here whole: these tell how it came.
OF_THE_WIRE = {"HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT"}


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
    """Return the headers as WSGI names them; one with an underscore is left out, as it could pose as another."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue
        name = "HTTP_" + raw_name.decode("latin-1").upper().replace("-", "_")
        name, value = PLAIN.get(name, name), raw_value.decode("latin-1")
        if name in headers:
            value = headers[name] + ("; " if name == "HTTP_COOKIE" else ",") + value
        headers[name] = value
    return {name: value for name, value in headers.items() if name not in OF_THE_WIRE}
