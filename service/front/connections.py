"""Break off connections.

An ASGI application can't: an answer that ends early would look complete to its client, and a client that reads
nothing would keep its connection for ever.
"""

import asyncio
import contextlib
import os
import socket
import stat
from typing import Any

FILES = "/dev/fd"
Client = tuple[str, int]


class Cuts:
    """Breaks off connections, away from the event loop, those of many clients in one look through the open files."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting: set[Client] = set()

    async def cut(self, scope: dict[str, Any]) -> None:
        """Shut down the connection that the request of ``scope`` came on, if it is there still."""
        client = scope["client"][0], int(scope["client"][1])
        self.waiting.add(client)
        async with self.lock:
            if client in self.waiting:  # else whoever had the lock before cut it too
                clients, self.waiting = self.waiting, set()
                await asyncio.to_thread(shut_down, clients)


cuts = Cuts()


def shut_down(clients: set[Client]) -> None:
    """Shut down the connections of ``clients``, which is used up."""
    for file in sockets():
        with contextlib.suppress(OSError), copied(file) as connection:  # closed meanwhile, or connected to nobody
            client = connection.getpeername()[:2]
            if client in clients:
                connection.shutdown(socket.SHUT_RDWR)
                clients.remove(client)
        if not clients:
            return


def end_of_who_reads_nothing(port: int, seconds: float) -> None:
    """Have the kernel end each connection to ``port`` whose client takes nothing of what waits for it for ``seconds``.

    It knows of what the server has taken from us and couldn't send, which nobody tells an application. A connection to
    come has it of its listener. Only Linux can.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        for file in sockets():
            with contextlib.suppress(OSError), copied(file) as own:  # closed meanwhile
                if own.family in {socket.AF_INET, socket.AF_INET6} and own.getsockname()[1] == port:
                    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def sockets() -> list[int]:
    return [file for file in map(int, os.listdir(FILES)) if is_socket(file)]  # noqa: PTH208  # numbers, not paths


def is_socket(file: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(file).st_mode)
    except OSError:  # closed meanwhile
        return False


def copied(file: int) -> socket.socket:
    """Return a copy of a socket, which is nobody else's meanwhile."""
    return socket.socket(fileno=os.dup(file))
