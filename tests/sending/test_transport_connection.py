"""The way to the service: TLS that is verified, proxies, an end to waiting, and what a fork leaves alone."""

import gc
import os
import random
import signal
import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from emitter.exceptions import ConfigurationError, TemporaryError
from emitter.transport import HttpTransport
from tests.sending.certificates import Authority
from tests.sending.proxy import Proxy
from tests.sending.service import KEY, Service, an_event, running

PATIENCE = 30  # seconds until a test fails


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def service():
    with running(Service()) as server:
        yield server


@pytest.fixture
def secure(authority):
    with running(Service(authority.server("IP:127.0.0.1"))) as server:
        yield server


@pytest.fixture
def proxy():
    with running(Proxy()) as server:
        yield server


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_a_service_whose_authority_is_trusted_is_sent_to_over_one_connection(secure, authority):
    transport = HttpTransport(secure.url, KEY, ca_file=authority.file)

    for number in range(3):
        assert transport.send([an_event(number)]).accepted == 1

    assert len(secure.connections) == 1


def test_a_service_whose_authority_is_unknown_is_not_sent_to(secure):
    with pytest.raises(TemporaryError, match="certificate verify failed"):
        HttpTransport(secure.url, KEY).send([an_event()])

    assert secure.requests == []


def test_the_systems_certificates_are_trusted_unless_others_are_named(secure, authority, environment, tmp_path):
    environment.setenv("SSL_CERT_FILE", authority.file)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")

    assert HttpTransport(secure.url, KEY).send([an_event()]).accepted == 1
    with pytest.raises(TemporaryError, match="certificate verify failed"):
        HttpTransport(secure.url, KEY, ca_file=other.file).send([an_event()])


def test_a_certificate_of_another_name_is_not_believed(authority):
    with (
        running(Service(authority.server("DNS:elsewhere.example"))) as service,
        pytest.raises(TemporaryError, match="certificate verify failed"),
    ):
        HttpTransport(service.url, KEY, ca_file=authority.file).send([an_event()])


def test_a_service_that_asks_who_we_are_is_shown_our_certificate(authority):
    with running(Service(authority.server("IP:127.0.0.1", asks_for_one=True))) as service:
        with pytest.raises(TemporaryError):
            HttpTransport(service.url, KEY, ca_file=authority.file).send([an_event()])
        ours = authority.sign("DNS:client.example")

        transport = HttpTransport(service.url, KEY, ca_file=authority.file, client_cert=ours)

        assert transport.send([an_event()]).accepted == 1


@pytest.mark.parametrize("option", ["ca_file", "client_cert"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_that_holds_no_certificate_is_told_at_once(tmp_path, option, content):
    path = tmp_path / "certificate.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"certificate\.pem"):
        HttpTransport("https://heliograph.example", KEY, **{option: str(path)})


def test_a_key_with_a_password_is_told_and_nobody_is_asked_for_it(tmp_path):
    path = tmp_path / "both.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -passout pass:x -days 2 -subj /CN=x -keyout {0} -out {0}.c 2>/dev/null"
    )
    assert os.system(command.format(path) + f" && cat {path}.c >> {path}") == 0

    with pytest.raises(ConfigurationError, match=r"both\.pem"):
        HttpTransport("https://heliograph.example", KEY, client_cert=str(path))


def test_a_file_that_went_away_since_is_temporary(secure, authority, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(authority.file).read_bytes())
    transport = HttpTransport(secure.url, KEY, ca_file=str(path))
    path.unlink()

    with pytest.raises(TemporaryError, match=r"ca\.pem"):
        transport.send([an_event()])

    path.write_bytes(Path(authority.file).read_bytes())
    assert transport.send([an_event()]).accepted == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_neither_uses_nor_ends_the_parents_tls(secure, authority):
    transport = HttpTransport(secure.url, KEY, ca_file=authority.file)
    transport.send([an_event(1)])
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)
        try:
            transport.reset()
            gc.collect()
            transport.send([an_event(2)])
            gc.collect()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    transport.send([an_event(3)])

    assert [len(batch) for batch in secure.batches()] == [1, 1, 1]
    assert len(secure.connections) == 2


def locks_of(transport):
    """Return the locks of urllib3's that hold the connection: of its pools, and of the pool's queue if that has one."""
    pools = transport._connection._manager.pools
    (pool,) = [pools[key].pool for key in pools.keys()]  # noqa: SIM118  # it is no dict
    return pools.lock, getattr(pool, "mutex", threading.Lock())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_waits_for_no_lock_that_another_thread_held(service):
    transport = HttpTransport(service.url, KEY)
    transport.send([an_event(1)])
    locks = locks_of(transport)
    held, over = threading.Event(), threading.Event()

    def hold():
        with locks[0], locks[1]:
            held.set()
            over.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(PATIENCE)
    child = os.fork()
    if not child:
        signal.alarm(5)  # which ends it with another status than 0
        try:
            transport.reset()
            gc.collect()
            transport.send([an_event(2)])
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    over.set()
    thread.join()

    assert status == 0
    assert len(service.requests) == 2


