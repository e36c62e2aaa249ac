"""``GET emitters/`` and ``GET emitters/{emitterid}/``: whose, in which order, by which filters."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from service.projects import remembered
from service.projects.models import Project
from service.telemetry import operations
from service.telemetry.models import Emitter
from tests.service.cast import EMITTERS, EVENTS, Api, event, numbered, problem

NOON = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)


def seen(project: Project, minutes: float, **columns: Any) -> UUID:
    """Make an emitter that was last seen so many minutes after noon."""
    emitter = uuid4()
    operations.add(
        project.pk, [operations.Seen(emitter_id=emitter, source="/shop/web", sequences="{}", seen=moment(minutes))]
    )
    Emitter.objects.filter(id=emitter).update(**columns)
    return emitter


def moment(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def found(api: Api, **parameters: object) -> list[UUID]:
    return [UUID(read["emitterid"]) for read in api.emitters(**parameters)]


def pages(api: Api, address: str, link: str = "next") -> list[list[UUID]]:
    whole = []
    next_address: str | None = address
    while next_address:
        answer = api.get(next_address).json()
        whole.append([UUID(read["emitterid"]) for read in answer["results"]])
        next_address = answer[link]
    return whole


def test_emitters_are_listed_newest_seen_first(api: Api, project: Project) -> None:
    made = [seen(project, minutes) for minutes in (3, 1, 2, 0)]

    assert found(api) == [made[index] for index in (0, 2, 1, 3)]


def test_an_event_moves_an_emitter_to_the_front(transactional_db: None, api: Api) -> None:
    first, second = uuid4(), uuid4()
    api.told(first)
    api.told(second)
    before = api.emitter(first)

    api.send(numbered(first, 1))

    assert found(api) == [first, second]
    assert api.emitter(first)["last_seen"] > before["last_seen"]
    assert api.emitter(first)["first_seen"] == before["first_seen"]


def test_a_report_moves_an_emitter_to_the_front_even_if_it_is_an_old_one(api: Api) -> None:
    first, second = uuid4(), uuid4()
    api.told(first, time="2026-11-20T10:00:00Z")
    api.told(second)

    api.told(first, time="2026-11-19T10:00:00Z")

    assert found(api) == [first, second]


@pytest.mark.parametrize("order", [1, -1])
def test_an_emitter_was_first_and_last_seen_at_the_earliest_and_latest_moment(
    order: int, api: Api, project: Project
) -> None:
    """Whichever is added first: reports and folds come from several processes."""
    emitter = uuid4()

    for minutes in (0, 2, 1)[::order]:
        told = operations.Seen(emitter_id=emitter, source="/shop/web", sequences="{}", seen=moment(minutes))
        operations.add(project.pk, [told])

    read = api.emitter(emitter)
    assert datetime.fromisoformat(read["first_seen"]) == moment(0)
    assert datetime.fromisoformat(read["last_seen"]) == moment(2)


def test_a_project_without_emitters_has_an_empty_page(api: Api) -> None:
    assert api.get(EMITTERS).json() == {"next": None, "previous": None, "results": []}


def test_an_emitter_reads_as_it_is_listed(api: Api) -> None:
    emitter = uuid4()
    api.send(numbered(emitter, 1, 5))
    api.told(emitter, captured=9, lost={"refused": 1}, host="web-1")

    (listed,) = api.emitters()

    assert listed == api.emitter(emitter)


def test_what_isnt_there_is_not_found(api: Api) -> None:
    problem(api.get(f"{EMITTERS}{uuid4()}/"), 404, "not_found")
    problem(api.get(f"{EMITTERS}web-1/"), 404, "not_found")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_pages_hold_each_emitter_once_and_lead_back(size: int, api: Api, project: Project) -> None:
    """Several were seen at the same moment, so that the order within it matters."""
    for minutes in (0, 0, 0, 1, 2, 2, 2.5):
        seen(project, minutes)
    whole = found(api)
    assert len(whole) == 7

    forward = pages(api, f"{EMITTERS}?page_size={size}")
    back = pages(api, last_address(api, size), "previous")

    assert [emitter for page in forward for emitter in page] == whole
    assert [emitter for page in reversed(back) for emitter in page] == whole


def last_address(api: Api, size: int) -> str:
    address = f"{EMITTERS}?page_size={size}"
    while following := api.get(address).json()["next"]:
        address = following
    return address


def test_pages_keep_the_filters(api: Api, project: Project) -> None:
    mine = [seen(project, minutes, source="/mine") for minutes in range(3)]
    for minutes in range(3):
        seen(project, minutes + 0.5)

    assert pages(api, f"{EMITTERS}?page_size=2&source=/mine") == [[mine[2], mine[1]], [mine[0]]]


def test_an_emitter_that_is_heard_of_meanwhile_moves_to_the_front(api: Api, project: Project) -> None:
    made = [seen(project, minutes) for minutes in range(4)]
    first = api.get(f"{EMITTERS}?page_size=2").json()

    api.send(numbered(made[0], 1))

    assert [UUID(read["emitterid"]) for read in api.get(first["next"]).json()["results"]] == [made[1]]
    assert found(api)[0] == made[0]


def test_a_cursor_of_events_is_refused(api: Api, project: Project) -> None:
    api.send([event(), event(), *numbered(uuid4(), 1), *numbered(uuid4(), 1)])
    cursors = [
        parse_qs(urlsplit(api.get(f"{address}?page_size=1").json()["next"]).query)["cursor"][0]
        for address in (EVENTS, EMITTERS)
    ]

    problem(api.get(f"{EMITTERS}?cursor={cursors[0]}"), 400, "invalid_parameter", "cursor")
    problem(api.get(f"{EVENTS}?cursor={cursors[1]}"), 400, "invalid_parameter", "cursor")


def test_source_is_matched_exactly(api: Api, project: Project) -> None:
    mine = seen(project, 0, source="/shop/web")
    seen(project, 0, source="/shop/web2")
    seen(project, 0, source="/SHOP/web")

    assert found(api, source="/shop/web") == [mine]


def test_last_seen_is_from_the_first_moment_on_and_before_the_second(api: Api, project: Project) -> None:
    made = [seen(project, minutes) for minutes in range(5)]

    kept = found(api, last_seen__gte=moment(1).isoformat(), last_seen__lt=moment(3).isoformat())

    assert kept == [made[2], made[1]]


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z"])
@pytest.mark.parametrize("name", ["last_seen__gte", "last_seen__lt"])
def test_moments_of_any_year_are_understood(when: str, name: str, api: Api, project: Project) -> None:
    emitter = seen(project, 0)

    assert found(api, **{name: when}) == ([emitter] if (when < "2026") == (name == "last_seen__gte") else [])


def test_missing_is_at_least_so_many(api: Api) -> None:
    made = {missing: uuid4() for missing in (0, 1, 5)}
    for missing, emitter in made.items():
        api.send(numbered(emitter, 1, missing + 2))

    kept = {least: set(found(api, missing__gte=least)) for least in (0, 1, 2, 5, 6, 2**53 - 1)}

    assert kept[0] == set(made.values())
    assert kept[1] == {made[1], made[5]}
    assert kept[2] == kept[5] == {made[5]}
    assert kept[6] == kept[2**53 - 1] == set()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        *((f"missing__gte={value}", "missing__gte") for value in ("-1", "x", "1.5", "1e3", "NaN", 2**53, "9" * 5000)),
        ("last_seen__gte=yesterday", "last_seen__gte"),
        ("last_seen__lt=1763800000", "last_seen__lt"),
        ("source=a%00b", "source"),
        ("source=", "source"),
        ("source=a&source=b", "source"),
        ("page_size=0", "page_size"),
        ("cursor=x", "cursor"),
    ],
)
def test_an_unusable_parameter_is_refused_by_name(query: str, named: str, api: Api) -> None:
    problem(api.get(f"{EMITTERS}?{query}"), 400, "invalid_parameter", named)


@pytest.mark.parametrize("name", ["last_seen", "type", "ordering", "project_id", "ended", "missing", ""])
def test_an_unknown_parameter_is_refused_by_name(name: str, api: Api) -> None:
    problem(api.get(f"{EMITTERS}?{name}=1"), 400, "unknown_parameter", name)
    problem(api.get(f"{EMITTERS}{uuid4()}/?{name}=1"), 400, "unknown_parameter", name)


def test_one_emitter_in_two_projects_is_two(api: Api, neighbours_api: Api) -> None:
    emitter = uuid4()
    api.send(numbered(emitter, 1, 2))
    api.told(emitter, captured=7, host="web-1", lost={"a": 1})
    neighbours_api.send(numbered(emitter, 4))
    neighbours_api.told(emitter, captured=5, host="web-2", lost={"b": 2})

    mine, theirs = api.emitter(emitter), neighbours_api.emitter(emitter)

    names = ["host", "captured", "stored", "lost", "gaps", "missing"]
    assert [mine[name] for name in names] == ["web-1", 7, 2, {"a": 1}, [[3, 7]], 4]
    assert [theirs[name] for name in names] == ["web-2", 5, 1, {"b": 2}, [[1, 3], [5, 5]], 2]
    assert (api.emitters(), neighbours_api.emitters()) == ([mine], [theirs])


def test_a_neighbours_emitter_is_neither_read_nor_listed(api: Api, neighbours_api: Api) -> None:
    reported, unreported = uuid4(), uuid4()
    neighbours_api.told(reported)
    neighbours_api.send(numbered(unreported, 1))

    for emitter in (reported, unreported):
        problem(api.get(f"{EMITTERS}{emitter}/"), 404, "not_found")
    for parameters in ({}, {"source": "/shop/web"}, {"last_seen__gte": "2020-01-01"}, {"missing__gte": "0"}):
        assert api.emitters(**parameters) == []


def test_a_cursor_of_a_neighbour_shows_nothing_of_it(api: Api, neighbours_api: Api) -> None:
    for _ in range(2):
        neighbours_api.told(uuid4())
    following = neighbours_api.get(f"{EMITTERS}?page_size=1").json()["next"]

    assert api.get(following).json()["results"] == []


def test_a_key_that_may_only_write_cant_read(writer: Api) -> None:
    emitter = uuid4()
    writer.told(emitter)

    problem(writer.get(EMITTERS), 403, "scope_missing")
    problem(writer.get(f"{EMITTERS}{emitter}/"), 403, "scope_missing")


def test_a_key_that_may_only_read_can(reader: Api, writer: Api) -> None:
    emitter = uuid4()
    writer.told(emitter)

    assert reader.emitters() == [reader.emitter(emitter)]


def test_without_a_key_nobody_can(stranger: Api, db: None) -> None:
    problem(stranger.get(EMITTERS), 401, "key_missing")
    problem(stranger.get(f"{EMITTERS}{uuid4()}/"), 401, "key_missing")


def test_a_list_costs_two_queries_where_the_key_is_known_and_counts_nothing(
    api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "SECONDS", 60)
    for minutes in range(30):
        seen(project, minutes)
    api.emitters()  # the key is remembered

    with CaptureQueriesContext(connection) as queries:
        assert len(api.emitters(page_size=10)) == 10

    assert len(queries) == 2
    assert not any("count(" in query["sql"].lower() for query in queries)


def test_of_ten_thousand_emitters_a_page_reads_only_its_own(api: Api, project: Project) -> None:
    emitters = [uuid4() for _ in range(10_000)]
    operations.add(
        project.pk,
        [
            operations.Seen(emitter_id=emitter, source="/shop/web", sequences="{[1,9]}", seen=moment(number / 100))
            for number, emitter in enumerate(emitters)
        ],
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE emitter")

    with CaptureQueriesContext(connection) as queries:
        first = api.get(f"{EMITTERS}?page_size=100").json()
        second = api.get(first["next"]).json()

    listed = [UUID(read["emitterid"]) for page in (first, second) for read in page["results"]]
    assert listed == emitters[:-201:-1]
    statements = [query["sql"].partition("; ")[2] for query in queries]  # each begins with the limit of its time
    pages = [statement for statement in statements if "ORDER BY" in statement]
    assert len(pages) == 2
    assert all(read_rows(statement) <= 102 for statement in pages)


def read_rows(query: str) -> int:
    """Return how many rows Postgres took from the table to answer ``query``."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.replace('%', '%%')}")
        (plan,) = cursor.fetchone()[0]
    scans = [part for part in parts(plan["Plan"]) if part.get("Relation Name") == "emitter"]
    return sum(int(scan["Actual Rows"]) + int(scan.get("Rows Removed by Filter", 0)) for scan in scans)


def parts(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(part for inner in plan.get("Plans", []) for part in parts(inner))]
