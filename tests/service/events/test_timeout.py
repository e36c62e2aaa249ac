"""A question that takes too long is ended, and told how to be made smaller."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from service.events import grammar, queries
from service.events.queries import QueryTimeout
from service.projects.models import Scope
from tests.contract.document import Operation, operations
from tests.service.cast import Api, event, problem, uuid7

TABLES = [
    model._meta.db_table
    for app in ("events", "stats", "telemetry")
    for model in apps.get_app_config(app).get_models()
    if model._meta.managed
]
NEVER_TOO_LONG = {"events_tail"}  # which doesn't end: its looks are bounded one by one
READS = [
    each
    for each in operations()
    if each.method == "GET" and Scope.EVENTS_READ in each.scopes and str(each) not in NEVER_TOO_LONG
]
NAMED = {"id": str(uuid7()), "emitterid": str(uuid7()), "sender": "shop.Order", "object_id": "42"}


@pytest.fixture
def locked(transactional_db: None) -> Iterator[None]:
    """Have somebody else hold the tables of events and of what is told of them, so that each who reads them waits."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        other = connections["default"]
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
            held.set()
            done.wait(60)
            cursor.execute("ROLLBACK")
        other.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    yield
    done.set()
    holder.join()


@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/events/",
        "/api/v1/events/export/",
        "/api/v1/events/export/?ordering=id",
        "/api/v1/stats/histogram/?object_id=1",
        "/api/v1/stats/top/?by=actor",
    ],
)
def test_a_list_that_takes_too_long_is_a_problem_that_says_how_to_narrow_it(
    address: str, api: Api, locked: None, settings: Any
) -> None:
    settings.QUERY_TIMEOUT = 0.1

    document = problem(api.get(address), 400, "query_timeout")

    assert "0.1 s" in document["detail"]
    assert "time__gte" in document["detail"]
    assert all(name in document["detail"] for name in grammar.indexed())


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("objects/shop.Order/42/history/", "with time__gte and time__lt."),
        ("objects/shop.Order/42/state/", "its history/ instead"),
        (f"events/{uuid7()}/chain/", "GET events/?causationid="),
        ("signals/", "type__startswith"),
    ],
)
def test_what_takes_no_filter_is_told_what_else_to_ask(
    address: str, advice: str, api: Api, locked: None, settings: Any
) -> None:
    settings.QUERY_TIMEOUT = 0.1

    detail = problem(api.get(f"/api/v1/{address}"), 400, "query_timeout")["detail"]

    assert advice in detail
    assert "index" not in detail


@pytest.mark.parametrize("operation", READS, ids=str)
def test_whatever_is_read_is_read_within_the_limit(operation: Operation, api: Api, locked: None, settings: Any) -> None:
    settings.QUERY_TIMEOUT = 0.1

    problem(api.get(operation.address(NAMED)), 400, "query_timeout")


def test_of_two_limits_the_outer_ones_advice_is_told(transactional_db: None, settings: Any) -> None:
    settings.QUERY_TIMEOUT = 0.05

    limits = queries.bounded("outer"), queries.bounded("inner")
    with pytest.raises(QueryTimeout, match="outer"), limits[0], limits[1], connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [60])


def test_the_limit_ends_with_the_statement(transactional_db: None, settings: Any) -> None:
    settings.QUERY_TIMEOUT = 0.05

    with pytest.raises(QueryTimeout), queries.bounded(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [60])
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        limit = cursor.fetchone()
        cursor.execute("SELECT pg_sleep(0.1)")

    assert limit == ("0",)


def test_what_is_no_timeout_is_raised_as_it_is(transactional_db: None) -> None:
    with pytest.raises(ZeroDivisionError), queries.bounded():
        raise ZeroDivisionError


def test_rows_and_parameters_come_through_as_without_a_limit(transactional_db: None) -> None:
    with queries.bounded(), connection.cursor() as cursor:
        cursor.execute("SELECT n, %s FROM generate_series(1, 3) AS n", ["a%;"])
        found = cursor.fetchall()
        cursor.execute("SELECT current_setting('statement_timeout')")
        limit = cursor.fetchone()

    assert found == [(1, "a%;"), (2, "a%;"), (3, "a%;")]
    assert limit == ("10s",)


def test_a_limit_costs_no_statement_of_its_own(api: Api) -> None:
    api.send(event())

    with CaptureQueriesContext(connection) as captured:
        api.list()

    assert len(captured) == 1
    assert captured[-1]["sql"].startswith("SET LOCAL statement_timeout = 10000; SELECT")
