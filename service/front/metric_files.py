"""Where the web processes of one server keep what Prometheus is told of them all.

Each writes files to a folder that they share (prometheus_client's multiprocess mode), and whichever is asked adds them
up. Import this before prometheus_client, which chooses by a variable of the environment where its values are kept.
"""

import os
import shutil
import stat
from functools import cache
from pathlib import Path

import psutil
from prometheus_client import values

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108  # Linux' folder in memory; what is ours in it is checked to be


def place(var_dir: Path) -> Path:
    """Return the folder that `share` is to use: one in memory, where there is such a thing, else one in ``var_dir``.

    The files are mapped, and who writes to a mapped file on a disk that is full is killed (SIGBUS).
    """
    folder = MEMORY / f"heliograph-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return var_dir / "metrics"
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return folder if is_ours else var_dir / "metrics"


def share(folder: Path) -> None:
    """Keep the values of this process with those of its server; forget ended servers, and what ended processes did."""
    own = folder / identity(os.getppid())
    own.mkdir(parents=True, exist_ok=True)
    for other in folder.iterdir():
        if not is_alive(other.name):
            shutil.rmtree(other, ignore_errors=True)
    for gauge in own.glob("gauge_live*_*.db"):
        if not psutil.pid_exists(int(gauge.stem.rpartition("_")[2])):
            gauge.unlink(missing_ok=True)
    os.environ[FOLDER] = str(own)
    # This process forks no more: to ask for its number at each count would be a system call each.
    values.ValueClass = values.MultiProcessValue(cache(os.getpid))  # type: ignore[no-untyped-call]


def identity(process: int) -> str:
    """Return a name that no later process gets, although it may get the same number."""
    return f"{process}-{start_of(process)}"


def start_of(process: int) -> str:
    """Return when ``process`` began: on Linux in ticks since boot, which stay the same when the clock is set."""
    try:
        told = Path(f"/proc/{process}/stat").read_bytes()  # proc_pid_stat(5): starttime is the 22nd, comm the 2nd
    except OSError:
        return f"{psutil.Process(process).create_time():.0f}"
    return told.rpartition(b")")[2].split()[19].decode()


def is_alive(name: str) -> bool:
    try:
        return identity(int(name.partition("-")[0])) == name
    except (ValueError, psutil.NoSuchProcess):
        return False
