"""In Celery's workers, which end by ``os._exit``: what a task captured arrives all the same."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.processes.arrivals import Arrivals
from tests.processes.hosts import BIN, ROOT, Host, Hosts, eventually

Arrived = Callable[[], Arrivals]
TASKS = range(1, 21)


def work(hosts: Hosts, *options: str, **environment: object) -> Host:
    """Start a worker once its tasks are there: it fails on a file that is still being written."""
    broker = hosts.folder / "broker"
    (broker / "control").mkdir(parents=True)
    hosts.environment["BROKER"] = str(broker)
    enqueue = f"from tests.processes.shop.tasks import pay\nfor number in {TASKS!r}: pay.delay(number)"
    subprocess.run([sys.executable, "-c", enqueue], cwd=ROOT, env=os.environ | hosts.environment, check=True)
    return hosts.start(
        BIN / "celery",
        *("--app=tests.processes.shop.tasks", "worker", "--loglevel=info"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        *options,
        **environment,
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--pool=prefork", "--concurrency=2"],
        # Once in sixty runs under load, Celery 5.7 kills a child some seconds after it has replaced another.
        pytest.param(["--pool=prefork", "--concurrency=1", "--max-tasks-per-child=6"], marks=pytest.mark.ordeal),
        pytest.param(["--pool=threads", "--concurrency=2"], marks=pytest.mark.ordeal),
        pytest.param(["--pool=solo"], marks=pytest.mark.ordeal),
    ],
    ids=" ".join,
)
def test_what_tasks_captured_arrives_by_the_end(hosts: Hosts, arrived: Arrived, options: list[str]) -> None:
    worker = work(hosts, *options)
    eventually(lambda: worker.said().count("succeeded") == len(TASKS), "all tasks are done")

    worker.stop()

    arrived().check_complete()
    assert sorted(arrived().marks) == [("request", number) for number in TASKS], worker.said()
    assert len(arrived().pids()) >= (3 if "--max-tasks-per-child=6" in options else 1)  # some were replaced
