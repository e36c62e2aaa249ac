"""The processes of a project: started, asked, signalled and ended, always within a deadline."""

import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.processes.arrivals import Arrivals

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
DEADLINE = 30.0  # seconds: only what hangs takes so long


def eventually(call: Callable[[], T], what: str, seconds: float = DEADLINE) -> T:
    deadline = time.monotonic() + seconds
    while not (result := call()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Host:
    """A process of the project, with those it starts in its process group."""

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int = 0

    def said(self) -> str:
        return self.log.read_text()

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it gracefully; return how many seconds that took."""
        start = time.monotonic()
        self.process.send_signal(number)
        self.wait()
        return time.monotonic() - start

    def wait(self, seconds: float = DEADLINE) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"It doesn't end. It said:\n{self.said()}") from None

    def is_listening(self) -> bool:
        assert self.process.poll() is None, f"It ended with {self.process.returncode}:\n{self.said()}"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def pay(self, number: int) -> bool:
        """Ask once; say whether it was answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request("GET", f"/pay/{number}/")
            response = connection.getresponse()
            return response.status == 200 and "pid" in json.loads(response.read())
        except TimeoutError as error:
            raise AssertionError(f"Request {number} hangs. It said:\n{self.said()}") from error
        except (OSError, http.client.HTTPException, ValueError):
            return False  # it was ended, or is starting again
        finally:
            connection.close()

    def pay_all(self, numbers: Sequence[int]) -> set[int]:
        with self.load(numbers) as answered:
            pass
        return answered

    @contextmanager
    def load(self, numbers: Sequence[int] | None = None, clients: int = 4) -> Iterator[set[int]]:
        """Have some clients ask in the background, for all ``numbers`` or until the block ends; give those answered."""
        answered: set[int] = set()
        enough = threading.Event()
        feed = iter(numbers) if numbers is not None else itertools.count(1)
        lock = threading.Lock()
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                while not enough.is_set():
                    with lock:
                        number = next(feed, None)
                    if number is None:
                        return
                    if self.pay(number):
                        answered.add(number)
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield answered
            if numbers is None:
                enough.set()
        except BaseException:
            enough.set()
            raise
        finally:
            for thread in threads:
                thread.join()
        assert not failures, failures


@dataclass(slots=True)
class Hosts:
    """Starts processes of the project, each with the environment that leads its events to one sink."""

    folder: Path
    environment: dict[str, str]
    started: list[Host] = field(default_factory=list)

    def start(self, *command: object, port: int = 0, **environment: object) -> Host:
        log = self.folder / f"log-{len(self.started)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=ROOT,
                env=os.environ | self.environment | {key: str(value) for key, value in environment.items()},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(Host(process, log, port))
        return self.started[-1]

    def serve(self, program: str, *options: object, **environment: object) -> Host:
        """Start a server of ``.venv/bin``; ``{port}`` in its options is a free one."""
        port = free_port()
        host = self.start(
            BIN / program, *(str(each).replace("{port}", str(port)) for each in options), port=port, **environment
        )
        eventually(host.is_listening, f"{program} listens")
        return host

    def run(self, module: str, *arguments: object, **environment: object) -> Host:
        return self.start(sys.executable, "-m", module, *arguments, **environment)

    def kill(self) -> None:
        for host in self.started:
            with suppress(ProcessLookupError):
                os.killpg(host.process.pid, signal.SIGKILL)
            host.process.wait()


def check_all_arrives(server: Host, arrived: Callable[[], Arrivals]) -> None:
    """Have a server answer, and end: what it captured is there then, once."""
    answered = server.pay_all(range(1, 41))

    server.stop()

    assert answered == set(range(1, 41)), server.said()
    arrived().check_complete()
    arrived().check_requests(answered)
