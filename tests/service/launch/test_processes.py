import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.launch.processes import ChildExitError, Children
from tests.service.launch.conftest import is_alive, until

STUBBORN = "trap '' TERM; sleep 600 & echo ready > {ready}; wait; wait"


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children(patience=0.3)
    yield children
    children.stop()


def test_an_end_that_nobody_asked_for_is_told_by_name_and_code(children: Children, tmp_path: Path) -> None:
    children.start("steady", ["sleep", "600"], cwd=tmp_path)
    children.start("brief", ["sh", "-c", "exit 3"], cwd=tmp_path)

    with pytest.raises(ChildExitError, match="brief exited with code 3"):
        children.supervise()


def test_what_ignores_being_asked_is_killed_with_its_own_children(children: Children, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    child = children.start("stubborn", ["sh", "-c", STUBBORN.format(ready=ready)], cwd=tmp_path)
    until(ready.exists, "the child")
    (grandchild,) = psutil.Process(child.pid).children()

    children.stop()

    assert child.returncode == -signal.SIGKILL
    until(lambda: not is_alive(grandchild), "the end of the grandchild")


def test_stop_signals_do_not_reach_children_by_the_terminal(children: Children, tmp_path: Path) -> None:
    child = children.start("child", ["sleep", "600"], cwd=tmp_path)

    assert os.getsid(child.pid) == child.pid


def test_a_held_stop_signal_comes_after_the_block_once(tmp_path: Path) -> None:
    program = """
import os, signal
from service.launch.processes import *
raise_on_stop_signals()
done = []
try:
    with stop_signals_held():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("held")
    done.append("not reached")
except StopRequested:
    os.kill(os.getpid(), signal.SIGINT)
    done.append("stopped once")
print(done)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "['held', 'stopped once']"


def test_children_of_a_process_that_holds_signals_can_be_stopped(children: Children, tmp_path: Path) -> None:
    child = children.start("child", ["sleep", "600"], cwd=tmp_path)

    child.send_signal(signal.SIGTERM)

    with pytest.raises(ChildExitError, match="child was killed by SIGTERM"):
        children.supervise()
