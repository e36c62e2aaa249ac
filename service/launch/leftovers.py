"""Clear away what a Postgres left whose supervisor was killed: processes and lock files, never data."""

import contextlib
import signal
import time
from pathlib import Path

import psutil


def clear(data_dir: Path, socket_dir: Path, *, patience: float = 30.0) -> None:
    """Stop what runs on ``data_dir`` without a supervisor, and remove lock files that name other programs.

    Postgres sees for itself that a lock file's process is dead, but not that its id went to another program.
    """
    for number in (signal.SIGINT, signal.SIGKILL):
        orphans = [process for process in psutil.process_iter() if _runs_on(process, data_dir)]
        for orphan in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.send_signal(number)
        _wait_for_end(orphans, data_dir, patience)
    for lock in (data_dir / "postmaster.pid", socket_dir / ".s.PGSQL.5432.lock"):
        _remove_if_alive_elsewhere(lock)


def _runs_on(process: psutil.Process, data_dir: Path) -> bool:
    try:
        if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Root in a container may not see another user's working directory; the command line is for all.
        return str(data_dir) in process.cmdline() or Path(process.cwd()) == data_dir
    except psutil.Error:
        return False


def _wait_for_end(orphans: list[psutil.Process], data_dir: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(_runs_on(orphan, data_dir) for orphan in orphans):
        time.sleep(0.05)


def _remove_if_alive_elsewhere(lock: Path) -> None:
    """Remove ``lock`` if the process it names lives: now that ours are stopped, it is another program's."""
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        if psutil.pid_exists(int(lock.read_text().split()[0])):
            lock.unlink()
