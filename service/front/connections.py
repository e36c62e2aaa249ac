"""Break off a connection.

An ASGI application can't: an answer that ends early would look complete to its client, and a client that reads
nothing would keep its connection for ever.
"""

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

FILES = Path("/dev/fd")


def cut(scope: dict[str, Any]) -> None:
    """Shut down the connection that the request of ``scope`` came on, if it is there still."""
    client = scope["client"][0], int(scope["client"][1])
    for file in os.listdir(FILES):  # noqa: PTH208  # numbers, not paths
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(file))) as connection:
            if connection.type == socket.SOCK_STREAM and connection.getpeername()[:2] == client:
                connection.shutdown(socket.SHUT_RDWR)
                return
