"""The cast: a project and its neighbour, keys with different scopes, and a live service to all of them."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from django.db import connection
from django.urls import get_resolver

from service.events import partitions, shared_commits
from service.events.shared_commits import SharedCommits
from service.projects import operations
from service.projects.models import Project, Scope
from tests import live

pytest.register_assert_rewrite("tests.service.cast")

from tests.service.cast import Api  # noqa: E402  # its asserts are told as a test's own


@pytest.fixture(scope="session", autouse=True)
def views() -> None:
    """Load the views, whose descriptions tell limits, before a test sets a limit of its own."""
    assert get_resolver().url_patterns


@pytest.fixture
def extra_partitions(transactional_db: None) -> Iterator[None]:
    """Remove the partitions that a test made for good."""
    before = partitions.present().all
    yield
    with connection.cursor() as cursor:
        for name in partitions.present().all - before:
            cursor.execute(f"DROP TABLE {name}")


@pytest.fixture
def project(db: None) -> Project:
    return Project.objects.create(name="shop")


@pytest.fixture
def neighbour(db: None) -> Project:
    return Project.objects.create(name="neighbour")


@pytest.fixture
def key(project: Project) -> str:
    return operations.create_key(project, [Scope.EVENTS_WRITE, Scope.EVENTS_READ])


@pytest.fixture
def api(key: str) -> Api:
    return Api(key=key)


@pytest.fixture
def writer(project: Project) -> Api:
    return Api(key=operations.create_key(project, [Scope.EVENTS_WRITE]))


@pytest.fixture
def reader(project: Project) -> Api:
    return Api(key=operations.create_key(project, [Scope.EVENTS_READ]))


@pytest.fixture
def neighbours_api(neighbour: Project) -> Api:
    return Api(key=operations.create_key(neighbour, [Scope.EVENTS_WRITE, Scope.EVENTS_READ]))


@pytest.fixture
def stranger() -> Api:
    return Api(key=None)


@pytest.fixture(scope="session")
def live_service(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a service that serves the test database; it sees what is committed only."""
    with live.service(tmp_path_factory.mktemp("service") / "log") as address:
        yield address


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedCommits]:
    """Return shared commits whose thread leaves no connection behind."""
    shared = SharedCommits()
    yield shared
    monkeypatch.undo()
    if shared.thread is not None:
        monkeypatch.setattr(shared_commits, "store_together", disconnect)
        asyncio.run(last(shared))


async def last(shared: SharedCommits) -> None:
    await asyncio.wait_for(shared.submit(0, []), 30)


def disconnect(posts: Sequence[object]) -> list[set[str]]:
    connection.close()
    return [set() for _ in posts]
