"""Under Gunicorn: what its workers and its master capture arrives, whatever they are made of and however they end."""

import signal
from collections.abc import Callable

import pytest

from tests.processes.arrivals import Arrivals
from tests.processes.hosts import Host, Hosts, check_all_arrives, eventually

Arrived = Callable[[], Arrivals]
HOOKS = "tests/processes/gunicorn_hooks.py"


def serve(hosts: Hosts, *options: object, **environment: object) -> Host:
    return hosts.serve(
        "gunicorn",
        *("--bind=127.0.0.1:{port}", "--workers=2", "--log-level=warning"),
        *("--graceful-timeout=10", "--no-control-socket"),
        *(
            options
            if any(":" in str(option) for option in options)
            else [*options, "tests.processes.shop.wsgi:application"]
        ),
        **environment,
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--worker-class=sync"],
        ["--worker-class=sync", "--preload"],
        pytest.param(["--worker-class=gthread", "--threads=4"], marks=pytest.mark.ordeal),
        ["--worker-class=gevent"],
        ["--worker-class=asgi", "tests.processes.shop.wsgi:asgi_application"],
    ],
    ids=" ".join,
)
def test_what_was_captured_arrives_by_the_end(hosts: Hosts, arrived: Arrived, options: list[str]) -> None:
    check_all_arrives(serve(hosts, *options), arrived)


def test_preloaded_the_master_and_each_worker_send_their_own(hosts: Hosts, arrived: Arrived) -> None:
    server = serve(hosts, "--preload", f"--config={HOOKS}", MARK_IMPORT="1")
    answered = server.pay_all(range(1, 21))

    server.stop()

    found = arrived()
    found.check_complete()
    found.check_requests(answered)
    assert found.pids("import") == found.pids("ready") == {server.process.pid}
    assert found.pids("forked") == found.pids("leaving")
    assert len(found.pids("forked")) == 2
    assert server.process.pid not in found.pids("forked") | found.pids("request")
    assert len([where for where, _ in found.marks if where in {"import", "ready"}]) == 2


def test_a_reload_under_load_loses_nothing(hosts: Hosts, arrived: Arrived) -> None:
    server = serve(hosts, INTERVAL="0.1")
    with server.load() as answered:
        eventually(lambda: len(arrived().pids("request")) == 2, "both workers answer")
        before = arrived().pids("request")
        server.send_signal(signal.SIGHUP)
        eventually(lambda: len(arrived().pids("request") - before) >= 2, "both new workers answer")
    server.stop()

    found = arrived()
    found.check_complete()
    found.check_requests(answered)
    assert len(found.pids("request")) >= 4


def test_patched_by_gevent_before_it_preloads_no_worker_sends_for_the_master(hosts: Hosts, arrived: Arrived) -> None:
    options = ["--worker-class=gevent", "--preload", "--config=tests/processes/gunicorn_gevent.py"]
    server = serve(hosts, *options, MARK_IMPORT="1", INTERVAL="0.01")
    answered = server.pay_all(range(1, 41))

    server.stop()

    found = arrived()
    found.check_complete()
    found.check_requests(answered)
    assert answered == set(range(1, 41)), server.said()
    assert found.pids("import") == {server.process.pid}
    assert server.process.pid not in found.pids("request")


def test_workers_that_are_replaced_after_some_requests_lose_nothing(hosts: Hosts, arrived: Arrived) -> None:
    server = serve(hosts, "--max-requests=10", "--max-requests-jitter=5")
    with server.load() as answered:
        eventually(lambda: len(answered) > 40, "requests are answered")
    server.stop()

    found = arrived()
    found.check_complete()
    found.check_requests(answered)
    assert len(found.pids("request")) >= 3
