"""Under uWSGI, with its threads enabled and without, loaded before its forks and after."""

import signal
import sys
from collections.abc import Callable

import pytest

from tests.processes.arrivals import Arrivals
from tests.processes.hosts import Host, Hosts, check_all_arrives, eventually

Arrived = Callable[[], Arrivals]


def serve(hosts: Hosts, *options: object, **environment: object) -> Host:
    """Start it and wait until all workers have the project: asked to stop before, they don't until uWSGI kills them."""
    server = hosts.serve(
        "uwsgi",
        f"--binary-path={sys.executable}",  # which a reload runs
        *("--http-socket=127.0.0.1:{port}", "--module=tests.processes.shop.wsgi", "--need-app"),
        *(
            "--master",
            "--processes=2",
            "--hook-master-start=unix_signal:15 gracefully_kill_them_all",
            "--disable-logging",
        ),
        *options,
        **environment,
    )
    loads = 2 if "--lazy-apps" in options else 1
    eventually(lambda: server.said().count("') ready in") == loads, "the project is loaded")
    return server


@pytest.mark.parametrize(
    "options",
    [
        ["--enable-threads"],
        ["--enable-threads", "--lazy-apps"],
        pytest.param(["--threads=4"], marks=pytest.mark.ordeal),
        [],
        pytest.param(["--lazy-apps"], marks=pytest.mark.ordeal),
    ],
    ids=lambda options: " ".join(options) or "bare",
)
def test_what_was_captured_arrives_by_the_end(hosts: Hosts, arrived: Arrived, options: list[str]) -> None:
    check_all_arrives(serve(hosts, *options), arrived)


def test_what_is_captured_before_the_fork_is_told_as_lost_and_keeps_no_worker_from_its_work(
    hosts: Hosts, arrived: Arrived
) -> None:
    server = serve(hosts, "--enable-threads", MARK_IMPORT="1", INTERVAL="0.01")
    answered = server.pay_all(range(1, 21))

    server.stop()

    arrived().check_complete()
    arrived().check_requests(answered)
    assert arrived().pids("import") == set()
    assert "lazy-apps" in server.said()


def test_loaded_by_each_worker_what_is_captured_meanwhile_arrives(hosts: Hosts, arrived: Arrived) -> None:
    server = serve(hosts, "--enable-threads", "--lazy-apps", MARK_IMPORT="1")
    answered = server.pay_all(range(1, 11))

    server.stop()

    arrived().check_complete()
    arrived().check_requests(answered)
    assert len(arrived().pids("import")) == 2


def test_a_reload_under_load_loses_nothing(hosts: Hosts, arrived: Arrived) -> None:
    server = serve(hosts, "--enable-threads", INTERVAL="0.1")
    with server.load() as answered:
        eventually(lambda: len(answered) > 20, "requests are answered")
        eventually(lambda: len(arrived().pids("request")) == 2, "both workers answer")
        before = arrived().pids("request")
        server.send_signal(signal.SIGHUP)
        eventually(lambda: arrived().pids("request") - before, "a new worker answers")
    server.stop()

    arrived().check_complete()
    arrived().check_requests(answered)
    assert server.said().count("spawned uWSGI worker") == 4


def test_with_threads_events_leave_while_a_worker_waits(hosts: Hosts, arrived: Arrived) -> None:
    server = serve(hosts, "--enable-threads", INTERVAL="0.1")

    assert server.pay(1)

    eventually(lambda: arrived().marks, "the event arrives")


def test_without_threads_the_log_says_what_to_set(hosts: Hosts) -> None:
    server = serve(hosts)

    assert server.pay(1)

    eventually(lambda: "uWSGI runs without enable-threads" in server.said(), "the log says so")
