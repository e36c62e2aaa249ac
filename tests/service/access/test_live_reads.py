"""Reads of a service that runs: recorded once whichever process answers, and none forgotten when it ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from service.events.models import Event
from service.projects import operations
from service.projects.models import Project, Scope
from tests import live
from tests.live import Service


@pytest.fixture
def service(transactional_db: None, tmp_path: Path) -> Iterator[Service]:
    """Return a service that records reads, in two processes."""
    with live.running(tmp_path / "log", workers=2, RECORD_READS="true", VAR_DIR=str(tmp_path)) as service:
        yield service


@pytest.fixture
def token(transactional_db: None) -> str:
    return operations.create_key(Project.objects.create(name="shop"), [Scope.EVENTS_READ])


def read(service: Service, token: str, address: str = "events/") -> int:
    """Ask on a connection of its own, which either process may get; return the status, of a stream when it begins."""
    with urllib3.PoolManager(retries=False, timeout=20) as http:
        answer = http.request(
            "GET",
            f"{service.url}/api/v1/{address}",
            headers={"Authorization": f"Bearer {token}"},
            preload_content=False,
        )
        answer.close()
        return answer.status


def paths() -> list[str]:
    return sorted(each.data["path"].removeprefix("/api/v1/") for each in Event.objects.filter(type="heliograph.read"))


def windows() -> int:
    """Return how many windows the records are of: one, or two where a new one began meanwhile."""
    return len({each.id.int >> 80 for each in Event.objects.filter(type="heliograph.read")})


def test_many_who_ask_the_same_at_once_are_recorded_once(service: Service, token: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = [*pool.map(lambda _: read(service, token), range(60))]

    assert set(statuses) == {200}
    live.eventually(paths)
    read(service, token, "signals/")
    live.eventually(lambda: "signals/" in paths())
    assert paths().count("events/") <= windows()


def test_a_stream_is_recorded_when_it_begins(service: Service, token: str) -> None:
    assert [read(service, token, address) for address in ("events/tail/", "events/export/")] == [200, 200]

    assert live.eventually(lambda: paths() == ["events/export/", "events/tail/"])


def test_a_service_that_ends_has_recorded_what_it_answered(service: Service, token: str) -> None:
    statuses = [read(service, token, f"events/?sender={number}") for number in range(20)]

    service.process.terminate()
    service.process.wait(20)

    assert set(statuses) == {200}
    found = {each.data["parameters"]["sender"] for each in Event.objects.filter(type="heliograph.read")}
    assert found == {str(number) for number in range(20)}
