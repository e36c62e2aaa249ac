"""Forked processes: each sends what it captured itself, nothing of its parent's, and all of it before it ends."""

import json
from collections.abc import Callable

import pytest

from tests.processes import programs
from tests.processes.arrivals import Arrivals
from tests.processes.hosts import DEADLINE, Host, Hosts

Arrived = Callable[[], Arrivals]
PROGRAMS = "tests.processes.programs"
TEN = list(range(1, 11))
LEAVING = 0.5  # seconds that each child of the storm may take: ten times what it costs a processor


def ended(host: Host, seconds: float = DEADLINE) -> dict[str, int]:
    """Wait for a program's end; return its counts."""
    assert host.wait(seconds) == 0, host.said()
    (line,) = [line for line in host.said().splitlines() if line.startswith(programs.SAID)]
    counts: dict[str, int] = json.loads(line.removeprefix(programs.SAID))
    return counts


def numbers(found: Arrivals, place: str) -> list[int]:
    return sorted(number for where, number in found.marks if where == place)


@pytest.mark.parametrize("method", ["fork", pytest.param("forkserver", marks=pytest.mark.ordeal), "spawn"])
def test_children_of_multiprocessing(hosts: Hosts, arrived: Arrived, method: str) -> None:
    program = hosts.run(PROGRAMS, "processes", method)

    ended(program)

    found = arrived()
    found.check_complete()
    assert numbers(found, "child") == sorted(TEN * 3), program.said()
    assert found.pids("before") == found.pids("after") == {program.process.pid}
    assert len(found.pids("child") - {program.process.pid}) == 3
    assert len(found.events) == 50


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.ordeal)])
def test_the_processes_of_a_pool(hosts: Hosts, arrived: Arrived, method: str) -> None:
    program = hosts.run(PROGRAMS, "pool", method)

    ended(program)

    arrived().check_complete()
    assert numbers(arrived(), "worked") == list(range(1, 21)), program.said()


@pytest.mark.parametrize("end", ["exit", "flush"])
def test_a_child_forked_by_hand(hosts: Hosts, arrived: Arrived, end: str) -> None:
    program = hosts.run(PROGRAMS, "fork", end)

    ended(program)

    found = arrived()
    found.check_complete()
    assert [numbers(found, place) for place in ("before", "child", "after")] == [TEN] * 3
    assert found.pids("child").isdisjoint({program.process.pid})
    assert len(found.events) == 30


def test_a_child_that_ends_itself_at_once_takes_nothing_of_its_parents(hosts: Hosts, arrived: Arrived) -> None:
    program = hosts.run(PROGRAMS, "fork", "at once")

    ended(program)

    found = arrived()
    found.check_complete()
    assert found.pids() == {program.process.pid}
    assert [numbers(found, place) for place in ("before", "child", "after")] == [TEN, [], TEN]


@pytest.mark.parametrize("children", [25, pytest.param(1000, marks=pytest.mark.ordeal)])
def test_a_storm_of_forks_under_load(hosts: Hosts, arrived: Arrived, children: int) -> None:
    program = hosts.run(PROGRAMS, "storm", children, INTERVAL="0.02", SHUTDOWN_TIMEOUT="20")

    counts = ended(program, DEADLINE + LEAVING * children)

    found = arrived()
    found.check_complete()
    assert len(found.pids("child")) == children
    assert program.process.pid not in found.pids("child")
    assert numbers(found, "child") == sorted(list(range(1, 6)) * children)
    assert found.pids() - found.pids("child") == {program.process.pid}
    assert counts["captured"] == len(found.events) - 5 * children
