"""A MariaDB server of its own for the tests that want one, where this machine has the program.

Debian has it as ``mariadb-server``. Processes that a test starts find the server by the environment.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ADDRESS = "TESTS_MARIADB"  # environment: the path of its socket; empty: there is to be none
PATIENCE = 60  # seconds


def database(name: str) -> dict[str, Any] | None:
    """Return settings of a database on a server, started if none is; None where it can't be."""
    socket = os.environ[ADDRESS] if ADDRESS in os.environ else started()
    if not socket:
        return None
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)  # it does what Django needs of mysqlclient, by another number
    pymysql.install_as_MySQLdb()
    options = {"charset": "utf8mb4"}
    return {"ENGINE": "django.db.backends.mysql", "NAME": name, "USER": "root", "HOST": socket, "OPTIONS": options}


def started() -> str | None:
    server, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if not server or not install:
        return None
    folder = tempfile.TemporaryDirectory(prefix="heliograph-mariadb-", ignore_cleanup_errors=True)
    data, socket = Path(folder.name) / "data", Path(folder.name) / "socket"
    user = ["--user=root"] if os.geteuid() == 0 else []
    subprocess.run(
        [
            install,
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *user,
        ],
        check=True,
        capture_output=True,
    )
    with (Path(folder.name) / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                server, "--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--pid-file={folder.name}/pid",
                *user, "--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
            ],
            stdout=log,
            stderr=log,
        )  # fmt: skip
    owner = os.getpid()
    atexit.register(lambda: os.getpid() == owner and stop(process, folder))
    deadline = time.monotonic() + PATIENCE
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"MariaDB doesn't start:\n{(Path(folder.name) / 'log').read_text()}")
        time.sleep(0.05)
    os.environ[ADDRESS] = str(socket)
    return str(socket)


def stop(process: "subprocess.Popen[bytes]", folder: "tempfile.TemporaryDirectory[str]") -> None:
    process.kill()  # nothing in it is worth a shutdown
    process.wait()
    folder.cleanup()
