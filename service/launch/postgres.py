"""The Postgres server that comes with the service, for those who bring none.

It listens on a Unix socket that only its own account and root can reach, never on TCP. Knows no Django,
because the settings ask it for the address.
"""

import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from service.launch import account, cluster, logfile, processes
from service.launch.errors import LaunchError

NAME = "heliograph"  # of the role and of the database
PORT = 5432  # only a part of the socket's name
LONGEST_SOCKET_DIR = 103 - len(f"/.s.PGSQL.{PORT}")  # in bytes, by macOS's limit; Linux has four more
OPTIONS = {
    "listen_addresses": "",
    "port": str(PORT),
    "max_connections": "100",
    "shared_buffers": "256MB",
    # Statements and details hold events, which have no place in a log file.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


def socket_dir(var_dir: Path) -> Path:
    """Return where the socket is: in ``var_dir``, or in the temporary directory if that is too long."""
    var_dir = var_dir.resolve()
    directory = var_dir / "postgres-socket"
    # A comma would begin a second address.
    if len(os.fsencode(directory)) <= LONGEST_SOCKET_DIR and "," not in str(directory):
        return directory
    digest = hashlib.sha256(os.fsencode(var_dir)).hexdigest()
    return Path(tempfile.gettempdir()) / f"heliograph-{digest[:16]}"


def dsn(var_dir: Path, *, user: str = NAME, database: str = NAME) -> str:
    """Return the libpq URL of the server whose data is in ``var_dir``, running or not."""
    return f"postgresql://{user}@/{database}?host={quote(str(socket_dir(var_dir)), safe='')}&port={PORT}"


class EmbeddedPostgres:
    """A Postgres server as a child of this process, its data in ``var_dir`` from start to start.

    Not for two at once on one ``var_dir``: the second would stop the first one's server as an orphan.
    """

    def __init__(self, var_dir: Path, options: Mapping[str, str] | None = None, *, patience: float = 300) -> None:
        """``options`` are server parameters; ``patience`` is how many seconds crash recovery may take."""
        self.var_dir = var_dir.resolve()
        self.data_dir = self.var_dir / "postgres"
        self.log = self.var_dir / "postgres.log"
        self.options = {**OPTIONS, **(options or {})}
        self.patience = patience
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return dsn(self.var_dir)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server, on a new cluster if there is none, and wait until its database can be used.

        Raises LaunchError. Whatever it raises, stop() has to be called.
        """
        from service.launch import leftovers  # psutil is slow to import, and the settings import this module

        self.var_dir.mkdir(parents=True, exist_ok=True)
        runs_as = account.choose(self.data_dir, cluster.program("postgres"))
        if not self.data_dir.exists():
            cluster.create(self.data_dir, runs_as, self.log)
        elif self.data_dir.stat().st_uid != runs_as.uid:
            runs_as.give_all(self.data_dir)
        _make_socket_dir(socket_dir(self.var_dir), runs_as)
        leftovers.clear(self.data_dir, socket_dir(self.var_dir))
        process = self._launch(runs_as)
        self._await_ready(process)
        _ensure_database(self.var_dir)
        return process

    def stop(self) -> None:
        """Stop the server if it runs; after 30 seconds by force, which loses nothing but costs a recovery."""
        if self.process is None:
            return
        for number, seconds in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)):
            self.process.send_signal(number)
            if processes.wait(self.process, seconds):
                break
        processes.kill_group(self.process)
        self.process = None

    def _launch(self, runs_as: account.Account) -> subprocess.Popen[bytes]:
        command = [*runs_as.prefix, str(cluster.program("postgres"))]
        command += ["-D", str(self.data_dir), "-k", str(socket_dir(self.var_dir))]
        command += [f"--{name}={value}" for name, value in self.options.items()]
        with processes.stop_signals_held(), logfile.append(self.log) as output:
            self.process = processes.spawn(
                command, death_signal=signal.SIGINT, env=cluster.environment(), output=output
            )
            return self.process

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.patience
        while not self._is_ready(process.pid):
            if process.poll() is not None:
                raise LaunchError(f"Postgres did not start. The end of {self.log}:\n{logfile.end(self.log)}")
            if time.monotonic() > deadline:
                raise LaunchError(f"Postgres was not ready after {self.patience:.0f} s: see {self.log}")
            time.sleep(0.02)

    def _is_ready(self, pid: int) -> bool:
        """Read it from the lock file, as pg_ctl does: failed connections would fill the log."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _make_socket_dir(directory: Path, runs_as: account.Account) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if directory.is_symlink() or found.st_uid not in {os.geteuid(), runs_as.uid}:
        raise LaunchError(f"{directory}, for the socket of Postgres, belongs to somebody else: remove it.")
    runs_as.give(directory)


def _ensure_database(var_dir: Path) -> None:
    """Make the role and the database of the service where they are missing. The role is no superuser."""
    address = dsn(var_dir, user=cluster.SUPERUSER, database="postgres")
    name = sql.Identifier(NAME)
    with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [NAME]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(name))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(name))
