"""Start, watch and stop child processes, so that none outlives this one.

Knows nothing of what the children do. No threads: everything happens in the caller's.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Never

from service.launch.errors import LaunchError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
# Looked up here, because loading a library between fork and exec is not safe.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class StopRequested(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP asked this process to stop."""


class ChildExitError(LaunchError):
    """A child ended that nobody asked to."""

    def __init__(self, name: str, returncode: int) -> None:
        how = f"exited with code {returncode}"
        if returncode < 0:
            how = f"was killed by {signal.Signals(-returncode).name}"
        super().__init__(f"{name} {how}")


def raise_on_stop_signals() -> None:
    """Raise StopRequested in the main thread at the first stop signal; later ones do nothing."""
    for number in STOP_SIGNALS:
        # nohup has this one ignored, and means it.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def disregard_stop_signals() -> None:
    """Ignore stop signals from here on, so that stopping isn't cut short by a second Ctrl-C."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _stop(_number: int, _frame: FrameType | None) -> None:
    disregard_stop_signals()
    raise StopRequested


@contextlib.contextmanager
def stop_signals_held() -> Iterator[None]:
    """Let stop signals wait for the end of the block: for starting a child and noting it as one step."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def spawn(
    command: Sequence[str],
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    output: BinaryIO | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own, out of reach of the terminal's Ctrl-C.

    On Linux it gets ``death_signal`` if this process dies first. ``output`` takes stdout and stderr.
    """
    return subprocess.Popen(  # noqa: S603 - the callers' commands are fixed
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output and subprocess.STDOUT,
        start_new_session=True,
        # There is no other way to the death signal; it takes no lock that a thread could hold.
        preexec_fn=partial(_prepare, death_signal, os.getpid()),  # noqa: PLW1509
    )


def _prepare(death_signal: signal.Signals, parent: int) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    if _prctl:
        _prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os._exit(1)


def wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait at most ``seconds`` for the end of ``process``; return whether it came."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(seconds, 0))
    return process.poll() is not None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill ``process``, made by spawn(), with all of its session's group, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Children:
    """Named processes that live and end together."""

    def __init__(self, *, patience: float = 10.0) -> None:
        """``patience`` is how many seconds they have to stop when asked."""
        self.patience = patience
        self._watched: dict[str, subprocess.Popen[bytes]] = {}
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: Sequence[str], *, cwd: Path) -> subprocess.Popen[bytes]:
        with stop_signals_held():
            process = spawn(command, cwd=cwd)
            self._started.append(process)
            self.watch(name, process)
            return process

    def watch(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Count ``process`` among those whose end is the end of all, but leave stopping it to its owner."""
        self._watched[name] = process

    def check(self) -> None:
        """Raise ChildExitError if one has ended."""
        for name, process in self._watched.items():
            if process.poll() is not None:
                raise ChildExitError(name, process.returncode)

    def supervise(self) -> Never:
        """Wait until one ends (ChildExitError) or a stop signal comes (StopRequested)."""
        while True:
            self.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """Ask all to stop, wait as long as the patience lasts, then kill what is left, grandchildren too."""
        for process in self._started:
            process.terminate()
        deadline = time.monotonic() + self.patience
        for process in self._started:
            wait(process, deadline - time.monotonic())
            kill_group(process)
