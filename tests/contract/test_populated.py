"""Every answer of a project that has much to tell is as ``openapi.yaml`` documents it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from service.events import records
from service.projects import operations
from service.projects.models import Key, Project, Scope
from tests.contract.test_openapi import DOCUMENT, OPERATIONS, assert_documented, faults
from tests.service.cast import Api, event, report, uuid7
from tests.service.events import told

EMITTER = str(uuid7())
STREAMED = {"events_export": "events/export/", "events_tail": None}  # a tail doesn't end: tests/service/events has it
ASKED = {
    "events_list": ["events/", "events/?page_size=2", "events/?ordering=id&q=-outcome:rolledback"],
    "events_retrieve": ["events/{id}/"],
    "events_chain": ["events/{id}/chain/"],
    "objects_history": [
        "objects/shop.Order/42/history/?possible=true",
        "objects/shop.Order/42/history/?outcome=rolledback",
        "objects/shop.Order/42/history/?possible=true&page_size=2&ordering=id",
        "objects/shop.Tag/7/history/",
    ],
    "objects_state": [
        "objects/shop.Order/42/state/",
        "objects/shop.Order/43/state/",
        "objects/shop.Order/42/state/?as_of={id}",
    ],
    "emitters_list": ["emitters/", "emitters/?page_size=1"],
    "emitters_retrieve": [f"emitters/{EMITTER}/"],
    "stats_histogram": ["stats/histogram/", "stats/histogram/?interval=minute&group_by=action&limit=1"],
    "stats_top": [f"stats/top/?by={by}&limit=2" for by in ("object", "actor", "action", "type", "outcome")],
    "signals_list": ["signals/", "signals/?page_size=1"],
    "keys_list": ["keys/", "keys/?page_size=1"],
    "keys_retrieve": ["keys/{key_id}/"],
    "projects_list": ["projects/", "projects/?page_size=1"],
    "projects_retrieve": ["projects/full/"],
    "meta_retrieve": ["meta/"],
    "erasures_list": ["erasures/", "erasures/?page_size=1"],
}


def sent() -> list[dict[str, Any]]:
    """Return events of each kind that an emitter tells, and such as nobody should."""
    first = told.created(status="new", total=19.9, note=None, tags=["a", {"b": 1}])
    odd: list[Any] = [None, "many", 1.5, -1, True, [], {"a": [1]}]
    strange = [
        *[told.bulk("update", pks=[42], where=value, count=value, values={"status": value}) for value in odd],
        *[told.bulk("update", pks=value, values=value, fields=value) for value in odd],
        *[told.own("updated", changes=value, fields=value, diff_source=value, update_fields=value) for value in odd],
        *[told.own("updated", changes={"status": value}, truncated=value, left_out=value) for value in odd],
        *[told.own("added", field=value, model=value, op=value, pks=value, reverse=value) for value in odd],
        *[event(id=told.next_id(), sender="shop.Order", subject="shop.Order/42", data=value) for value in odd],
    ]
    return [
        first,
        told.updated(status=["new", "paid"], note=[None, "x"]) | {"actor": "auth.User/7", "causationid": first["id"]},
        told.own("updated", outcome="rolledback", changes={"status": ["paid", "new"]}),
        told.update([42, 43], status="sent"),
        told.update(None, where={"status": "sent"}, count=3, status="old"),
        told.bulk("bulk_create", pks=[42, 44], count=2, rows=[{"id": 42}, {"id": 44}]),
        told.related("add", [7, 8]),
        told.related("clear", None),
        event(
            id=told.next_id(),
            emitterid=EMITTER,
            sequence="3",
            correlationid="c",
            traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        ),
        event(id="order-1", time=told_now(), anything="else", number=7, subject="of another form"),
        *strange,
        told.created(43, status="new"),
        told.deleted(43),
    ]


def told_now() -> str:
    return str(report(EMITTER)["time"])


@pytest.fixture
def filled(db: None) -> tuple[Api, str]:
    """Return a reader and writer of a project with events of all kinds, and the id of one that has a cause."""
    project = Project.objects.create(name="full")
    api = Api(key=operations.create_key(project, Scope.values))
    operations.create_key(project, Scope.values, label="web", expires_at=timezone.now() + timedelta(days=1))
    operations.revoke_key(Key.objects.get(label="web"))
    events = sent()
    assert api.send(events).json() == {"accepted": len(events), "duplicates": 0, "rejected": 0, "errors": []}
    api.told(
        EMITTER, captured=9, lost={"queue_full": 2}, unsent={"masked": 1}, host="web-1", versions={"python": "3.13"}
    )
    api.told(uuid7())
    for body in (b'{"object": "shop.Nothing/1"}', b'{"actor": "auth.User/0"}'):
        assert api.call("POST", "/api/v1/erasures/", body, "application/json").status_code == 202
    return api, str(events[1]["id"])


def test_every_operation_that_reads_is_asked() -> None:
    assert ASKED.keys() | STREAMED.keys() == {name for name, (_, method) in OPERATIONS.items() if method == "get"}


@pytest.mark.parametrize("name", sorted(ASKED))
def test_each_page_is_as_documented(name: str, filled: tuple[Api, str]) -> None:
    api, event_id = filled
    told_of = 0
    for address in ASKED[name]:
        key_id = str(Key.objects.get(label="web").pk)
        following: str | None = "/api/v1/" + address.replace("{id}", event_id).replace("{key_id}", key_id)
        while following:
            answer = api.get(following)
            assert answer.status_code == 200, (following, answer.content)
            assert_documented(answer, name)
            page = answer.json()
            told_of += len(page.get("results", page))
            following = page.get("next")

    assert told_of > 1


def test_each_line_of_an_export_is_an_event_as_documented(filled: tuple[Api, str]) -> None:
    api, _ = filled

    lines = b"".join(api.get("/api/v1/events/export/").streaming_content).splitlines()

    assert len([line for line in lines if json.loads(line)["source"] != records.SOURCE]) == len(sent())
    assert [
        fault for line in lines for fault in faults(DOCUMENT["components"]["schemas"]["Event"], json.loads(line))
    ] == []
