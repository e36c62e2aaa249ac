"""``GET events/``: filters, and parameters that can't be used. Pages are in test_pages.py."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from service.events import grammar, queries
from service.projects.models import Project
from tests.service.cast import Api, event, problem, uuid7

INDEXED_COLUMN = {"type": "type", "sender": "sender", "actor": "actor"}
INDEXED_COLUMN |= {"correlationid": "correlation_id", "traceid": "trace_id", "causationid": "causation_id"}
NOON = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)

# A few thousand events that have nothing in common.
VARIED = """
INSERT INTO event (project_id, id, type, source, sender, object_id, actor, correlation_id, causation_id, trace_id,
                   occurred_at, received_at)
SELECT %s, (left(%s, 14) || '7' || right(md5(n::text)::uuid::text, 21))::uuid, 't' || n, 'x', 's' || n, n, 'a' || n,
       'c' || n, 'c' || n, md5('t' || n)::uuid, now(), now()
  FROM generate_series(1, 3000) AS n
"""


def test_events_are_listed_newest_first(api: Api) -> None:
    sent = [event(id=str(uuid7(NOON + timedelta(minutes=minute)))) for minute in (3, 1, 2, 0)]
    api.send(sent)

    assert api.listed() == [sent[index]["id"] for index in (0, 2, 1, 3)]


def test_a_project_without_events_has_an_empty_page(api: Api) -> None:
    answer = api.list()

    assert answer.status_code == 200
    assert answer.json() == {"next": None, "previous": None, "results": []}


def test_an_event_comes_back_as_it_was_sent(api: Api) -> None:
    sent = event(
        subject="shop.Order/42",
        time=NOON.isoformat().replace("+00:00", ".000001Z"),
        id=str(uuid7(NOON)),
        data={"changes": {"status": ["new", "paid"]}},
        sender="shop.Order",
        action="updated",
        actor="auth.User/7",
        correlationid="c-1",
        causationid=str(uuid7()),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        emitterid="6f1d6a3e-9c1b-4e0f-8a2d-7c5b3e9f1a20",
        sequence="184",
        outcome="committed",
    )
    api.send(sent)

    (found,) = api.list().json()["results"]

    assert datetime.fromisoformat(found.pop("recordedtime")) <= timezone.now()
    assert found == sent


def test_an_event_without_a_time_has_that_of_its_id(api: Api) -> None:
    api.send(event(id=str(uuid7(NOON + timedelta(milliseconds=7)))))

    (found,) = api.list().json()["results"]

    assert found["time"] == NOON.strftime("%Y-%m-%dT%H:%M:%S.007000Z")


@pytest.mark.parametrize(
    ("name", "mine", "other"),
    [
        ("type", "shop.paid", "shop.paid2"),
        ("type", "shop.paid", "SHOP.PAID"),
        ("sender", "shop.Order", "shop.Orders"),
        ("action", "created", "creat_d"),
        ("actor", "auth.User/7", "auth.User/77"),
        ("correlationid", "c%", "c-1"),
        ("actor", " ", "  "),
        ("actor", "a,b", "a"),
        ("actor", "Zoë 👋", "Zoe"),
        ("sender", "null", None),
    ],
)
def test_a_filter_keeps_the_events_with_exactly_its_value(name: str, mine: str, other: str | None, api: Api) -> None:
    sent = [event(**{name: value}) for value in (mine, other, mine)] + [event()]
    api.send(sent)

    assert sorted(api.listed(**{name: mine})) == sorted(sent[index]["id"] for index in (0, 2))


def test_an_object_is_found_by_sender_and_id(api: Api) -> None:
    sent = [event(sender=s, subject=f"{s}/{key}") for s in ("shop.Order", "shop.Basket") for key in ("42", "421")]
    api.send(sent)

    assert api.listed(sender="shop.Order", object_id="42") == [sent[0]["id"]]
    assert sorted(api.listed(object_id="42")) == sorted([sent[0]["id"], sent[2]["id"]])


def test_filters_are_joined_by_and(api: Api) -> None:
    sent = [event(actor=actor, action=action) for actor in "ab" for action in ("created", "deleted")]
    api.send(sent)

    assert api.listed(actor="a", action="deleted") == [sent[1]["id"]]


def test_time_is_from_the_first_moment_on_and_before_the_second(api: Api) -> None:
    moments = [NOON + timedelta(microseconds=micro) for micro in (-1, 0, 1, 999, 1000, 1001)]
    sent = [event(id=str(uuid7(moment)), time=moment.isoformat()) for moment in moments]
    api.send(sent)

    found = api.listed(time__gte=NOON.isoformat(), time__lt=moments[4].isoformat())

    assert sorted(found) == sorted(each["id"] for each in sent[1:4])


@pytest.mark.parametrize("hours", [24, -24])
def test_time_is_the_events_own_however_far_its_id_is(hours: int, api: Api) -> None:
    id_time = NOON + timedelta(milliseconds=5)
    moment = id_time + timedelta(hours=hours)
    sent = event(id=str(uuid7(id_time)), time=moment.isoformat())
    assert api.send(sent).status_code == 201
    just_after = (moment + timedelta(microseconds=1)).isoformat()

    assert api.listed(time__gte=moment.isoformat(), time__lt=just_after) == [sent["id"]]
    assert api.listed(time__lt=moment.isoformat()) == []
    assert api.listed(time__gte=just_after) == []


@pytest.mark.parametrize(
    "moment",
    ["{0:%Y-%m-%dT%H:%M:%SZ}", "{0:%Y-%m-%dT%H:%M:%S.000}+00:00", "{0:%Y-%m-%d}T14:00:00+02:00", "{0:%Y-%m-%dT%H:%M}"],
)
def test_a_moment_is_taken_in_each_form_of_iso_8601(moment: str, api: Api) -> None:
    sent = [event(id=str(uuid7(NOON + timedelta(seconds=second)))) for second in (-1, 0)]
    api.send(sent)

    assert api.listed(time__gte=moment.format(NOON)) == [sent[1]["id"]]


@pytest.mark.parametrize("name", ["time__gte", "time__lt"])
@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "2500-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_moments_of_any_year_are_understood(moment: str, name: str, api: Api) -> None:
    sent = event()
    api.send(sent)
    before_it = moment < "2026"

    assert api.listed(**{name: moment}) == ([sent["id"]] if before_it == (name == "time__gte") else [])


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("time__gte=yesterday", "time__gte"),
        ("time__gte=2026-13-01T00:00:00Z", "time__gte"),
        ("time__gte=2026-11-22T10:00:00+00:00", "time__gte"),  # a plus that nobody escaped is a space
        ("time__lt=%20", "time__lt"),
        ("time__lt=1763800000", "time__lt"),
        ("type=a%00b", "type"),
        ("type=" + "a" * 1001, "type"),
        ("type__startswith=%00", "type__startswith"),
        ("type__in=a,,b", "type__in"),
        ("type__in=,", "type__in"),
        ("type__in=" + ",".join("a" * 101), "type__in"),
        ("traceid=0af7651916cd43dd8448eb211c80319", "traceid"),
        ("traceid=0af7651916cd43dd8448eb211c8031_9", "traceid"),
        ("emitterid=7", "emitterid"),
        ("outcome=done", "outcome"),
        ("changed=%00", "changed"),
        ("data.=1", "data."),
        ("data.a..b=1", "data.a..b"),
        ("data.a.=1", "data.a."),
        ("data.a%5C=1", "data.a%5C".replace("%5C", "\\")),
        ("data.a=%00", "data.a"),
        (f"data.{'.'.join('a' * 33)}=1", "data." + ".".join("a" * 33)),
        ("page_size=0", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=1001", "page_size"),
        ("page_size=0000000010000", "page_size"),
        ("page_size=" + "9" * 5000, "page_size"),
        ("page_size=1.5", "page_size"),
        ("page_size=1e2", "page_size"),
        ("page_size=%C2%B2", "page_size"),
        ("page_size=%D9%A3", "page_size"),
        ("page_size=%20", "page_size"),
        ("cursor=x", "cursor"),
        ("cursor=x:y:z", "cursor"),
        ("cursor=%C3%A9:%F0%9F%91%8B:%00", "cursor"),
        ("cursor=WyJsdCIsIjEiXQ:1vMpm6:x", "cursor"),
    ],
)
def test_an_unusable_parameter_is_refused_by_name(query: str, named: str, api: Api) -> None:
    problem(api.get(f"/api/v1/events/?{query}"), 400, "invalid_parameter", named)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("type=a&type=b", "type"),
        ("page_size=1&page_size=1", "page_size"),
        ("cursor=a&cursor=a", "cursor"),
        ("type=", "type"),
        ("time__gte=", "time__gte"),
        ("cursor=", "cursor"),
        ("page_size=", "page_size"),
        ("actor", "actor"),
    ],
)
def test_a_repeated_or_empty_parameter_is_refused_by_name(query: str, named: str, api: Api) -> None:
    problem(api.get(f"/api/v1/events/?{query}"), 400, "invalid_parameter", named)


@pytest.mark.parametrize(
    "name",
    [
        "tpye",
        "Type",
        "type__contains",
        "time__in",
        "data",
        "changes",
        "id",
        "project_id",
        "format",
        "offset",
        "time",
        "",
        "é",
        "a[]",
    ],
)
def test_an_unknown_parameter_is_refused_by_name(name: str, api: Api) -> None:
    answer = api.list(**{name: "x"})

    document = problem(answer, 400, "unknown_parameter", name)
    assert "time__gte" in document["detail"]


def test_every_unusable_value_is_told_of(api: Api) -> None:
    answer = api.list(time__gte="a", time__lt="b")

    assert {error["field"] for error in answer.json()["errors"]} == {"time__gte", "time__lt"}


def test_a_list_costs_one_query_where_the_key_is_known_and_counts_nothing(api: Api) -> None:
    api.send([event(data={"n": number}) for number in range(30)])

    with CaptureQueriesContext(connection) as queries:
        api.list(page_size=10)

    (listing,) = [query["sql"] for query in queries]
    assert "count(" not in listing.lower()


def plan(query: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (COSTS OFF) {query['sql'].partition('; ')[2]}")
        return "\n".join(line for (line,) in cursor.fetchall())


def listing_plan(api: Api, **parameters: object) -> str:
    """Return how Postgres answers a list; without sequential scans, which it prefers on a table as small as ours."""
    with CaptureQueriesContext(connection) as captured:
        assert api.list(**parameters).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    return plan(captured[-1])


@pytest.mark.parametrize("direction", ["newest", "older", "newer"])
def test_a_page_is_read_off_the_primary_key_without_a_sort(direction: str, api: Api) -> None:
    api.send([event() for _ in range(9)])
    second = api.list(page_size=3).json()["next"]
    addresses = {"newest": "/api/v1/events/?page_size=3", "older": second, "newer": api.get(second).json()["previous"]}

    with CaptureQueriesContext(connection) as captured:
        api.get(addresses[direction])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    steps = plan(captured[-1])

    assert "Sort" not in steps
    assert "pkey" in steps


@pytest.mark.parametrize(
    ("parameters", "index"),
    [
        ({"type": "a"}, "type"),
        ({"actor": "a"}, "actor"),
        ({"correlationid": "a"}, "correlation_id"),
        ({"traceid": "a" * 32}, "trace_id"),
        ({"causationid": "a"}, "causation_id"),
        ({"sender": "a", "object_id": "1"}, "sender"),
    ],
)
def test_a_filter_that_has_an_index_needs_no_sort(parameters: dict[str, str], index: str, api: Api) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    shared = dict.fromkeys(("type", "actor", "correlationid", "causationid", "sender"), "a") | {"traceparent": parent}
    api.send([event(**shared) for _ in range(5)])

    steps = listing_plan(api, **parameters)

    assert "Sort" not in steps
    assert f"_{index}_" in steps


@pytest.mark.parametrize("name", sorted(set(grammar.indexed()) - {"time__gte", "time__lt"}))
def test_what_is_said_to_have_an_index_is_found_by_it(name: str, project: Project) -> None:
    parameters = QueryDict(mutable=True)
    parameters[name] = grammar.FIELDS[name].example
    with connection.cursor() as cursor:
        cursor.execute(VARIED, [project.id, str(uuid7())])
        cursor.execute("ANALYZE event")

    (found,) = queries.matching(project.id, grammar.criteria_of(parameters)).sources
    steps = found.explain()

    assert re.search(rf"Index Cond: .*{INDEXED_COLUMN[name.partition('__')[0]]}", steps), steps


def test_a_range_of_time_leaves_the_other_partitions_out(api: Api) -> None:
    middle = datetime(NOON.year, NOON.month, 15, tzinfo=UTC)
    mine = f"event_{middle:%Y_%m}"

    steps = listing_plan(api, time__gte=middle.isoformat(), time__lt=(middle + timedelta(days=1)).isoformat())

    assert set(re.findall(r"event_\d{4}_\d\d", steps)) == {mine}
