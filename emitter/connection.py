"""One kept-alive connection to the service: TLS that is verified, a proxy where there is one, and an end to waiting.

Knows HTTP and nothing of events. Never logs, never follows a redirect, keeps no cookie, tries nothing twice.
"""

import http.client
import io
import queue
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from urllib.parse import unquote
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError
from urllib3.util import Timeout, Url, make_headers, parse_url

from emitter.exceptions import ConfigurationError

LONGEST_ANSWER = 4 * 1024 * 1024  # bytes: a batch of 1,000 refusals is a tenth of it
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
PIECE = 64 * 1024  # bytes sent with one look at the clock

_ends: ContextVar[float] = ContextVar("heliograph_ends")  # when the request that is made here has to be over


class Answer(NamedTuple):
    """What came back; of a body longer than `LONGEST_ANSWER`, its beginning and one byte more."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Makes requests to one host, one at a time, over one connection that is kept.

    `proxy` is the URL of one; "" is none, None is what the environment says (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
    NO_PROXY), except for this very machine. `ca_file` holds the certificates that are trusted, instead of the system's;
    `client_cert` a certificate with its key, both in PEM. Raises ConfigurationError; touches no network.
    """

    def __init__(
        self,
        url: Url,
        *,
        connect_timeout: float = 5.0,
        proxy: str | None = None,
        ca_file: str = "",
        client_cert: str = "",
    ) -> None:
        self._proxy = _checked_proxy(_environments_proxy(url) if proxy is None else proxy)
        self._connect_timeout = connect_timeout
        self._ca_file = ca_file
        self._client_cert = client_cert
        self._encrypts = "https" in {url.scheme, self._proxy and self._proxy.scheme}
        if ca_file or client_cert:
            self._context()  # says now what is wrong with them
        self.reset()

    @property
    def secrets(self) -> list[str]:
        """What no message may repeat: the proxy's password, as it is written and as it is meant."""
        password = (self._proxy.auth or "").partition(":")[2] if self._proxy else ""
        return [text for text in {password, unquote(password)} if text]

    @property
    def proxy(self) -> str:
        """Where the proxy is, without who we are to it; "" for none."""
        return self._proxy._replace(auth=None).url if self._proxy else ""

    def reset(self) -> None:
        """Forget the open connection, which after a fork is the parent's.

        Its socket is closed here and not shut down: neither TCP nor TLS tells the service, for whom the parent has it
        open. The TLS context is made anew too, since OpenSSL's locks may have been held when the process forked.
        """
        self._manager: PoolManager | None = None

    def exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], timeout: float, body: bytes | None = None
    ) -> Answer:
        """Return the answer to one request, of which all but looking up the host's name takes `timeout` at the most.

        Raises HTTPError of urllib3, HTTPException of http.client, OSError; ValueError for an answer of nonsense.
        """
        limits = Timeout(connect=min(self._connect_timeout, timeout), total=timeout)
        with _until(time.monotonic() + timeout):
            response = self._opened().request(
                method, url, body=body, headers=headers, timeout=limits, redirect=False, preload_content=False
            )
            try:
                content = response.read(LONGEST_ANSWER + 1, decode_content=False)
                return Answer(response.status, response.reason or "", response.headers, content)
            finally:
                response.close()  # a connection read to the end is back in the pool by now, and stays open

    def _opened(self) -> PoolManager:
        if self._manager is None:
            # A redirect would carry the key elsewhere; retrying is the worker's.
            context = self._context() if self._encrypts else None
            options: dict[str, Any] = {"num_pools": 1, "maxsize": 1, "retries": False, "ssl_context": context}
            if self._proxy is None:
                manager = PoolManager(**options)
            else:
                options |= {"proxy_headers": _credentials(self._proxy), "proxy_ssl_context": context}
                manager = ProxyManager(self.proxy, **options)
            manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
            self._manager = manager
        return self._manager

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"The CA file {self._ca_file!r} can't be used: {error}.") from error
        if self._client_cert:
            try:
                context.load_cert_chain(self._client_cert, password=_no_password)
            except (OSError, ValueError) as error:
                message = f"The client's certificate and key {self._client_cert!r} can't be used: {error}."
                raise ConfigurationError(message) from error
        return context


def _no_password() -> str:
    """Answer where OpenSSL would otherwise ask on the terminal."""
    return ""


def _environments_proxy(url: Url) -> str:
    # Not `getproxies()`, which asks macOS too: its frameworks crash in a forked child.
    if url.host in LOOPBACK or proxy_bypass_environment(url.netloc or ""):
        return ""
    proxies = getproxies_environment()
    found = proxies.get(url.scheme or "") or proxies.get("all") or ""
    return found if not found or "://" in found else f"http://{found}"


def _checked_proxy(text: str) -> Url | None:
    if not text:
        return None
    try:
        parts = parse_url(text)
    except LocationParseError as error:
        raise ConfigurationError("The proxy's URL can't be parsed.") from error
    if parts.scheme not in {"http", "https"}:
        raise ConfigurationError("The proxy's URL must begin with http:// or https://.")
    if not parts.host:
        raise ConfigurationError("The proxy's URL names no host.")
    return parts


def _credentials(proxy: Url) -> Mapping[str, str]:
    return make_headers(proxy_basic_auth=unquote(proxy.auth)) if proxy.auth else {}


# urllib3's `total` bounds each read of an answer, not all of them: a byte every second would hold us for ever. So each
# read and write of ours may wait for what is left until the end of the request, and no longer.


@contextmanager
def _until(moment: float) -> Any:
    token = _ends.set(moment)
    try:
        yield
    finally:
        _ends.reset(token)


def _limit(sock: socket.socket) -> None:
    left = _ends.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    sock.settimeout(left)


class _Stream(io.RawIOBase):
    """What a socket receives, until the request's end."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        _limit(self._sock)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Stream(self.fp.detach(), sock))

    def _read_status(self) -> tuple[str, int, str]:
        """Have every interim answer passed over as http.client does with 100, the only one that it knows.

        It takes others for the answer itself, and the answer itself for that to the next request.
        """
        version, status, reason = super()._read_status()  # type: ignore[misc]  # private, and as old as http.client
        if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            raise http.client.BadStatusLine("101: nobody asked for another protocol")
        return version, http.HTTPStatus.CONTINUE if 100 <= status < 200 else status, reason


def _send(self: HTTPConnection, data: Any) -> None:
    if self.sock is None:
        self.connect()
    view = memoryview(data)
    for start in range(0, len(view), PIECE):
        _limit(self.sock)
        self.sock.sendall(view[start : start + PIECE])


def _where(self: HTTPConnection | HTTPConnectionPool) -> str:
    """Name what an error is about as people do."""
    return f"{self.host}:{self.port}"


class _HttpConnection(HTTPConnection):
    response_class = _Response
    send = _send
    __str__ = _where


class _HttpsConnection(HTTPSConnection):
    response_class = _Response
    send = _send
    __str__ = _where


class _Idle:
    """The idle connections of a pool. Unlike a queue it has no lock, which a fork could leave locked in the child."""

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._items: deque[Any] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if len(self._items) >= self._maxsize:
            raise queue.Full
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._items)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection
    QueueCls = _Idle  # type: ignore[assignment]  # it has what a pool uses of a queue
    __str__ = _where


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection
    QueueCls = _Idle  # type: ignore[assignment]
    __str__ = _where
