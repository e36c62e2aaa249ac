"""What threads store at once shares a commit, and the fault of one is no other's."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from msgspec import Raw

from service.events import operations, shared_commits
from service.events.models import Arrival, Event
from service.events.operations import NoPartition, Row
from service.events.shared_commits import SharedCommits
from service.projects.models import Project
from tests.live import eventually
from tests.service.cast import uuid7

UNSTORABLE = Raw(b"0." + b"0" * 17_000 + b"1")
pytestmark = pytest.mark.django_db(transaction=True)


def row(data: Raw | None = None, moment: datetime | None = None) -> Row:
    return Row(id=str(uuid7(moment)), type="a", source="/a", occurred_at=timezone.now(), data=data)


class Held:
    """Holds the first commit until it is let go, so that what comes meanwhile waits for the second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits: list[dict[int, list[Row]]] = []
        self.go = threading.Event()
        self.failure: BaseException | None = None  # of the second commit
        self.store_all = operations.store_all
        monkeypatch.setattr(operations, "store_all", self.store)
        self.shared = SharedCommits()

    def store(self, rows: Any) -> dict[int, set[str]]:
        self.commits.append(rows)
        if len(self.commits) == 1:
            assert self.go.wait(30)
        if len(self.commits) == 2 and self.failure is not None:
            raise self.failure
        return self.store_all(rows)

    def post(self, project: Project, rows: Sequence[Row]) -> Any:
        try:
            return self.shared.store(project.pk, rows)
        finally:
            connection.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(10) as pool:
        yield pool


def together(held: Held, pool: ThreadPoolExecutor, first: Any, others: Sequence[Any]) -> list[Future[Any]]:
    """Post ``first``; post ``others`` while it is committed, in this order; then let it go."""
    futures = [pool.submit(held.post, *first)]
    eventually(lambda: held.commits)
    for number, other in enumerate(others, 1):
        futures.append(pool.submit(held.post, *other))
        eventually(lambda n=number: len(held.shared.waiting) == n)
    held.go.set()
    return futures


def test_what_comes_during_a_commit_shares_the_next(
    held: Held, pool: ThreadPoolExecutor, project: Project, neighbour: Project
) -> None:
    rows = [[row()] for _ in range(7)]
    posts = [(project if number % 3 else neighbour, each) for number, each in enumerate(rows)]

    futures = together(held, pool, posts[0], posts[1:])

    assert [future.result(30) for future in futures] == [({each.id}, set()) for (each,) in rows]
    assert len(held.commits) == 2
    assert len({arrival.tx for arrival in Arrival.objects.all()}) == 2
    stored = {(each.project_id, str(each.id)) for each in Event.objects.all()}
    assert stored == {(project.pk, each.id) for project, (each,) in posts}


def test_an_event_that_many_send_at_once_is_new_to_the_first_of_them(
    held: Held, pool: ThreadPoolExecutor, project: Project, neighbour: Project
) -> None:
    same = row()
    copies = [Row(id=same.id, type=str(number), source="/a", occurred_at=same.occurred_at) for number in range(4)]
    posts = [(project, [row()]), *((project, [copy]) for copy in copies), (neighbour, [same, same])]

    futures = together(held, pool, posts[0], posts[1:])

    assert [len(future.result(30)[0]) for future in futures] == [1, 1, 0, 0, 0, 1]
    assert Event.objects.get(project_id=project.pk, id=same.id).type == "0"


@pytest.mark.parametrize("bad", [row(UNSTORABLE), row(moment=timezone.now() + timedelta(days=3000))])
def test_the_fault_of_one_is_no_others(
    bad: Row, held: Held, pool: ThreadPoolExecutor, project: Project, neighbour: Project
) -> None:
    good = [row() for _ in range(4)]
    posts = [(project, good[:1]), (neighbour, [bad]), (project, good[1:2]), (neighbour, good[2:3]), (project, good[3:])]

    futures = together(held, pool, posts[0], posts[1:])

    results = [future.result(30) for place, future in enumerate(futures) if place != 1]
    assert results == [({each.id}, set()) for each in good]
    if bad.data is UNSTORABLE:
        assert futures[1].result(30) == (set(), {bad})
    else:
        with pytest.raises(NoPartition):
            futures[1].result(30)
    assert Event.objects.count() == 4


@pytest.mark.parametrize("failure", [OperationalError("gone"), RuntimeError("a bug"), SystemExit()])
def test_a_leader_that_dies_takes_nobody_with_it(
    failure: BaseException, held: Held, pool: ThreadPoolExecutor, project: Project
) -> None:
    held.failure = failure
    rows = [[row()] for _ in range(4)]

    futures = together(held, pool, (project, rows[0]), [(project, each) for each in rows[1:]])

    outcomes: list[Callable[[], Any]] = [future.result for future in futures]
    if not isinstance(failure, OperationalError):
        with pytest.raises(type(failure)):
            outcomes.pop(1)()
        rows.pop(1)
    assert [outcome() for outcome in outcomes] == [({each.id}, set()) for (each,) in rows]
    assert held.shared.store(project.pk, [more := row()]) == ({more.id}, set())
    assert not held.shared.is_led


def test_nobody_returns_before_the_commit(held: Held, pool: ThreadPoolExecutor, project: Project) -> None:
    future = pool.submit(held.post, project, [row()])
    eventually(lambda: held.commits)

    assert not future.done()
    assert Event.objects.count() == 0
    held.go.set()
    future.result(30)
    assert Event.objects.count() == 1


def test_what_may_be_rolled_back_is_shared_with_nobody(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = SharedCommits()
    monkeypatch.setattr(shared, "join", pytest.fail)
    with transaction.atomic():
        stored, _ = shared.store(project.pk, [row()])
        transaction.set_rollback(True)

    assert len(stored) == 1
    assert Event.objects.count() == 0


def test_many_threads_and_projects_store_each_event_once(project: Project, neighbour: Project) -> None:
    rows = [row() for _ in range(150)]
    projects = [project.pk, neighbour.pk]

    def run(number: int) -> list[tuple[int, str]]:
        stored: list[tuple[int, str]] = []
        order = rows[number * 10 :] + rows[: number * 10]
        for each in order:
            for project_id in projects[:: 1 if number % 2 else -1]:
                new, refused = shared_commits.store(project_id, [each])
                assert not refused
                stored += [(project_id, event_id) for event_id in new]
        connection.close()
        return stored

    with ThreadPoolExecutor(8) as pool:
        told = [each for stored in pool.map(run, range(8)) for each in stored]

    assert sorted(told) == sorted((project_id, each.id) for project_id in projects for each in rows)
    assert Event.objects.count() == 300
