"""``GET events/``, page after page: all of it in order, nothing twice, also while events arrive."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urljoin, urlsplit

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.events import operations as events
from service.events import pages, partitions
from service.events.models import Event
from service.events.operations import Row
from service.projects import operations
from service.projects.models import Project, Scope
from tests.service.cast import Api, event, problem, uuid7
from tests.service.properties import bounded

START = timezone.now() - timedelta(days=40)
TYPES = ["paid", "shipped"]
ACTORS = ["ann", "bob"]

made_events = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(TYPES), st.sampled_from(ACTORS)), min_size=0, max_size=12
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "ordering": st.sampled_from(["-id", "id"]),
        "type": st.sampled_from(TYPES),
        "actor": st.sampled_from(ACTORS),
        "time__gte": st.integers(0, 40),
        "time__lt": st.integers(0, 40),
    },
)


def day(number: int) -> str:
    return (START + timedelta(days=number)).isoformat()


def made(number: int, kind: str, actor: str) -> dict[str, Any]:
    return event(id=str(uuid7(START + timedelta(days=number))), time=day(number), type=kind, actor=actor)


def kept(sent: list[dict[str, Any]], chosen: dict[str, Any]) -> list[str]:
    """Say, in Python, what a list of ``sent`` has to hold."""
    found = [
        each["id"]
        for each in sent
        if each["type"] == chosen.get("type", each["type"])
        and each["actor"] == chosen.get("actor", each["actor"])
        and day(chosen.get("time__gte", 0)) <= each["time"]
        and ("time__lt" not in chosen or each["time"] < day(chosen["time__lt"]))
    ]
    return sorted(found, reverse=chosen.get("ordering") != "id")


def parameters(chosen: dict[str, Any]) -> dict[str, Any]:
    return {name: day(value) if name.startswith("time") else value for name, value in chosen.items()}


def ids(page: dict[str, Any]) -> list[str]:
    return [each["id"] for each in page["results"]]


def walk(api: Api, page: dict[str, Any], way: str) -> list[dict[str, Any]]:
    """Return ``page`` and those that follow it, one ``way``, to the end."""
    pages = [page]
    while (address := pages[-1][way]) is not None:
        answer = api.get(address)
        assert answer.status_code == 200
        pages.append(answer.json())
        assert len(pages) < 100
    return pages


@pytest.fixture
def fresh_api(db: None) -> Any:
    """Return a maker of projects without events, one for each example."""

    def make() -> Api:
        project, _ = Project.objects.get_or_create(name=f"p{Project.objects.count()}")
        return Api(key=operations.create_key(project, [Scope.EVENTS_WRITE, Scope.EVENTS_READ]))

    return make


@bounded(40)
@given(sent=made_events, chosen=filters, size=st.integers(1, 5))
def test_all_pages_together_are_the_list_both_ways(
    fresh_api: Any, sent: Any, chosen: dict[str, Any], size: int
) -> None:
    api = fresh_api()
    events = [made(*each) for each in sent]
    api.send(events)

    pages = walk(api, api.list(page_size=size, **parameters(chosen)).json(), "next")
    back = walk(api, pages[-1], "previous")

    assert [each for page in pages for each in ids(page)] == kept(events, chosen)
    assert [each for page in back[::-1] for each in ids(page)] == kept(events, chosen)
    assert all(len(page["results"]) == size for page in pages[:-1])
    assert back[-1]["previous"] is None
    assert pages[-1]["next"] is None


@bounded(30)
@given(sent=made_events, arrivals=made_events, size=st.integers(1, 4), chosen=filters)
def test_nothing_is_skipped_or_told_twice_while_events_arrive(
    fresh_api: Any, sent: Any, arrivals: Any, size: int, chosen: dict[str, Any]
) -> None:
    api = fresh_api()
    events, late = [made(*each) for each in sent], [made(*each) for each in arrivals]
    api.send(events)

    pages = [api.list(page_size=size, **parameters(chosen)).json()]
    while pages[-1]["next"] is not None:
        api.send(late[len(pages) - 1 : len(pages)])
        pages.append(api.get(pages[-1]["next"]).json())
        assert len(pages) < 100
    api.send(late)
    seen = [each for page in pages for each in ids(page)]
    back = walk(api, pages[-1], "previous")
    returned = [each for page in back[::-1] for each in ids(page)]

    newest_first = chosen.get("ordering") != "id"
    assert seen == sorted(set(seen), reverse=newest_first)
    assert set(kept(events, chosen)) <= set(seen) <= set(kept(events + late, chosen))
    assert returned == sorted(set(returned), reverse=newest_first)
    assert set(seen) <= set(returned) <= set(kept(events + late, chosen))


def test_the_newest_page_has_no_previous_and_the_oldest_no_next(api: Api) -> None:
    api.send([event() for _ in range(6)])

    newest = api.list(page_size=3).json()
    oldest = api.get(newest["next"]).json()

    assert newest["previous"] is None
    assert oldest["next"] is None
    assert api.get(oldest["previous"]).json() == newest


def test_a_page_whose_events_are_gone_still_leads_to_the_others(api: Api) -> None:
    sent = [event(id=str(uuid7(START + timedelta(days=number)))) for number in range(3)]
    api.send(sent)
    newest = api.list(page_size=1).json()
    middle = api.get(newest["next"]).json()
    Event.objects.exclude(id=sent[1]["id"]).delete()

    no_newer, no_older = api.get(middle["previous"]).json(), api.get(middle["next"]).json()

    assert [ids(no_newer), ids(no_older)] == [[], []]
    assert [no_newer["previous"], no_older["next"]] == [None, None]
    assert ids(api.get(no_newer["next"]).json()) == [sent[1]["id"]]
    assert ids(api.get(no_older["previous"]).json()) == [sent[1]["id"]]


def test_links_keep_the_filters_and_the_page_size(api: Api) -> None:
    api.send([event(actor="Zoë & co/1+1") for _ in range(3)])

    link = api.list(actor="Zoë & co/1+1", page_size=1).json()["next"]

    query = parse_qs(urlsplit(link).query)
    assert query["actor"] == ["Zoë & co/1+1"]
    assert query["page_size"] == ["1"]
    assert query.keys() == {"actor", "page_size", "cursor"}


def test_a_page_holds_100_events_unless_told_and_1000_at_the_most(api: Api) -> None:
    sent = [event() for _ in range(1001)]
    api.send(sent[:1000])
    api.send(sent[1000])

    assert len(api.listed()) == 100
    assert len(api.listed(page_size=1000)) == 1000
    assert len(api.listed(page_size="0100")) == 100


def test_a_cursor_that_was_altered_is_refused(api: Api) -> None:
    api.send([event() for _ in range(2)])
    (cursor,) = parse_qs(urlsplit(api.list(page_size=1).json()["next"]).query)["cursor"]

    for altered in (cursor[:-1], cursor[1:], cursor.swapcase(), cursor + "A", cursor.split(":")[0]):
        problem(api.list(cursor=altered), 400, "invalid_parameter", "cursor")


def test_a_cursor_is_of_one_question_and_page_size_is_no_part_of_it(api: Api) -> None:
    api.send([event(actor="ann", type="a") for _ in range(3)])
    (cursor,) = parse_qs(urlsplit(api.list(actor="ann", page_size=1).json()["next"]).query)["cursor"]

    for other in ({}, {"actor": "bob"}, {"actor": "ann", "type": "a"}, {"actor": "ann", "ordering": "id"}):
        problem(api.list(cursor=cursor, **other), 400, "invalid_parameter", "cursor")
    assert len(api.listed(cursor=cursor, actor="ann", page_size=2)) == 2


def test_a_cursor_is_of_one_path(api: Api) -> None:
    api.send([event(sender="shop.Order", subject=f"shop.Order/{key}") for key in (1, 1, 1, 2)])
    (history, other) = (f"/api/v1/objects/shop.Order/{key}/history/?page_size=1" for key in (1, 2))
    (cursor,) = parse_qs(urlsplit(api.get(history).json()["next"]).query)["cursor"]

    assert api.get(f"{history}&cursor={cursor}").status_code == 200
    problem(api.get(f"{other}&cursor={cursor}"), 400, "invalid_parameter", "cursor")
    problem(api.list(page_size=1, cursor=cursor), 400, "invalid_parameter", "cursor")


@pytest.mark.parametrize("object_id", ["a/../b", "..", "./a", "a/.", "...", "a..b", "ä/ö%2F", "?a=b#c"])
def test_a_link_is_a_path_that_leads_to_the_same_whatever_proxy_is_between(object_id: str, api: Api) -> None:
    sent = [event(sender="shop.Order", subject=f"shop.Order/{object_id}") for _ in range(2)]
    api.send(sent)
    address = f"/api/v1/objects/shop.Order/{quote(object_id)}/history/?page_size=1"

    newest = api.get(address).json()
    link = newest["next"]

    assert link.startswith("/api/v1/objects/shop.Order/")
    followed = urlsplit(urljoin("https://audit.example.com/anything/", link))
    assert followed.netloc == "audit.example.com"
    oldest = api.get(f"{followed.path}?{followed.query}").json()
    assert {*ids(newest), *ids(oldest)} == {each["id"] for each in sent}


@pytest.mark.parametrize("ordering", ["time", "-time", "+id", "id,-id", "actor"])
def test_an_ordering_that_there_is_not_is_refused_by_name(ordering: str, api: Api) -> None:
    problem(api.list(ordering=ordering), 400, "invalid_parameter", "ordering")


def test_the_oldest_come_first_when_asked_for(api: Api) -> None:
    sent = [event(id=str(uuid7(START + timedelta(days=number)))) for number in (3, 1, 2)]
    api.send(sent)

    assert api.listed(ordering="id") == [sent[index]["id"] for index in (1, 2, 0)]
    assert api.listed(ordering="-id") == [sent[index]["id"] for index in (0, 2, 1)]


def test_events_are_looked_up_by_their_keys_in_a_partition_without_statistics(project: Project) -> None:
    there = [uuid7(START) for _ in range(5000)]
    table = partitions.table_of(str(there[0]))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {table}")
        partitions.ensure(timezone.now())
        events.store(project.pk, [Row(id=str(each), type="a", source="/a", occurred_at=START) for each in there])
        statement = pages.LOOK_UP.format(columns=pages.COLUMNS)
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", [there[:300], project.pk])
        told = "\n".join(line for (line,) in cursor.fetchall())

    assert f"using {table}_pkey" in told, told
    assert "Bitmap" not in told, told
    assert "Rows Removed by Filter" not in told, told
    assert pages.by_ids(project.pk, [*there, uuid7(START)]).keys() == set(there)
