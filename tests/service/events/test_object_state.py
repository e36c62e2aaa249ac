"""``GET objects/{sender}/{object_id}/state/``. tests/contract/test_object_state.py asks a real client's database."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from service.events import objects, objects_where
from tests.service.cast import Api, event, problem
from tests.service.events.told import address, bulk, created, deleted, next_id, own, related, state, update, updated


def codes(found: Any) -> list[str]:
    return [reason["code"] for reason in found["reasons"]]


def test_an_object_is_what_its_events_made_it_at_each_moment(api: Api) -> None:
    sent = [
        created(status="new", total="9.90"),
        updated(status=["new", "paid"]),
        update([42], {"id": 42}, total="7.00"),
        deleted(),
        created(status="again"),
    ]
    api.send(sent)

    found = [state(api, as_of=each["id"]) for each in sent]

    assert [each["fields"] for each in found] == [
        {"id": 42, "status": "new", "total": "9.90"},
        {"id": 42, "status": "paid", "total": "9.90"},
        {"id": 42, "status": "paid", "total": "7.00"},
        {},
        {"id": 42, "status": "again"},
    ]
    assert [each["exists"] for each in found] == [True, True, True, False, True]
    assert [each["deleted_by"] for each in found] == [None, None, None, sent[3]["id"], None]
    assert [each["last_event"] for each in found] == [each["id"] for each in sent]
    assert all(each["complete"] and not each["reasons"] for each in found)
    assert state(api) == found[-1]


def test_it_did_not_exist_before_it_was_created(api: Api) -> None:
    before, first = created(1), created()
    api.send([before, first])

    found = state(api, as_of=before["id"])

    assert (found["exists"], found["fields"], found["complete"], found["deleted_by"]) == (False, {}, True, None)


def test_a_time_is_the_events_own_and_includes_what_happened_then(api: Api) -> None:
    sent = [created(n=1), updated(n=[1, 2]), updated(n=[2, 3])]
    moment = datetime.fromisoformat("2026-11-20T10:15:00+00:00")
    for place, each in enumerate(sent):
        each["id"] = f"01a1f873-c8{place:02}-7c3e-a1b2-5f0e6d3c9a41"
        each["time"] = (moment + timedelta(microseconds=place)).isoformat()
    api.send(sent)

    assert [state(api, as_of=each["time"])["fields"]["n"] for each in sent] == [1, 2, 3]
    assert state(api, as_of=(moment - timedelta(microseconds=1)).isoformat())["exists"] is False
    assert state(api, as_of="2026-11-20T11:15:00.000001+01:00")["fields"]["n"] == 2


def test_order_is_that_of_ids_whatever_the_sequence_and_the_order_of_arrival(api: Api) -> None:
    sent = [created(n=1), updated(n=[1, 2]), updated(n=[2, 3])]
    for number, each in zip(("3", "2", "1"), sent, strict=True):
        each |= {"emitterid": "6f1d6a3e-9c1b-4e0f-8a2d-7c5b3e9f1a20", "sequence": number}
    for each in sent[::-1]:
        api.send(each)

    assert state(api)["fields"]["n"] == 3


@pytest.mark.parametrize("as_of", ["soon", "2026-13-01T00:00:00Z", "42", "6f1d6a3e-9c1b-4e0f-8a2d-7c5b3e9f1a20", "\0"])
def test_an_unusable_moment_is_named(as_of: str, api: Api) -> None:
    problem(api.get(f"{address()}state/?as_of={as_of}"), 400, "invalid_parameter", "as_of")


def test_an_object_nobody_told_of_is_not_found(api: Api) -> None:
    api.send([created(1), own("updated", outcome="rolledback", changes={"n": [1, 2]})])

    problem(api.get(f"{address()}state/"), 404, "not_found")


def test_a_history_that_starts_late_is_not_complete(api: Api) -> None:
    first, second = created(1), updated(status=["new", "paid"])
    api.send([first, second])

    found = state(api)

    assert (found["exists"], found["fields"], found["complete"]) == (True, {"status": "paid"}, False)
    assert codes(found) == ["history_starts_late"]
    assert state(api, as_of=first["id"])["exists"] is None


def test_what_only_the_database_computed_is_unknown_until_it_is_told(api: Api) -> None:
    first, computed = created(views=1), update([42], views={"expression": "CombinedExpression"})
    api.send([first, computed, own("updated", fields={"views": 7}, diff_source="none")])

    unknown, known = state(api, as_of=computed["id"]), state(api)

    assert (unknown["unknown"], unknown["fields"]) == (["views"], {"id": 42})
    assert [(each["code"], each["field"], each["event"]) for each in unknown["reasons"]] == [
        ("expression", "views", computed["id"])
    ]
    assert (known["fields"]["views"], known["complete"]) == (7, True)


def test_masked_values_stay_masked(api: Api) -> None:
    api.send([created(password="[masked]"), updated(password=["[masked]", "[masked]"])])

    assert state(api)["fields"]["password"] == "[masked]"
    assert state(api)["complete"]


@pytest.mark.parametrize(
    ("where", "status", "reasons"),
    [
        ({}, "late", []),
        ({"status": "new"}, "late", []),
        ({"status__in": ["x", "new"]}, "late", []),
        ({"status": "paid"}, "new", []),
        ({"status": "new", "n": 8}, "new", []),
        ({"n__isnull": True}, "new", []),
        ({"gone__isnull": True}, "late", []),
        ({"id__in": [41, 42]}, "late", []),
        ({"id__in": [41, 43]}, "new", []),
        ({"status": "NEW"}, None, ["bulk_call"]),
        ({"n": "7"}, None, ["bulk_call"]),
        ({"price": "7"}, None, ["bulk_call"]),
        ({"other": 1}, None, ["bulk_call"]),
        (None, None, ["bulk_call"]),
    ],
)
def test_a_call_that_names_no_keys_is_applied_as_far_as_its_conditions_tell(
    where: Any, status: str | None, reasons: list[str], api: Api
) -> None:
    api.send([created(status="new", n=7, price="7.00", gone=None), update(None, where, count=3, status="late")])

    found = state(api)

    assert found["fields"].get("status") == status
    assert codes(found) == reasons


def test_a_call_before_it_was_created_or_on_another_model_is_no_matter(api: Api) -> None:
    api.send(
        [update(None, count=3, n=2), created(n=1), bulk("update", "shop.Basket", pks=None, count=2, values={"n": 3})]
    )

    assert (state(api)["fields"]["n"], state(api)["complete"]) == (1, True)


def test_rows_that_a_bulk_call_doesnt_tell_are_unknown(api: Api) -> None:
    make = bulk("bulk_create", fields=["id", "n"], count=2, pks=[41, 42], rows=[{"id": 41, "n": 1}])
    api.send([make, bulk("bulk_update", fields=["n"], count=2, pks=[41, 42], rows=[{"n": 5}, {"n": 6}])])

    before, after = state(api, as_of=make["id"]), state(api)

    assert (before["exists"], before["unknown"], set(codes(before))) == (True, ["id", "n"], {"value_not_told"})
    assert (after["fields"], after["unknown"]) == ({"n": 6}, ["id"])


@pytest.mark.parametrize(
    ("pks", "where", "exists"), [([42], {"id": 42}, False), (None, {"n": 1}, False), (None, {"n": 2}, True)]
)
def test_a_raw_delete_ends_it(pks: Any, where: Any, exists: bool, api: Api) -> None:
    sent = [created(n=1), bulk("raw_delete", pks=pks, where=where, count=1)]
    api.send(sent)

    assert state(api)["exists"] is exists
    assert state(api)["deleted_by"] == (None if exists else sent[1]["id"])


def test_a_raw_delete_of_rows_that_arent_told_may_have_ended_it(api: Api) -> None:
    api.send([created(n=1), bulk("raw_delete", pks=None, where=None, count=1)])

    assert state(api)["exists"] is True
    assert codes(state(api)) == ["maybe_deleted"]


def test_another_old_value_than_was_known_is_told(api: Api) -> None:
    sent = [created(n=1, price="7"), updated(price=["7.00", "8.00"]), updated(n=[5, 6])]
    api.send(sent)

    found = state(api)

    assert [(each["code"], each["field"], each["event"]) for each in found["reasons"]] == [
        ("contradiction", "n", sent[2]["id"])
    ]
    assert found["fields"]["n"] == 6


def test_relations_are_rebuilt_from_both_sides_without_those_that_were_deleted(api: Api) -> None:
    api.send([
        created(),
        related("add", [1, 2, 3]),
        related("remove", [42], 1, "shop.Tag", model="shop.Order", reverse=True),
        related("add", [42, 43], 4, "shop.Tag", model="shop.Order", reverse=True),
        deleted(2, "shop.Tag"),
        related("add", [1], field="shop.Order.likes", through="shop.Like"),
    ])  # fmt: skip

    found = state(api)

    assert found["relations"] == [
        {"field": "shop.Order.tags", "reverse": False, "model": "shop.Tag", "object_ids": ["3", "4"]}
    ]
    assert found["complete"]


def test_of_a_symmetrical_relation_both_sides_are_the_same(api: Api) -> None:
    friends = {"field": "shop.Order.friends", "model": "shop.Order", "symmetrical": True}
    api.send([created(), created(43), related("add", [43], **friends)])

    assert [each["object_ids"] for each in state(api)["relations"]] == [["43"]]
    assert state(api, 43)["relations"] == [
        {"field": "shop.Order.friends", "reverse": False, "model": "shop.Order", "object_ids": ["42"]}
    ]


def test_a_relation_cleared_of_what_isnt_told_is_known_from_then_on(api: Api) -> None:
    api.send([created(1), related("add", [1])])
    assert codes(state(api)) == ["history_starts_late"]

    api.send([related("add", None)])
    assert "relation_incomplete" in codes(state(api))

    api.send([related("clear", None), related("add", [5])])
    assert [each["object_ids"] for each in state(api)["relations"]] == [["5"]]
    assert codes(state(api)) == ["history_starts_late"]


def test_what_was_cut_is_unknown(api: Api) -> None:
    api.send(
        [
            created(text="whole", n=1),
            own("updated", changes={"text": ["whole", "long…"], "n": [1, 2]}, truncated=True, left_out=[]),
        ]
    )

    found = state(api)

    assert (found["fields"], found["unknown"], codes(found)) == ({"id": 42, "n": 2}, ["text"], ["truncated"])


@pytest.mark.parametrize(
    ("left_out", "unknown", "reasons"),
    [
        (
            {"left_out": ["changes.text", "fields.blob", "rows"]},
            ["blob", "text"],
            [("truncated", "blob"), ("truncated", "text")],
        ),
        ({}, [], [("truncated", None)]),
        ({"left_out": ["changes"]}, [], [("truncated", None)]),
        ({"left_out": "changes.text"}, [], [("truncated", None)]),
        ({"left_out": []}, [], []),
    ],
)
def test_what_was_left_out_is_unknown_and_all_is_where_it_isnt_named(
    left_out: Any, unknown: list[str], reasons: Any, api: Api
) -> None:
    api.send([created(text="old"), own("updated", fields={"note": "x"}, truncated=True, **left_out)])

    found = state(api)

    assert found["unknown"] == unknown
    assert [(each["code"], each["field"]) for each in found["reasons"]] == reasons
    assert found["fields"].get("text") == (None if "text" in unknown else "old")
    assert found["fields"]["note"] == "x"


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        ({"changes": {"n": 2, "m": [1, 2]}}, [("value_not_told", "n")]),
        ({"changes": {"n": [1, 2, 3]}}, [("value_not_told", "n")]),
        ({"changes": [["n", 2]]}, [("value_not_told", None)]),
        ({"fields": ["n"]}, [("value_not_told", None)]),
        ({}, [("value_not_told", None)]),
        ({"changes": {}}, []),
        ({"fields": {"n": 1}}, []),
    ],
)
def test_an_update_that_cant_be_read_leaves_nothing_certain(data: Any, reasons: Any, api: Api) -> None:
    api.send([created(n=1), own("updated", **data)])

    found = state(api)

    assert [(each["code"], each["field"]) for each in found["reasons"]] == reasons
    assert found["complete"] is not bool(reasons)


def test_a_call_on_many_rows_that_tells_no_field_leaves_nothing_certain(api: Api) -> None:
    api.send([created(n=1), bulk("update", pks=[42], count=1)])

    assert codes(state(api)) == ["value_not_told"]


def test_a_signal_of_a_projects_own_says_nothing_of_the_state(api: Api) -> None:
    own_signal = event(
        id=next_id(),
        type="shop.signals.order_paid",
        sender="shop.Order",
        subject="shop.Order/42",
        data={"op": "add", "field": "x", "pks": [1], "changes": {"n": [1, 9]}},
    )
    api.send([own_signal])
    problem(api.get(f"{address()}state/"), 404, "not_found")

    api.send([created(n=1), own_signal | {"id": next_id()}])

    assert (state(api)["fields"]["n"], state(api)["relations"], state(api)["complete"]) == (1, [], True)


def test_what_was_rolled_back_changed_nothing(api: Api) -> None:
    api.send([created(n=1), own("updated", outcome="rolledback", changes={"n": [1, 2]})])
    api.send([update([42], n=3) | {"outcome": "rolledback"}, own("deleted", outcome="rolledback")])

    assert (state(api)["fields"]["n"], state(api)["exists"], state(api)["complete"]) == (1, True, True)


def test_of_too_many_events_the_newest_are_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST", 3)
    monkeypatch.setattr(objects, "AT_ONCE", 2)
    api.send([created(n=0, m=0), *(updated(n=[n, n + 1]) for n in range(5))])

    found = state(api)

    assert found["fields"] == {"n": 5}
    assert set(codes(found)) == {"too_many_events", "history_starts_late"}


def test_another_producers_object_is_rebuilt_too(api: Api) -> None:
    sent = event(id="order-1", time="2026-11-20T10:15:00Z", sender="x y", subject="x y/ä", action="created")
    api.send(sent | {"data": {"fields": {"a": [1]}}})

    assert state(api, "ä", "x y")["fields"] == {"a": [1]}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "A", None),
        ("9.9", "9.90", None),
        ("a b", "ab", None),
        ("é", "e", None),
        (1, 1, True),
        (1, 2, False),
        (1, "1", None),
        (True, 1, None),
        (1, 1.0, None),
        (None, 1, False),
        (None, None, None),
        ("[masked]", "[masked]", None),
        ("[masked:1]", "[masked:1]", True),
        ("[masked:1]", "[masked:2]", None),
        ([1], [1], True),
    ],
)
def test_values_are_the_same_only_where_that_is_sure(one: Any, other: Any, same: bool | None) -> None:
    assert objects_where.same(one, other) is same
    assert objects_where.same(other, one) is same