def test_a_tunnel_leads_through_the_proxy(secure, authority, proxy):
    transport = HttpTransport(secure.url, KEY, ca_file=authority.file, proxy=f"http://127.0.0.1:{proxy.port}")

    for number in range(2):
        assert transport.send([an_event(number)]).accepted == 1

    assert proxy.asked == [f"CONNECT 127.0.0.1:{secure.server_port}"]


def test_the_proxy_is_told_who_we_are_and_nobody_else_is(secure, authority):
    with running(Proxy("s3cr@t")) as proxy:
        address = f"http://me:s3cr%40t@127.0.0.1:{proxy.port}"
        transport = HttpTransport(secure.url, KEY, ca_file=authority.file, proxy=address)

        assert transport.send([an_event()]).accepted == 1

    assert "Proxy-Authorization" not in secure.requests[0].headers
    assert transport.proxy == f"http://127.0.0.1:{proxy.port}"
    assert "s3cr" not in repr(transport)


def test_a_proxy_that_refuses_us_is_temporary_and_its_password_is_not_told(secure, authority):
    with running(Proxy("right")) as proxy:
        address = f"http://me:wr0ng@127.0.0.1:{proxy.port}"
        transport = HttpTransport(secure.url, KEY, ca_file=authority.file, proxy=address)

        with pytest.raises(TemporaryError, match="407") as caught:
            transport.send([an_event()])

    assert "[masked]" in str(caught.value), "which the proxy had repeated"
    assert "wr0ng" not in str(caught.value)
    assert secure.requests == []


def test_a_proxy_that_is_away_is_temporary(secure, authority):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(TemporaryError, match="proxy"):
        HttpTransport(secure.url, KEY, ca_file=authority.file, proxy=address).send([an_event()])


def test_the_tls_of_a_proxy_is_verified_too(secure, authority):
    with running(Service(authority.server("IP:127.0.0.1"))) as other:
        transport = HttpTransport(secure.url, KEY, proxy=other.url)

        with pytest.raises(TemporaryError, match="certificate verify failed"):
            transport.send([an_event()])


def test_an_http_service_is_asked_for_through_the_proxy(service):
    HttpTransport("http://heliograph.invalid", KEY, proxy=service.url).send([an_event()])

    assert service.requests[0].path == "http://heliograph.invalid/api/v1/events/"


@pytest.mark.parametrize(
    ("variables", "proxied"),
    [
        ({"http_proxy": "PROXY"}, True),
        ({"HTTP_PROXY": "PROXY"}, True),
        ({"all_proxy": "PROXY"}, True),
        ({"http_proxy": "BARE"}, True),
        ({"https_proxy": "PROXY"}, False),
        ({"http_proxy": "PROXY", "no_proxy": "heliograph.invalid"}, False),
        ({"http_proxy": "PROXY", "NO_PROXY": ".invalid"}, False),
        ({"http_proxy": "PROXY", "no_proxy": "*"}, False),
        ({"http_proxy": "PROXY", "no_proxy": "elsewhere.invalid"}, True),
        ({}, False),
    ],
)
def test_the_environment_names_the_proxy(service, environment, variables, proxied):
    for name, value in variables.items():
        bare = service.url.removeprefix("http://")
        environment.setenv(name, {"PROXY": service.url, "BARE": bare}.get(value, value))

    transport = HttpTransport("http://heliograph.invalid", KEY)

    assert transport.proxy == (service.url if proxied else "")


def test_a_setting_wins_over_the_environment(service, environment):
    environment.setenv("http_proxy", "http://elsewhere.invalid:3128")

    assert HttpTransport("http://heliograph.invalid", KEY, proxy="").proxy == ""
    assert HttpTransport("http://heliograph.invalid", KEY, proxy=service.url).proxy == service.url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(environment, host):
    environment.setenv("http_proxy", "http://elsewhere.invalid:3128")

    assert HttpTransport(f"http://{host}:8000", KEY).proxy == ""


@pytest.mark.parametrize(
    ("proxy", "fault"),
    [
        ("socks5://127.0.0.1", "begin with http"),
        ("127.0.0.1:3128", "begin with http"),
        ("http://", "host"),
        ("http://me:hunter2@a:port", "parsed"),
        ("ftp://me:hunter2@a", "begin with http"),
    ],
)
def test_a_proxy_that_cannot_be_one_is_refused_with_its_fault(proxy, fault):
    with pytest.raises(ConfigurationError, match=fault) as caught:
        HttpTransport("https://heliograph.invalid", KEY, proxy=proxy)

    assert "hunter2" not in str(caught.value)


