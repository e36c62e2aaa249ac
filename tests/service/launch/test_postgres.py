import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from service.launch import account, cluster, processes
from service.launch.errors import LaunchError
from service.launch.postgres import LONGEST_SOCKET_DIR, EmbeddedPostgres, dsn, socket_dir

FAST = {"fsync": "off"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "var", FAST)
    yield server
    server.stop()


def answer(server: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(server.dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_the_socket_is_beside_the_data() -> None:
    assert dsn(Path("/srv/var")) == (
        "postgresql://heliograph@/heliograph?host=%2Fsrv%2Fvar%2Fpostgres-socket&port=5432"
    )


@pytest.mark.parametrize("name", ["v" * LONGEST_SOCKET_DIR, "ü" * (LONGEST_SOCKET_DIR // 2), "a,b"])
def test_a_path_that_no_socket_can_have_moves_it_to_the_temporary_directory(name: str) -> None:
    directory = socket_dir(Path("/srv") / name)

    assert directory.parent == Path(tempfile.gettempdir())
    assert directory != socket_dir(Path("/srv") / f"{name}2")


def test_it_works_below_a_very_long_path(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / ("v" * 120) / "var", FAST) as server:
        assert answer(server, "SELECT 1") == 1
        directory = socket_dir(server.var_dir)
    directory.rmdir()


def test_the_service_is_no_superuser_and_sorts_the_same_everywhere(server: EmbeddedPostgres) -> None:
    server.start()

    assert answer(server, "SELECT usesuper FROM pg_user WHERE usename = current_user") is False
    assert answer(server, "SELECT datlocale FROM pg_database WHERE datname = 'heliograph'") == "C.UTF-8"
    assert answer(server, "SHOW server_encoding") == "UTF8"


def test_it_is_reached_by_its_own_socket_alone(server: EmbeddedPostgres) -> None:
    process = server.start()

    assert not psutil.Process(process.pid).net_connections("tcp")
    assert socket_dir(server.var_dir).stat().st_mode & 0o777 == 0o700


def test_variables_meant_for_other_servers_change_nothing(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGDATA", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")

    server.start()

    assert answer(server, "SHOW port") == "5432"


def test_data_survive_a_kill(server: EmbeddedPostgres) -> None:
    process = server.start()
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE note AS SELECT 42 AS number")

    process.kill()
    process.wait()
    server.start()

    assert answer(server, "SELECT number FROM note") == 42


def test_an_orphan_on_the_same_data_is_stopped_first(server: EmbeddedPostgres) -> None:
    orphan = EmbeddedPostgres(server.var_dir, FAST)
    left = orphan.start()

    server.start()

    assert left.wait(1) == 0
    assert answer(server, "SELECT 1") == 1


@pytest.mark.parametrize("lock", ["postgres/postmaster.pid", "postgres-socket/.s.PGSQL.5432.lock"])
def test_a_lock_file_whose_process_is_another_program_by_now_is_no_obstacle(
    server: EmbeddedPostgres, lock: str
) -> None:
    server.start()
    path = server.var_dir / lock
    words = path.read_text().splitlines()
    server.stop()
    runs_as = account.choose(server.data_dir, cluster.program("postgres"))
    # Of the account that Postgres runs as, because it thinks nothing of others' processes.
    stranger = processes.spawn([*runs_as.prefix, "sleep", "600"])

    path.write_text("\n".join([str(stranger.pid), *words[1:]]) + "\n")
    os.chown(path, runs_as.uid, runs_as.gid)
    server.start()

    assert answer(server, "SELECT 1") == 1
    assert stranger.poll() is None
    processes.kill_group(stranger)


def test_an_abandoned_initdb_is_cleared_away(server: EmbeddedPostgres) -> None:
    abandoned = server.var_dir / "postgres.new-1"
    (abandoned / "base").mkdir(parents=True)

    server.start()

    assert not abandoned.exists()
    assert answer(server, "SELECT 1") == 1


def test_a_start_that_fails_tells_why(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "var", {"shared_buffers": "plenty"})

    with pytest.raises(LaunchError, match='invalid value for parameter "shared_buffers": "plenty"'), server:
        pass


def test_a_socket_directory_that_somebody_else_made_is_refused(server: EmbeddedPostgres) -> None:
    server.var_dir.mkdir()
    (server.var_dir / "postgres-socket").symlink_to(server.var_dir)

    with pytest.raises(LaunchError, match="belongs to somebody else"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change accounts")
def test_root_runs_it_as_somebody_else_even_where_others_may_not_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    with EmbeddedPostgres(closed / "var", FAST) as server:
        process = server.process
        assert process is not None
        assert psutil.Process(process.pid).uids().effective != 0
        assert answer(server, "SELECT 1") == 1
