import socket
import threading

import pytest

from service.launch import web
from service.launch.errors import LaunchError
from tests.live import free_port


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("example.org", "http://example.org:8000"),
    ],
)
def test_an_address_is_shown_as_one_that_can_be_opened(host: str, url: str) -> None:
    assert web.Address(host=host, port=8000).url == url


def test_a_port_that_is_given_up_in_time_is_free() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    address = web.Address(host="127.0.0.1", port=server.getsockname()[1])
    threading.Timer(0.2, server.close).start()

    web.check_free(address, patience=30)


def test_waiting_in_vain_tells_the_last_answer() -> None:
    address = web.Address(host="127.0.0.1", port=free_port())

    with pytest.raises(LaunchError, match="Connection refused"):
        web.wait_until_ready(address, host="localhost", check=lambda: None, patience=0)