class Dribble(socketserver.ThreadingTCPServer):
    """Says what it has to say byte by byte; `gone` is set when the client has had enough of it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, script, context=None):
        super().__init__(("127.0.0.1", 0), _Dribbling)
        self.script = script
        self.context = context
        self.over = threading.Event()
        self.gone = threading.Event()
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_):
        pass


class _Dribbling(socketserver.BaseRequestHandler):
    def handle(self):
        context = self.server.context
        try:
            with context.wrap_socket(self.request, server_side=True) if context else self.request as end:
                self.server.script(end, self.pause)
        except OSError:
            self.server.gone.set()

    def pause(self):
        if self.server.over.wait(0.01):
            raise OSError("the test is over")


def slow_head(end, pause):
    end.recv(65536)
    end.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        for byte in b"X-Header: x\r\n" * 5:
            end.sendall(bytes([byte]))
            pause()


def slow_line(end, pause):
    end.recv(65536)
    while True:
        end.sendall(b"H")
        pause()


def slow_body(end, pause):
    end.recv(65536)
    end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        end.sendall(b" ")
        pause()


def slow_chunks(end, pause):
    end.recv(65536)
    end.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        end.sendall(b"1\r\n \r\n")
        pause()


def endless_continue(end, pause):
    end.recv(65536)
    while True:
        end.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        pause()


def slow_reader(end, pause):
    while end.recv(1):
        pause()


SCRIPTS = [slow_head, slow_line, slow_body, slow_chunks, endless_continue, slow_reader]


@contextmanager
def dribbling(script, context=None):
    with running(Dribble(script, context)) as server:
        yield server
        server.over.set()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_request_ends_in_time_however_slowly_it_goes_on(authority, script, encrypted):
    context = authority.server("IP:127.0.0.1") if encrypted else None
    with dribbling(script, context) as server:
        transport = HttpTransport(server.url, KEY, timeout=0.3, ca_file=authority.file, gzip_above=10**9)
        event = an_event(data=random.randbytes(3_000_000).hex() if script is slow_reader else None)
        transport._allowance.told({"event": 16 * 1024 * 1024, "body": 64 * 1024 * 1024})

        with pytest.raises(TemporaryError, match="timed out"):
            transport.send([event])

        if script is not slow_reader:
            assert server.gone.wait(PATIENCE)


def test_a_proxys_answer_ends_in_time_too(secure, authority):
    with dribbling(slow_line) as proxy:
        transport = HttpTransport(secure.url, KEY, timeout=0.3, ca_file=authority.file, proxy=proxy.url)

        with pytest.raises(TemporaryError):
            transport.send([an_event()])

        assert proxy.gone.wait(PATIENCE)


def test_a_handshake_ends_in_time_too(authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        transport = HttpTransport(url, KEY, timeout=600, connect_timeout=0.1, ca_file=authority.file)

        with pytest.raises(TemporaryError, match=r"timed out.*0\.1"):
            transport.send([an_event()], timeout=4)


def slow_to_read_and_answer(end, pause):
    for _ in range(30):
        pause()
    received = b""
    while not received.endswith(b"]"):
        received += end.recv(2**20)
    for _ in range(30):
        pause()
    end.sendall(b'HTTP/1.0 200 OK\r\n\r\n{"accepted": 1, "duplicates": 0, "rejected": 0}')


def test_a_slow_service_is_waited_for_longer_than_a_connection():
    with dribbling(slow_to_read_and_answer) as server:
        transport = HttpTransport(server.url, KEY, timeout=PATIENCE, connect_timeout=0.1, gzip_above=10**9)
        transport._allowance.told({"event": 16 * 1024 * 1024, "body": 64 * 1024 * 1024})

        result = transport.send([an_event(data="x" * 10_000_000)])

    assert result.accepted == 1


def test_an_event_is_posted_once_however_the_connection_ended(service):
    transport = HttpTransport(service.url, KEY)
    transport.send([an_event(1)])
    service.answers = [lambda request: request.connection.shutdown(socket.SHUT_RDWR)]

    with pytest.raises(TemporaryError):
        transport.send([an_event(2)])

    assert len(service.requests) == 2


def test_no_tls_context_is_made_for_a_service_without(service, monkeypatch):
    monkeypatch.setattr(ssl, "create_default_context", None)

    assert HttpTransport(service.url, KEY).send([an_event()]).accepted == 1
