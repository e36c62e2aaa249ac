"""What many store at once shares a commit, and where that fails each is told to store alone."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from msgspec import Raw

from service.events import operations, shared_commits
from service.events.models import Arrival, Event
from service.events.operations import Row
from service.events.shared_commits import SharedCommits
from service.projects.models import Project
from tests.service.cast import uuid7

UNSTORABLE = Raw(b"0." + b"0" * 17_000 + b"1")
pytestmark = pytest.mark.django_db(transaction=True)
Posts = Sequence[tuple[Project, Sequence[Row]]]


def row(data: Raw | None = None, moment: datetime | None = None) -> Row:
    return Row(id=str(uuid7(moment)), type="a", source="/a", occurred_at=timezone.now(), data=data)


def ids(rows: Sequence[Row]) -> set[str]:
    return {row.id for row in rows}


class Held:
    """Holds the first commit until it is let go, so that what comes meanwhile waits for the second."""

    def __init__(self, shared: SharedCommits, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shared = shared
        self.commits: list[dict[int, list[Row]]] = []
        self.began, self.go = threading.Event(), threading.Event()
        self.failure: Exception | None = None  # of the second commit
        self.store_all = operations.store_all
        monkeypatch.setattr(operations, "store_all", self.store)

    def store(self, rows: Any) -> dict[int, set[str]]:
        self.commits.append(rows)
        if len(self.commits) == 1:
            self.began.set()
            assert self.go.wait(30)
        if len(self.commits) == 2 and self.failure is not None:
            raise self.failure
        return self.store_all(rows)

    async def together(self, posts: Posts) -> list[set[str] | None]:
        """Post the first; post the others while that is committed; then let it go."""
        (project, rows), *others = posts
        futures = [self.shared.submit(project.pk, rows)]
        await asyncio.to_thread(self.began.wait, 30)
        futures += [self.shared.submit(project.pk, rows) for project, rows in others]
        assert not any(future.done() for future in futures)
        self.go.set()
        return list(await asyncio.wait_for(asyncio.gather(*futures), 30))


@pytest.fixture
def held(shared: SharedCommits, monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(shared, monkeypatch)


def test_what_comes_during_a_commit_shares_the_next(held: Held, project: Project, neighbour: Project) -> None:
    rows = [[row()] for _ in range(7)]
    posts = [(project if number % 3 else neighbour, each) for number, each in enumerate(rows)]

    stored = asyncio.run(held.together(posts))

    assert stored == [ids(each) for each in rows]
    assert len(held.commits) == 2
    assert len({arrival.tx for arrival in Arrival.objects.all()}) == 2
    found = {(each.project_id, str(each.id)) for each in Event.objects.all()}
    assert found == {(project.pk, each.id) for project, (each,) in posts}


def test_an_event_that_many_send_at_once_is_new_to_the_first_of_them(
    held: Held, project: Project, neighbour: Project
) -> None:
    same = row()
    copies = [Row(id=same.id, type=str(number), source="/a", occurred_at=same.occurred_at) for number in range(4)]
    posts = [(project, [row()]), *((project, [copy]) for copy in copies), (neighbour, [same, same])]

    stored = asyncio.run(held.together(posts))

    assert [len(each or ()) for each in stored] == [1, 1, 0, 0, 0, 1]
    assert Event.objects.get(project_id=project.pk, id=same.id).type == "0"


@pytest.mark.parametrize("fault", ["unstorable", "no partition", "a lost connection", "a bug"])
def test_where_it_fails_nothing_is_stored_and_each_is_told_to_store_alone(
    fault: str, held: Held, project: Project, neighbour: Project
) -> None:
    moment = timezone.now() + timedelta(days=3000) if fault == "no partition" else None
    odd = row(UNSTORABLE if fault == "unstorable" else None, moment)
    held.failure = {"a lost connection": OperationalError("gone"), "a bug": RuntimeError("a bug")}.get(fault)
    first, *others = posts = [(project, [row()]), (neighbour, [odd]), (project, [row()]), (neighbour, [row()])]

    assert asyncio.run(held.together(posts)) == [ids(first[1]), None, None, None]
    assert {str(each.id) for each in Event.objects.all()} == ids(first[1])
    assert asyncio.run(one(held.shared, project, others[1][1])) == ids(others[1][1])  # it goes on


async def one(shared: SharedCommits, project: Project, rows: Sequence[Row]) -> set[str] | None:
    return await asyncio.wait_for(shared.submit(project.pk, rows), 30)


def test_who_no_longer_waits_hinders_nobody(held: Held, project: Project) -> None:
    rows = [row() for _ in range(3)]

    async def run() -> set[str] | None:
        futures = [held.shared.submit(project.pk, [each]) for each in rows]
        await asyncio.to_thread(held.began.wait, 30)
        futures[0].cancel()
        futures[1].cancel()
        held.go.set()
        return await asyncio.wait_for(futures[2], 30)

    assert asyncio.run(run()) == {rows[2].id}
    assert Event.objects.count() == 3


def test_many_posts_and_projects_store_each_event_once(
    shared: SharedCommits, project: Project, neighbour: Project
) -> None:
    rows = [row() for _ in range(150)]
    projects = [project.pk, neighbour.pk]

    async def run(number: int) -> list[tuple[int, str]]:
        stored: list[tuple[int, str]] = []
        for each in rows[number * 10 :] + rows[: number * 10]:
            for project_id in projects[:: 1 if number % 2 else -1]:
                new = await shared.submit(project_id, [each])
                assert new is not None
                stored += [(project_id, event_id) for event_id in new]
        return stored

    async def run_all() -> list[list[tuple[int, str]]]:
        return await asyncio.gather(*(run(number) for number in range(8)))

    told = [each for stored in asyncio.run(run_all()) for each in stored]

    assert sorted(told) == sorted((project_id, each.id) for project_id in projects for each in rows)
    assert Event.objects.count() == 300


def test_a_statement_takes_so_many_events_and_no_more(
    held: Held, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_commits, "MOST", 3)
    rows = [[row(), row()] for _ in range(6)]

    stored = asyncio.run(held.together([(project, each) for each in rows]))

    assert stored == [ids(each) for each in rows]
    assert [len(commit[project.pk]) for commit in held.commits] == [2, 4, 4, 2]
