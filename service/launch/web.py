"""The web server: its command line, its port, and whether it is ready."""

import contextlib
import errno
import http.client
import ipaddress
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.launch.errors import LaunchError

CONNECTIONS = 4_000  # of each process
BUFFER = 64 * 1024  # bytes of each connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    host: str
    port: int

    @property
    def reachable_host(self) -> str:
        """The host to connect to: a server on all addresses is reached on the loopback one."""
        with contextlib.suppress(ValueError):
            if (address := ipaddress.ip_address(self.host)).is_unspecified:
                return "127.0.0.1" if address.version == 4 else "::1"
        return self.host

    @property
    def url(self) -> str:
        host = self.reachable_host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def command(address: Address, *, workers: int) -> list[str]:
    """Return the command of ``workers`` web processes; the settings say what each may do at once."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws", "--loop", "uvloop"),
        # Waiting to see which of two versions it is, granian would wait for ever for who connects and says nothing.
        *("--http", "1"),
        # What a head may hold, and what waits to be sent beyond the pieces that the front hands over.
        *("--http1-buffer-size", str(BUFFER)),
        *("--host", address.host, "--port", str(address.port), "--workers", str(workers)),
        # Stuck connections count among these, for as long as the front lets them.
        *("--backlog", "2048", "--backpressure", str(CONNECTIONS)),
        # A browser keeps its connection open, and Ctrl-C shouldn't wait for it. Shorter than the patience of Children.
        *("--respawn-failed-workers", "--workers-kill-timeout", "4", "--log-level", "warning"),
        "service.asgi:application",
    ]


def check_free(address: Address, *, patience: float) -> None:
    """Raise LaunchError if nothing can listen at ``address``; wait ``patience`` seconds for it to become free."""
    deadline = time.monotonic() + patience
    while (error := _try_to_listen(address)) is not None:
        if error.errno != errno.EADDRINUSE:
            raise LaunchError(f"The web server can't listen on {address.url}: {error}.") from error
        if time.monotonic() > deadline:
            raise LaunchError(
                f"Port {address.port} is taken by another program. Stop that, or choose another port: "
                f"PORT={address.port + 1} make up"
            ) from error
        time.sleep(0.1)


def _try_to_listen(address: Address) -> OSError | None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        socket.create_server((address.host, address.port), family=family).close()
    except OSError as error:
        return error
    return None


def wait_until_ready(address: Address, *, host: str, check: Callable[[], None], patience: float = 60) -> None:
    """Ask ``/readyz`` under the name ``host`` until it answers 200; ``check`` raises when waiting is in vain.

    Raises LaunchError with the last answer after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while (answer := _ask_ready(address, host)) is not None:
        check()
        if time.monotonic() > deadline:
            raise LaunchError(f"The web server is not ready after {patience:.0f} s. /readyz: {answer}")
        time.sleep(0.05)


def _ask_ready(address: Address, host: str) -> str | None:
    """Return None when it is ready, else what it answered."""
    connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=10)
    try:
        connection.request("GET", "/readyz", headers={"Host": host})
        response = connection.getresponse()
        return None if response.status == 200 else f"{response.status} {response.read(500)!r}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
