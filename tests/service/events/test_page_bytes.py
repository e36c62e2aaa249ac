"""Events are read at once in a bounded number of bytes, however large they are and however many are asked for."""

import json
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.api import limits
from service.projects import operations
from service.projects.models import Project, Scope
from tests.service.cast import EVENTS, Api, event, uuid7
from tests.service.properties import bounded

START = timezone.now() - timedelta(hours=1)
ROOM = 1_000
HISTORY = "/api/v1/objects/shop.Order/1/history/"
WHOLE = 240_000  # bytes of an event that is nearly as large as one may be
FILL = """
INSERT INTO event
       (project_id, id, type, source, sender, object_id, action, causation_id, occurred_at, received_at, data)
SELECT %s, overlay(overlay(md5(n::text)::uuid::text PLACING left(%s, 13) FROM 1) PLACING '-7' FROM 14)::uuid, 'filled',
       '/shop', 'shop.Order', '1', 'updated', %s, now(), now(), jsonb_build_object('text', repeat('x', %s))
  FROM generate_series(1, %s) AS n
"""

sizes = st.lists(st.sampled_from([0, 10, 300, 600, ROOM - 12, ROOM, 2_500]), max_size=8)


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_BYTES", ROOM)


def told(text: str, note: str | None = None) -> dict[str, Any]:
    return {"data": {"text": text}, "note": note}


def taken(each: dict[str, Any]) -> int:
    """Return the bytes of an event's data and extensions, as JSON with a space after commas and colons."""
    extensions = {name: each[name] for name in ("note",) if name in each}
    return len(json.dumps(each["data"])) + (len(json.dumps(extensions)) if extensions else 0)


def pages_of(api: Api, address: str, way: str = "next") -> list[dict[str, Any]]:
    pages = [api.get(address).json()]
    while (address := pages[-1][way]) is not None:
        pages.append(api.get(address).json())
        assert len(pages) < 100
    return pages


def ids(pages: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for page in pages for each in page["results"]]


@bounded(40)
@given(lengths=sizes, size=st.integers(1, 5), ordering=st.sampled_from(["-id", "id"]), extended=st.booleans())
def test_pages_of_events_of_any_size_are_the_list_and_end_early_only_when_they_are_full(
    little_room: None, *, db: None, lengths: list[int], size: int, ordering: str, extended: bool
) -> None:
    project = Project.objects.create(name=f"p{Project.objects.count()}")
    api = Api(key=operations.create_key(project, [Scope.EVENTS_WRITE, Scope.EVENTS_READ]))
    sent = [
        event(
            id=str(uuid7(START + timedelta(seconds=place))),
            **(told("", "x" * length) if extended else told("x" * length)),
        )
        for place, length in enumerate(lengths)
    ]
    api.send(sent)
    wanted = sorted((each["id"] for each in sent), reverse=ordering == "-id")

    there = pages_of(api, f"{EVENTS}?page_size={size}&ordering={ordering}")
    back = pages_of(api, there[-1]["previous"], "previous") if there[-1]["previous"] else []

    assert ids(there) == wanted
    assert ids(back[::-1]) + ids(there[-1:]) == wanted
    for page in [*there, *back]:
        bytes_of = [taken(each) for each in page["results"]]
        assert sum(bytes_of) - (bytes_of or [0])[0 if page in back else -1] < ROOM
        assert len(bytes_of) == size or sum(bytes_of) >= ROOM or page in (there[-1], *back[-1:])


def test_a_page_of_a_history_ends_early_too(little_room: None, api: Api) -> None:
    sent = [event(sender="shop.Order", subject="shop.Order/1", action="updated", data={"x": "x" * 400})] * 1
    sent += [event(**(sent[0] | {"id": str(uuid7())})) for _ in range(6)]
    api.send(sent)

    pages = pages_of(api, f"{HISTORY}?page_size=5")

    assert [len(page["results"]) for page in pages] == [3, 3, 1]
    assert ids(pages) == sorted((each["id"] for each in sent), reverse=True)


def test_an_export_reads_no_more_at_once(little_room: None, api: Api) -> None:
    sent = [event(data={"x": "x" * 400}) for _ in range(7)]
    api.send(sent)

    parts = [part.splitlines() for part in api.get(f"{EVENTS}export/").streaming_content]

    assert [len(part) for part in parts] == [3, 3, 1]
    assert [json.loads(line)["id"] for part in parts for line in part] == sorted(
        (each["id"] for each in sent), reverse=True
    )


def test_a_page_of_large_events_costs_one_query(little_room: None, api: Api) -> None:
    api.send([event(data="x" * 400) for _ in range(7)])
    api.list()

    with CaptureQueriesContext(connection) as queries:
        assert len(api.listed()) == 3

    assert len(queries) == 1


def peak(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "address",
    [
        f"{EVENTS}?page_size=1000",
        f"{EVENTS}?page_size=1000&ordering=id",
        f"{HISTORY}?page_size=1000",
        f"{EVENTS}export/",
        f"{EVENTS}export/?format=csv",
        f"{EVENTS}{{id}}/chain/",
    ],
)
def test_a_hundred_large_events_take_no_more_memory_than_a_page(address: str, api: Api, project: Project) -> None:
    root = event(subject="shop.Order/1", sender="shop.Order", action="created")
    api.send(root)
    with connection.cursor() as cursor:
        cursor.execute(FILL, [project.id, str(uuid7()), root["id"], WHOLE, 100])
    api.get(address.format(id=root["id"]))

    def ask() -> None:
        answer = api.get(address.format(id=root["id"]))
        assert answer.status_code == 200
        if answer.streaming:
            for part in answer.streaming_content:
                assert len(part) < 1.5 * limits.PAGE_BYTES

    most = peak(ask)

    assert most < 8 * limits.PAGE_BYTES  # 100 of them are 11 times that, before they are decoded or written
