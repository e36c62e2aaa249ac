"""Under ASGI servers, and under Granian, whose WSGI server is not written in Python."""

import re
from collections.abc import Callable

import pytest

from tests.processes.arrivals import Arrivals
from tests.processes.hosts import Hosts, eventually

Arrived = Callable[[], Arrivals]
ASGI, WSGI = "tests.processes.shop.wsgi:asgi_application", "tests.processes.shop.wsgi:application"


@pytest.mark.parametrize(
    "command",
    [
        ["uvicorn", ASGI, "--port={port}"],
        ["uvicorn", ASGI, "--port={port}", "--workers=2"],
        pytest.param(["granian", ASGI, "--port={port}", "--interface=asgi", "--workers=2"], marks=pytest.mark.ordeal),
        ["granian", ASGI, "--port={port}", "--interface=asginl", "--workers=2"],
        ["granian", WSGI, "--port={port}", "--interface=wsgi", "--workers=2", "--blocking-threads=4"],
    ],
    ids=["uvicorn", "uvicorn workers", "granian asgi", "granian without lifespan", "granian wsgi"],
)
def test_what_was_captured_arrives_by_the_end(hosts: Hosts, arrived: Arrived, command: list[str]) -> None:
    server = hosts.serve(*command)
    workers = 2 if any("workers=2" in option for option in command) else 1
    eventually(lambda: len(re.findall("Started worker|startup complete", server.said())) == workers, "all have started")
    answered = server.pay_all(range(1, 41))

    server.stop()

    assert answered == set(range(1, 41)), server.said()
    arrived().check_complete()
    # Granian ends once the answers are sent, while Django may still be closing as many of them as there are clients.
    is_early = command[0] == "granian" and "--interface=wsgi" not in command
    arrived().check_requests(answered, unclosed=4 if is_early else 0)
