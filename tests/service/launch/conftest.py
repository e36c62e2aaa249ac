"""Run ``manage.py up`` for real: its own data, its own port, and nothing left of it afterwards."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import live

NOT_PASSED_ON = {"DATABASE_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE", "HOST", "ALLOWED_HOSTS"}


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for ``condition``, or fail saying that ``what`` did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Up:
    """One ``manage.py up`` at a time on the same data and port."""

    def __init__(self, folder: Path) -> None:
        self.var_dir = folder / "var"
        self.port = live.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "up.log"
        self.members: set[psutil.Process] = set()

    def launch(self, **environment: str) -> "subprocess.Popen[bytes]":
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        own = {"VAR_DIR": str(self.var_dir), "PORT": str(self.port), "WEB_WORKERS": "1"}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=live.ROOT,
                env=inherited | own | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def start(self) -> None:
        self.launch()
        self.wait_for("Ctrl-C stops it.")
        self.note_members()

    def wait_for(self, words: str) -> None:
        until(lambda: words in self.said() or self.process.poll() is not None, words)
        assert words in self.said(), self.said()

    def said(self) -> str:
        return self.log.read_text()

    def secret(self, pattern: str) -> str:
        found = re.search(pattern, self.said())
        assert found, self.said()
        return found[1]

    def note_members(self) -> None:
        supervisor = psutil.Process(self.process.pid)
        self.members |= {supervisor, *supervisor.children(recursive=True)}

    def member(self, words: str) -> psutil.Process:
        """Return the oldest process of the tree with ``words`` in its command line."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in children if words in " ".join(child.cmdline()))

    def alive(self) -> list[psutil.Process]:
        return [member for member in self.members if is_alive(member)]

    def until_gone(self) -> None:
        until(lambda: not self.alive(), f"the end of {self.alive()}")

    def interrupt(self) -> int:
        """Press Ctrl-C once and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def kill_all(self) -> None:
        for member in self.alive():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait(60)
        self.until_gone()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a service that was started and stopped once, to be copied."""
    first = Up(tmp_path_factory.mktemp("installation"))
    first.start()
    first.interrupt()
    return first.var_dir


@pytest.fixture
def first_up(tmp_path: Path) -> Iterator[Up]:
    """An ``up`` on nothing."""
    up = Up(tmp_path)
    yield up
    if up.process.poll() is None:
        up.note_members()
    up.kill_all()


@pytest.fixture
def up(first_up: Up, installation: Path) -> Up:
    """An ``up`` on the data of an earlier one."""
    # Not shutil: for root, files of the account that Postgres runs as have to stay that account's.
    subprocess.run(["cp", "-a", installation, first_up.var_dir], check=True)
    return first_up
