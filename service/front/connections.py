"""Break off a connection.

An ASGI application can't: an answer that ends early would look complete to its client, and a client that reads
nothing would keep its connection for ever.
"""

import contextlib
import os
import socket
import stat
from typing import Any

FILES = "/dev/fd"


def cut(scope: dict[str, Any]) -> None:
    """Shut down the connection that the request of ``scope`` came on, if it is there still."""
    client = scope["client"][0], int(scope["client"][1])
    for file in map(int, os.listdir(FILES)):  # noqa: PTH208  # numbers, not paths
        with contextlib.suppress(OSError):  # closed meanwhile, or connected to nobody
            if stat.S_ISSOCK(os.fstat(file).st_mode) and was_shut_down(file, client):
                return


def was_shut_down(file: int, client: tuple[str, int]) -> bool:
    """Shut down the socket if it is ``client``'s; a copy of it is looked at, which is nobody else's meanwhile."""
    with socket.socket(fileno=os.dup(file)) as connection:
        if connection.getpeername()[:2] != client:
            return False
        connection.shutdown(socket.SHUT_RDWR)
        return True
