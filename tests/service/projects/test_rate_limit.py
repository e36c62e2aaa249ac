"""A key's requests are counted: over all processes, a minute at a time, and told with each answer."""

import itertools
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3
from django.db import connection

from service.projects import operations, ratelimit
from service.projects.models import Key, Project, Scope
from tests import live
from tests.service.cast import PROBLEM, Api, problem

META = "/api/v1/meta/"


@pytest.fixture(autouse=True)
def nothing_leased() -> None:
    ratelimit._leases.clear()


def limited(quota: int | None) -> None:
    Key.objects.update(rate_limit=quota)


def within_one_minute(attempt: Callable[[], Any]) -> Any:
    """Return what ``attempt`` returns; try again if the minute ended meanwhile."""
    while True:
        before = minute()
        result = attempt()
        if minute() == before:
            return result
        ratelimit._leases.clear()


def minute() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT floor(extract(epoch FROM clock_timestamp()) / {ratelimit.WINDOW})::bigint")
        (number,) = cursor.fetchone()
        return int(number)


def pass_a_minute() -> None:
    """Let the minute end: what is leased, and what is counted, is of the last one."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rate_window SET number = number - 1")
    ratelimit._leases.clear()


def statuses(api: Api, count: int) -> list[int]:
    return [api.get(META).status_code for _ in range(count)]


def test_a_key_may_use_up_its_quota_and_no_more(api: Api) -> None:
    limited(5)

    assert within_one_minute(lambda: statuses(api, 8)) == [200] * 5 + [429] * 3


def test_the_refusal_says_when_to_come_again(api: Api) -> None:
    limited(1)

    answer = within_one_minute(lambda: [api.get(META) for _ in range(2)])[1]

    problem(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= ratelimit.WINDOW + 1


def test_each_answer_tells_the_policy_and_what_is_left_of_it(api: Api) -> None:
    limited(3)

    told = within_one_minute(lambda: [api.get(META).headers for _ in range(4)])

    assert {each["RateLimit-Policy"] for each in told} == {'"key";q=3;w=60'}
    found = [re.fullmatch(r'"key";r=(\d+);t=(\d+)', each["RateLimit"]) for each in told]
    assert [int(each[1]) for each in found if each] == [2, 1, 0, 0]
    assert all(1 <= int(each[2]) <= 61 for each in found if each)


def test_the_next_minute_has_a_quota_of_its_own(api: Api) -> None:
    limited(2)
    assert within_one_minute(lambda: statuses(api, 3)) == [200, 200, 429]

    pass_a_minute()

    assert within_one_minute(lambda: statuses(api, 3)) == [200, 200, 429]


def test_keys_are_counted_apart(project: Project) -> None:
    apis = [Api(key=operations.create_key(project, [Scope.EVENTS_READ])) for _ in range(2)]
    limited(2)

    assert within_one_minute(lambda: [statuses(api, 3) for api in apis]) == [[200, 200, 429]] * 2


@pytest.mark.parametrize(
    ("setting", "own", "let_through"), [(3, None, 3), (3, 5, 5), (3, 0, 9), (0, None, 9), (0, 4, 4)]
)
def test_the_keys_own_limit_comes_before_the_setting_and_0_is_none(
    setting: int, own: int | None, let_through: int, api: Api, settings: Any
) -> None:
    settings.RATE_LIMIT = setting
    limited(own)

    assert within_one_minute(lambda: statuses(api, 9)).count(200) == let_through


def test_without_a_limit_no_answer_tells_of_one(api: Api, stranger: Api) -> None:
    limited(0)

    assert not [name for name in api.get(META).headers if name.startswith("RateLimit")]
    assert not [name for name in stranger.get(META).headers if name.startswith("RateLimit")]


def test_a_refused_scope_counts_and_a_refused_key_does_not(writer: Api) -> None:
    Key.objects.update(rate_limit=2)

    assert within_one_minute(lambda: statuses(Api(key="hg_no"), 4)) == [401] * 4
    answers = within_one_minute(lambda: [writer.list() for _ in range(3)])
    assert [answer.status_code for answer in answers] == [403, 403, 429]
    assert [answer.headers["RateLimit"].partition(";t")[0] for answer in answers] == [
        f'"key";r={left}' for left in (1, 0, 0)
    ]


def test_a_large_quota_is_leased_in_few_statements(api: Api, django_assert_max_num_queries: Any) -> None:
    limited(100_000)
    api.get(META)

    with django_assert_max_num_queries(2):  # the key, and the next minute's lease, if it is late
        statuses(api, 50)


@pytest.mark.parametrize("quota", [1, 99, 100, 101, 199, 200, 201, 1_050])
def test_a_quota_is_leased_in_a_hundred_statements_at_the_most(quota: int, db: None) -> None:
    def attempt() -> list[int]:
        key = next(fresh)
        return [ratelimit.take_lease(key, quota).unused for _ in range(ratelimit.SHARES + 1)]

    fresh = itertools.count(1_000)

    *leases, last = within_one_minute(attempt)

    assert (sum(leases), last) == (quota, 0)


def test_a_limit_that_is_raised_counts_at_once_for_what_was_used(db: None) -> None:
    def attempt() -> list[bool]:
        key = next(fresh)
        return [ratelimit.allow(key, quota).is_granted for quota in (2, 2, 2, 4, 4, 4)]

    fresh = itertools.count(1_000)

    assert within_one_minute(attempt) == [True, True, False, True, True, False]


def test_threads_let_through_no_more_than_the_quota(transactional_db: None) -> None:
    def attempt() -> int:
        keys = next(fresh)
        with ThreadPoolExecutor(8) as pool:
            return sum(pool.map(lambda _: counted(keys), range(500)))

    def counted(key: int) -> bool:
        try:
            return ratelimit.allow(key, 300).is_granted
        finally:
            connection.close()

    fresh = itertools.count(1_000)

    assert within_one_minute(attempt) == 300


@pytest.fixture
def two_services(transactional_db: None, tmp_path: Any) -> Iterator[list[str]]:
    with live.service(tmp_path / "one") as one, live.service(tmp_path / "other") as other:
        yield [one, other]


def test_two_processes_let_through_exactly_the_quota(two_services: list[str], project: Project) -> None:
    quota = 250  # leased by three

    def attempt() -> list[Any]:
        token = operations.create_key(project, [Scope.EVENTS_READ])
        limited(quota)
        http = urllib3.PoolManager(maxsize=8, retries=False)
        headers = {"Authorization": f"Bearer {token}"}

        def ask(number: int) -> Any:
            return http.request("GET", two_services[number % 2] + META, headers=headers)

        with ThreadPoolExecutor(6) as pool:
            return list(pool.map(ask, range(2 * quota)))

    answers = within_one_minute(attempt)

    assert [answer.status for answer in answers].count(200) == quota
    refused = [answer for answer in answers if answer.status != 200]
    assert {(answer.status, answer.headers["Content-Type"]) for answer in refused} == {(429, PROBLEM)}
