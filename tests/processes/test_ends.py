"""How a process ends: within a bound, with all that can be sent, and with the rest told of."""

import signal
from collections.abc import Callable

import pytest

from tests.processes.arrivals import Arrivals
from tests.processes.hosts import Hosts, eventually, free_port
from tests.processes.test_forks import PROGRAMS, ended, numbers

Arrived = Callable[[], Arrivals]
LOST = {"shutdown", "queue_full", "failed_permanently", "refused", "unencodable", "too_large", "spool_full"}
BOUND = 1.0  # seconds, of HELIOGRAPH_SHUTDOWN_TIMEOUT
SLACK = 4.0  # seconds that a busy machine may take for all else


def lost(counts: dict[str, int]) -> int:
    return sum(counts.get(reason, 0) for reason in LOST)


def test_threads_that_python_waits_for_at_its_end(hosts: Hosts, arrived: Arrived) -> None:
    program = hosts.run(PROGRAMS, "executor")

    ended(program)

    arrived().check_complete()
    assert numbers(arrived(), "worked") == list(range(1, 41))


def test_a_daemon_thread_that_captures_on_and_on(hosts: Hosts, arrived: Arrived) -> None:
    program = hosts.run(PROGRAMS, "daemon")

    counts = ended(program)

    found = arrived()
    found.check_complete()
    assert len(found.events) >= 100
    assert counts["captured"] == len(found.events) + lost(counts)


def test_a_program_that_is_told_to_stop(hosts: Hosts, arrived: Arrived) -> None:
    program = hosts.run(PROGRAMS, "serve_none")
    eventually(lambda: "captured" in program.said(), "all is captured")

    program.send_signal(signal.SIGTERM)

    assert lost(ended(program)) == 0
    arrived().check_complete()
    assert len(arrived().events) == 100


def test_what_is_killed_leaves_no_gap_before_its_end_and_nothing_twice(hosts: Hosts, arrived: Arrived) -> None:
    pids = set()
    for _ in range(3):
        program = hosts.run(PROGRAMS, "capture_on", INTERVAL="0.02")
        pids.add(program.process.pid)
        eventually(lambda: arrived().pids() == pids, "its events arrive")
        program.send_signal(signal.SIGKILL)
        program.wait()

    arrived().check_complete()
    assert len(arrived().emitters) == 3


@pytest.mark.parametrize("service", ["hanging"], indirect=True)
def test_a_service_that_hangs_delays_no_end_and_the_loss_is_told(hosts: Hosts, arrived: Arrived) -> None:
    program = hosts.run(PROGRAMS, "serve_none", SHUTDOWN_TIMEOUT=BOUND, INTERVAL="0.01")
    eventually(lambda: "captured" in program.said(), "all is captured")

    assert program.stop() < BOUND + SLACK

    assert lost(ended(program)) == 100
    assert "100 events may be lost" in program.said()


def test_a_service_that_is_away_delays_no_end_and_the_loss_is_told(hosts: Hosts) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    program = hosts.run(PROGRAMS, "serve_none", SHUTDOWN_TIMEOUT=BOUND, INTERVAL="0.01", SINK=away)
    eventually(lambda: "captured" in program.said(), "all is captured")

    assert program.stop() < BOUND + SLACK

    assert lost(ended(program)) == 100


@pytest.mark.parametrize("service", ["hanging"], indirect=True)
@pytest.mark.parametrize(
    "command",
    [
        ["gunicorn", "--bind=127.0.0.1:{port}", "--workers=2", "--no-control-socket", "tests.processes.shop.wsgi"],
        ["uvicorn", "--port={port}", "tests.processes.shop.wsgi:asgi_application"],
        [
            "uwsgi",
            "--http-socket=127.0.0.1:{port}",
            "--module=tests.processes.shop.wsgi",
            "--master",
            "--hook-master-start=unix_signal:15 gracefully_kill_them_all",
        ],
    ],
    ids=lambda command: command[0],
)
def test_a_service_that_hangs_delays_no_request_and_no_server(hosts: Hosts, command: list[str]) -> None:
    # Its answer is waited for longer than a request may take here, so that a request that waits for it fails.
    server = hosts.serve(*command, SHUTDOWN_TIMEOUT=BOUND, INTERVAL="0.01", TIMEOUT="600")

    assert server.pay_all(range(1, 41)) == set(range(1, 41))
    assert server.stop() < BOUND + SLACK
