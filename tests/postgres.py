"""A pytest plugin that gives the tests a Postgres server of their own, unless DATABASE_URL names one.

Loaded by ``-p tests.postgres``, since Django's settings want the address before any conftest is read. It is the
embedded server, or that whose programs are in the directory POSTGRES_PROGRAMS, such as Debian's.
"""

import os
import tempfile
from pathlib import Path

import psycopg
import pytest

from service.launch import cluster
from service.launch.postgres import EmbeddedPostgres

# A test's data needs no disk: what is lost in a crash of the machine is made anew.
OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}
# A server of somebody else's sorts texts as people do, and not by code point as the embedded one.
INITDB_OPTIONS = (
    f"--username={cluster.SUPERUSER}",
    *("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"),
    *("--auth=trust", "--no-instructions"),
)

_folder: "tempfile.TemporaryDirectory[str] | None" = None
_server: EmbeddedPostgres | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    global _folder, _server
    if os.environ.get("DATABASE_URL"):
        return
    # Root's server runs as another account, which has to reach the folder.
    _folder = tempfile.TemporaryDirectory(prefix="heliograph-", ignore_cleanup_errors=True)
    Path(_folder.name).chmod(0o755)
    if programs := os.environ.get("POSTGRES_PROGRAMS"):
        use(Path(programs))
    _server = EmbeddedPostgres(Path(_folder.name), OPTIONS)
    _server.start()
    os.environ["DATABASE_URL"] = _server.dsn
    os.environ["VAR_DIR"] = _folder.name


def use(programs: Path) -> None:
    """Have the server of the tests be of these programs."""
    cluster.program = programs.joinpath
    cluster.INITDB_OPTIONS = INITDB_OPTIONS


def pytest_report_header() -> str | None:
    if _server is None:
        return None
    with psycopg.connect(_server.dsn) as connection:
        return f"postgres: {connection.info.parameter_status('server_version')}"


def pytest_unconfigure() -> None:
    if _server is not None and _folder is not None:
        _server.stop()
        _folder.cleanup()
        del os.environ["DATABASE_URL"]
