import json
import signal
import socket
import sys
import urllib.request
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.service.launch.conftest import Up, until


def call(up: Up, key: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{up.url}/api/v1/events/", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status, json.load(response)


def event(number: int) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"specversion": "1.0", "id": str(number), "source": "/test", "type": "greeting", "time": now}


def test_events_it_acknowledged_survive_a_kill_of_the_whole_tree(first_up: Up) -> None:
    first_up.start()
    key = first_up.secret(r"HELIOGRAPH_KEY=(\S+)")
    codes = [call(first_up, key, event(number))[0] for number in range(20)]

    first_up.kill_all()
    first_up.start()

    _, page = call(first_up, key)
    assert codes == [201] * 20
    assert {item["id"] for item in page["results"]} == {str(number) for number in range(20)}


def test_secrets_are_shown_by_the_first_start_alone(first_up: Up) -> None:
    first_up.start()
    key, password = first_up.secret(r"HELIOGRAPH_KEY=(\S+)"), first_up.secret(r"password (\S+)")
    first_up.interrupt()

    first_up.start()

    assert "hg_" not in first_up.said()
    assert key not in first_up.said()
    assert password not in first_up.said()
    assert "manage.py create_key default" in first_up.said()


def test_ctrl_c_stops_all_and_is_a_success(up: Up) -> None:
    up.start()

    code = up.interrupt()

    assert code == 0
    up.until_gone()
    assert not (up.var_dir / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_stop_signals_stop_it_likewise(up: Up, number: signal.Signals) -> None:
    up.start()

    up.process.send_signal(number)

    assert up.process.wait(60) == 0
    up.until_gone()


def test_impatient_ctrl_c_leaves_no_orphan(up: Up) -> None:
    up.start()

    until(lambda: press(up), "the end of up")

    assert up.process.wait(60) == 0
    up.until_gone()


def press(up: Up) -> bool:
    """Press Ctrl-C; return whether that was no longer possible."""
    up.process.send_signal(signal.SIGINT)
    return up.process.poll() is not None


@pytest.mark.parametrize("moment", ["Starting Postgres.", "Applying"])
def test_ctrl_c_while_it_starts_leaves_no_orphan(first_up: Up, moment: str) -> None:
    first_up.launch()
    first_up.wait_for(moment)
    first_up.note_members()

    code = first_up.interrupt()

    assert code == 0
    first_up.until_gone()
    first_up.start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_killing_only_the_supervisor_leaves_no_orphan(up: Up) -> None:
    up.start()

    up.process.kill()
    up.process.wait()

    up.until_gone()
    up.start()


@pytest.mark.parametrize(
    ("words", "name"), [("granian", "web"), ("manage.py worker", "worker"), ("postgres", "Postgres")]
)
def test_a_child_that_dies_ends_all_and_is_named(up: Up, words: str, name: str) -> None:
    up.start()

    up.member(words).kill()

    assert up.process.wait(60) == 1
    assert f"{name} was killed by SIGKILL" in up.said()
    up.until_gone()


def test_a_second_one_on_the_same_data_is_refused(up: Up, tmp_path: Any) -> None:
    up.start()
    second = Up(tmp_path / "second")
    second.log.parent.mkdir()
    second.var_dir = up.var_dir

    code = second.launch().wait(60)

    assert code == 1
    assert f"running already, as process {up.process.pid}" in second.said()


def test_a_taken_port_is_told_before_anything_starts(first_up: Up) -> None:
    with socket.create_server(("127.0.0.1", first_up.port)):
        code = first_up.launch().wait(60)

    assert code == 1
    assert f"Port {first_up.port} is taken" in first_up.said()
    assert not (first_up.var_dir / "postgres").exists()


@pytest.mark.parametrize("port", ["http", "0", "65536"])
def test_an_impossible_port_is_told(first_up: Up, port: str) -> None:
    code = first_up.launch(PORT=port).wait(60)

    assert code == 1
    assert "PORT must be" in first_up.said()


def test_an_unreachable_database_url_is_told_and_nothing_embedded_starts(first_up: Up) -> None:
    code = first_up.launch(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none").wait(60)

    assert code == 1
    assert "The database can't be used" in first_up.said()
    assert not (first_up.var_dir / "postgres").exists()
