"""``GET objects/{sender}/{object_id}/history/``."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.projects import operations
from service.projects.models import Project, Scope
from tests.service.cast import Api, event, problem
from tests.service.events.told import address, bulk, created, deleted, history, next_id, own, related, update, updated
from tests.service.properties import bounded


def test_what_happened_to_an_object_is_told_newest_first(api: Api) -> None:
    sent = [created(status="new"), updated(status=["new", "paid"]), deleted(), created(43), own("updated", 421)]
    api.send(sent)

    last, middle, first = history(api)

    assert [each["id"] for each in (first, middle, last)] == [each["id"] for each in sent[:3]]
    assert [each["action"] for each in (first, middle, last)] == ["created", "updated", "deleted"]
    assert middle["changes"] == {"status": ["new", "paid"]}
    assert (middle["diff_source"], middle["outcome"], middle["certain"]) == ("loaded", "committed", True)
    assert first["fields"] == {"id": 42, "status": "new"}
    assert "changes" not in first
    assert history(api, query="?ordering=id") == [first, middle, last]
    assert history(api, query="?ordering=-id") == [last, middle, first]


@pytest.mark.parametrize(
    "pk",
    [
        "a/b",
        "/",
        "a/",
        "/a",
        "a//b",
        "history/",
        "x/history",
        "42,7",
        "größe 👋",
        "100%",
        "%2F",
        "a?b#c",
        "..",
        "a\nb",
        " ",
    ],
)
def test_any_key_can_be_asked_for(pk: str, api: Api) -> None:
    api.send([created(pk), created(f"{pk}x")])

    assert [each["fields"]["id"] for each in history(api, pk)] == [pk]
    assert api.get(f"{address(pk)}state/").json()["object_id"] == pk


def test_a_key_that_no_event_can_have_is_not_found(api: Api) -> None:
    problem(api.get(f"{address('a')[:-1]}%00/history/"), 404, "not_found")


def test_a_bulk_call_that_names_the_object_tells_what_it_wrote_to_it(api: Api) -> None:
    one = update([42], {"id": 42}, status="paid")
    many = update([1, 42, "7"], {"id__in": [1, 42, 7]}, status="late")
    create = bulk(
        "bulk_create", fields=["id", "n"], count=2, pks=[41, 42], rows=[{"id": 41, "n": 1}, {"id": 42, "n": 2}]
    )
    cut = bulk("bulk_update", fields=["n"], count=3, pks=[1, 2, 42], rows=[{"n": 1}, {"n": 2}], complete=False)
    others = [update([421]), update([4]), update([420, 422]), update(None, count=3, status="x")]
    other_model = bulk("update", "shop.Basket", pks=[42], count=1, values={"status": "x"}, fields=["status"])
    api.send([one, many, create, cut, *others, other_model])

    found = {each["id"]: each for each in history(api)}

    assert found.keys() == {each["id"] for each in (one, many, create, cut)}
    assert found[one["id"]]["fields"] == {"status": "paid"}
    assert found[one["id"]]["call"] == {"count": 1, "where": {"id": 42}}
    assert found[create["id"]]["fields"] == {"id": 42, "n": 2}
    assert found[cut["id"]]["untold"] == ["n"]
    assert "fields" not in found[cut["id"]]


def test_calls_that_may_have_been_about_it_are_told_when_asked_for(api: Api) -> None:
    sure, named = created(), update([42, 43], count=5, status="a")
    perhaps = [update(None, count=3, status="x"), update([1, 2], count=5, status="x")]
    api.send([sure, named, *perhaps, update(None, count=0, status="x"), update([1, 2], status="x")])

    found = history(api, query="?possible=true&ordering=id")

    assert [(each["id"], each["certain"]) for each in found] == [
        (sure["id"], True), (named["id"], True), (perhaps[0]["id"], False), (perhaps[1]["id"], False),
    ]  # fmt: skip
    assert [each["id"] for each in history(api, query="?possible=false&ordering=id")] == [sure["id"], named["id"]]


def test_a_relation_is_told_from_both_sides(api: Api) -> None:
    added = related("add", [1, 2])
    removed = related("remove", [42, 43], 1, "shop.Tag", model="shop.Order", reverse=True)
    api.send([added, removed])

    here, there = history(api), history(api, 1, "shop.Tag")

    shared = {"field": "shop.Order.tags"}
    assert [each["relation"] for each in here] == [
        shared | {"reverse": False, "model": "shop.Tag", "op": "remove", "object_ids": ["1"]},
        shared | {"reverse": False, "model": "shop.Tag", "op": "add", "object_ids": ["1", "2"]},
    ]
    assert [each["relation"] for each in there] == [
        shared | {"reverse": True, "model": "shop.Order", "op": "remove", "object_ids": ["42", "43"]},
        shared | {"reverse": True, "model": "shop.Order", "op": "add", "object_ids": ["42"]},
    ]


def test_an_object_that_is_related_to_itself_is_told_once(api: Api) -> None:
    api.send(related("add", [42, 43], model="shop.Order", field="shop.Order.others"))

    assert len(history(api)) == 1


def test_what_was_rolled_back_is_no_history_and_can_be_asked_for(api: Api) -> None:
    fact, plain = created(), event(sender="shop.Order", subject="shop.Order/42", action="updated", id=next_id())
    tried = own("updated", outcome="rolledback", changes={"status": ["new", "paid"]})
    tried_many = bulk("update", outcome="rolledback", pks=[42], count=1, values={"status": "x"})
    api.send([fact, plain, tried, tried_many])

    assert {each["id"] for each in history(api)} == {fact["id"], plain["id"]}
    assert {each["id"] for each in history(api, query="?outcome=rolledback")} == {tried["id"], tried_many["id"]}
    assert {each["id"] for each in history(api, query="?outcome=committed")} == {fact["id"]}
    assert {each["id"] for each in history(api, query="?q=outcome:rolledback")} == {tried["id"], tried_many["id"]}
    assert {each["id"] for each in history(api, query="?q=-outcome:committed")} == {
        *(plain["id"], tried["id"], tried_many["id"])
    }
    assert {each["id"] for each in history(api, query="?q=-action:created")} == {plain["id"]}


def test_signals_without_an_action_are_told_but_not_those_before_something_happened(api: Api) -> None:
    about = {"sender": "shop.Order", "subject": "shop.Order/42", "data": {"op": "add", "changes": {"n": [1, 2]}}}
    paid = event(id=next_id(), type="shop.signals.order_paid", **about)
    silent = [
        event(id=next_id(), type=f"django.db.models.signals.{name}", **about)
        for name in ("pre_save", "pre_delete", "pre_init", "post_init")
    ]
    api.send([paid, *silent])

    (found,) = history(api)

    assert found["id"] == paid["id"]
    assert not {"action", "changes", "relation"} & found.keys()


@pytest.mark.parametrize(
    ("count", "told"), [(3, {"count": 3}), (None, {"count": None}), ("many", {}), (1.5, {}), (True, {}), ([], {})]
)
def test_the_count_of_a_call_is_told_if_it_is_one(count: Any, told: Any, api: Api) -> None:
    api.send([bulk("update", pks=[42], count=count, where={"id": 42}, values={"n": 1}, fields=["n"])])

    assert history(api)[0]["call"] == {"where": {"id": 42}, **told}


def test_filters_are_those_of_events(api: Api) -> None:
    sent = [created(), updated(status=["new", "paid"]), updated(total=[1, 2])]
    api.send(sent)

    assert [each["id"] for each in history(api, query="?changed=total")] == [sent[2]["id"]]
    assert [each["id"] for each in history(api, query="?action=created")] == [sent[0]["id"]]
    assert history(api, query="?time__lt=2026-01-01T00:00:00Z") == []
    assert len(history(api, query="?time__gte=2026-01-01T00:00:00Z")) == 3


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("ordering=time", "ordering"),
        ("possible=1", "possible"),
        ("time__gte=soon", "time__gte"),
        ("outcome=x", "outcome"),
        ("page_size=0", "page_size"),
        ("cursor=x", "cursor"),
        ("as_of=x", "as_of"),
        ("possible=", "possible"),
    ],
)
def test_an_unusable_parameter_is_named(query: str, name: str, api: Api) -> None:
    answer = api.get(f"{address()}history/?{query}")

    assert [each["field"] for each in answer.json()["errors"]] == [name]
    assert answer.status_code == 400


def test_nothing_of_a_neighbour_is_seen(api: Api, neighbours_api: Api) -> None:
    neighbours_api.send(
        [created(), update([42]), update([42, 43]), update(None, count=2), related("add", [42], 1, "shop.Tag")]
    )

    assert history(api, query="?possible=true") == []
    problem(api.get(f"{address()}state/"), 404, "not_found")
    assert len(history(neighbours_api, query="?possible=true")) == 4


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        7,
        {"model": 1},
        {"model": "shop.Order"},
        {"model": "shop.Order", "pks": {"a": 1}},
        {"model": "shop.Order", "pks": [{"a": 1}, None, [None], [42]]},
        {"changes": [1], "fields": 3, "op": 4, "pks": 5},
        {"model": "shop.Order", "operation": "update", "count": "x", "pks": [42, []], "where": 3, "values": []},
        {"model": "shop.Order", "operation": "bulk_create", "count": 1e300, "pks": [42], "rows": 5, "fields": [[]]},
        {"model": "shop.Order", "pks": ["x" * 9000, 42], "op": {}, "field": []},
        {"changes": {"a": 1, "b": [1, 2]}},
        {
            "model": "shop.Order",
            "operation": "update",
            "count": 9,
            "pks": True,
            "where": {"": [], "__in": 1, "a__isnull": 5},
        },
    ],
)
def test_data_of_any_other_form_harms_nothing(data: Any, api: Api) -> None:
    sent = [created(), event(sender="shop.Order", subject="shop.Order/42", action="updated", data=data, id=next_id())]
    sent += [event(sender="shop.Order", action="update", type="heliograph.update", data=data, id=next_id())]

    assert api.send(sent).json()["accepted"] == 3
    assert history(api, query="?possible=true")
    assert api.get(f"{address()}state/").json()["exists"] is True


KINDS = ["own", "other", "one", "one other", "many", "many others", "unnamed", "tag", "rolled back"]


def made(kind: str) -> dict[str, Any]:
    match kind:
        case "own" | "other":
            return updated(42 if kind == "own" else 43)
        case "one" | "one other":
            return update([42 if kind == "one" else 43])
        case "many" | "many others":
            return update([1, 42] if kind == "many" else [1, 43])
        case "unnamed":
            return update([1], count=4)
        case "tag":
            return related("add", [42, 7], 1, "shop.Tag", model="shop.Order", reverse=True)
    return update([42]) | {"outcome": "rolledback"}


@bounded(25)
@given(
    kinds=st.lists(st.sampled_from(KINDS), max_size=14),
    size=st.integers(1, 4),
    oldest_first=st.booleans(),
    possible=st.booleans(),
)
def test_pages_together_are_the_history_both_ways(
    db: None, kinds: list[str], size: int, oldest_first: bool, possible: bool
) -> None:
    project = Project.objects.create(name=f"p{uuid4().hex}")
    api = Api(key=operations.create_key(project, [Scope.EVENTS_READ, Scope.EVENTS_WRITE]))
    sent = [(kind, made(kind)) for kind in kinds]
    api.send([each for _, each in sent])
    told = {"own", "one", "many", "tag"} | ({"unnamed"} if possible else set())
    wanted = sorted((each["id"] for kind, each in sent if kind in told), reverse=not oldest_first)
    first = f"{address()}history/?page_size={size}&possible={str(possible).lower()}" + ("&ordering=id" * oldest_first)

    pages = walk(api, first, "next")
    back = walk(api, pages[-1]["previous"], "previous") if pages[-1]["previous"] else []

    assert [each["id"] for page in pages for each in page["results"]] == wanted
    assert [each["id"] for page in back[::-1] for each in page["results"]] == wanted[
        : len(wanted) - len(pages[-1]["results"])
    ]


def walk(api: Api, address: str | None, way: str) -> list[Any]:
    pages: list[Any] = []
    while address is not None:
        pages.append(api.get(address).json())
        address = pages[-1][way]
        assert len(pages) < 30
    return pages
