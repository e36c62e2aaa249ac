"""Clients on bare sockets, which can be as slow, stuck or rude as a test wants."""

import contextlib
import select
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.service.cast import EVENTS


@contextlib.contextmanager
def connected(url: str, count: int, *, receive_buffer: int | None = None) -> Iterator[list[socket.socket]]:
    """Yield as many connections to the service at ``url``; a small buffer makes a client that reads nothing felt."""
    address = urlsplit(url)
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            if receive_buffer is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.settimeout(60)
            connection.connect((str(address.hostname), address.port or 0))
            connections.append(connection)
        yield connections


def head(method: str, path: str, key: str, *lines: str) -> bytes:
    first = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    return "\r\n".join([*first, "Content-Type: application/json", *lines, "", ""]).encode()


def post(key: str, body: bytes, *lines: str) -> bytes:
    return head("POST", EVENTS, key, f"Content-Length: {len(body)}", *lines) + body


def rest(connection: socket.socket) -> bytes:
    """Return all that comes until the service closes the connection."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return bytes(received)


def first_bytes(connection: socket.socket) -> bytes:
    """Return what of an answer comes first."""
    return connection.recv(65536)


def are_untouched(connections: list[socket.socket]) -> bool:
    """Tell that none of them got an answer, or was closed."""
    return not select.select(connections, [], [], 0)[0]
