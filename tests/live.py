"""A live service for tests: granian in a process of its own, on the test database, at a free port of loopback.

It sees only what is committed: its tests need pytest-django's ``transactional_db``, which empties the tables and
leaves the partitions of ``event`` in place.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from django.db import connection
from psycopg.conninfo import make_conninfo

from service.launch import processes, web

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Service:
    url: str
    process: "subprocess.Popen[bytes]"
    log: Path


@contextlib.contextmanager
def service(log: Path, *, workers: int = 1, **environment: str) -> Iterator[str]:
    """Start a service and yield its address once it is ready; what it says goes to ``log``.

    The test database has to be there already: a fixture that calls this asks for ``django_db_setup``.
    """
    with running(log, workers=workers, **environment) as started:
        yield started.url


@contextlib.contextmanager
def running(log: Path, *, workers: int = 1, **environment: str) -> Iterator[Service]:
    """Start a service as `service` does; yield its process too."""
    address = web.Address(host="127.0.0.1", port=free_port())
    # What pytest was started with would be inherited otherwise.
    own = {
        "DJANGO_SETTINGS_MODULE": "service.settings",
        "DATABASE_URL": database_address(),
        "DATABASE_URL_FILE": "",
        "SECRET_KEY": "tests",
        "SECRET_KEY_FILE": "",
        "WEB_THREADS": "4",
        "RECORD_READS": "false",
    }
    with log.open("wb") as output:
        process = processes.spawn(
            web.command(address, workers=workers), cwd=ROOT, env=os.environ | own | environment, output=output
        )
    try:
        web.wait_until_ready(address, host="127.0.0.1", check=partial(check_alive, process, log))
        yield Service(address.url, process, log)
    finally:
        process.terminate()
        processes.wait(process, 10)
        processes.kill_group(process)


def database_address() -> str:
    """Return the address of the test database, whichever server it is on."""
    setting = connection.settings_dict
    if not str(setting["NAME"]).startswith("test_"):
        raise RuntimeError("There is no test database: none of this run's tests asks for one (pytest.mark.django_db).")
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    return make_conninfo(**{names[key]: setting[key] for key in names if setting[key]})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check_alive(process: "subprocess.Popen[bytes]", log: Path) -> None:
    if process.poll() is not None:
        raise RuntimeError(f"The service ended with exit code {process.returncode}:\n{log.read_text()}")


def eventually(call: Callable[[], T], seconds: float = 30) -> T:
    """Return what ``call`` returns once that is something true; fail when this takes longer than ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (result := call()):
        assert time.monotonic() < deadline, f"Not within {seconds} s; last: {result!r}"
        time.sleep(0.05)
    return result


def kill_once_it_says(word: str, program: str, *arguments: object) -> None:
    """Run a Python program on the test database, with Django's settings, and kill it when it has said ``word``."""
    environment = os.environ | {
        "DATABASE_URL": database_address(),
        "DJANGO_SETTINGS_MODULE": "service.settings",
        "SECRET_KEY": "tests",
    }
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{word}\n"
        process.send_signal(signal.SIGKILL)
