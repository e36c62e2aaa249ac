"""Two web servers on one database, behind a balancer that sends anything to either, are one service."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import urllib3
from django.utils import timezone

from service.events.models import Event
from service.projects import operations, ratelimit
from service.projects.models import Key, Project, Scope
from tests import live
from tests.service.cast import EVENTS, event
from tests.service.events.test_tail import listening

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = [Scope.EVENTS_WRITE, Scope.EVENTS_READ]


class Servers:
    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self.turns = cycle(urls)
        self.http = urllib3.PoolManager(retries=False, maxsize=8, timeout=30)

    def call(self, key: str, method: str, path: str, body: object = None, url: str | None = None) -> Any:
        """Ask the server at ``url``, or whichever's turn it is."""
        headers = {"Authorization": f"Bearer {key}"}
        content: dict[str, object] = {} if body is None else {"json": body}
        return self.http.request(method, (url or next(self.turns)) + path, headers=headers, **content)

    def statuses(self, key: str) -> set[int]:
        return {self.call(key, "GET", EVENTS, url=url).status for url in self.urls}


@pytest.fixture(scope="module")
def servers(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder: Path = tmp_path_factory.mktemp("servers")
    with live.service(folder / "first") as first, live.service(folder / "second") as second:
        yield Servers([first, second])


@pytest.fixture
def key(project: Project) -> str:
    return operations.create_key(project, BOTH)


@pytest.fixture
def project() -> Project:
    return Project.objects.create(name="balanced")


def test_what_is_sent_again_to_the_other_is_stored_once(servers: Servers, key: str, project: Project) -> None:
    batches = [[event() for _ in range(20)] for _ in range(15)]
    sent = [batch for batch in batches for _ in servers.urls]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda batch: servers.call(key, "POST", EVENTS, batch), sent))

    assert {answer.status for answer in answers} == {200}
    assert sum(answer.json()["accepted"] for answer in answers) == 300
    assert sum(answer.json()["duplicates"] for answer in answers) == 300
    assert Event.objects.filter(project_id=project.pk).count() == 300
    [top] = servers.call(key, "GET", "/api/v1/stats/top/?by=outcome").json()["results"]
    assert top["count"] == 300


def test_a_key_that_is_revoked_is_refused_by_both_within_five_seconds(servers: Servers, key: str) -> None:
    assert servers.statuses(key) == {200}

    Key.objects.update(revoked_at=timezone.now())

    live.eventually(lambda: servers.statuses(key) == {401}, seconds=5)


def test_a_new_key_is_known_to_both(servers: Servers, project: Project) -> None:
    assert servers.statuses("hg_" + "x" * 43) == {401}

    assert servers.statuses(operations.create_key(project, BOTH)) == {200}


def test_a_tail_of_one_shows_what_the_other_stored_and_goes_on_at_the_other(servers: Servers, key: str) -> None:
    first, second = servers.urls
    events = [event() for _ in range(6)]

    with listening(first, key) as listener:
        servers.call(key, "POST", EVENTS, events[0], url=second)
        shown = listener.next(1)
        place = shown[-1].id
    for each in events[1:]:
        servers.call(key, "POST", EVENTS, each, url=first)
    with listening(second, key, place) as listener:
        shown += listener.next(5)

    assert [message.data["id"] for message in shown] == [each["id"] for each in events]


def test_pages_go_on_at_the_other(servers: Servers, key: str) -> None:
    events = [event() for _ in range(9)]
    servers.call(key, "POST", EVENTS, events)

    found, page = [], f"{EVENTS}?page_size=2"
    while page:
        told = servers.call(key, "GET", page).json()
        found += [each["id"] for each in told["results"]]
        page = told["next"]

    assert sorted(found) == sorted(each["id"] for each in events)
    assert len(found) == 9


def test_a_limit_is_one_for_both(servers: Servers, key: str) -> None:
    Key.objects.update(rate_limit=30)
    begun = minute()

    statuses = [servers.call(key, "GET", EVENTS).status for _ in range(100)]

    assert 0 < statuses.count(200) <= 30 * (1 + minute() - begun)
    assert statuses.count(429) == 100 - statuses.count(200)


def minute() -> int:
    return int(timezone.now().timestamp()) // ratelimit.WINDOW
