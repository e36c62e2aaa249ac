"""``GET events/export/``: all that is asked for, each once, whatever its size and whoever reads."""

import contextlib
import csv
import http.client
import io
import json
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection, connections
from django.utils import timezone

from service.api.pagination import Towards
from service.events import export
from service.events.conditions import Criteria
from service.events.models import Event
from service.events.queries import QueryTimeout
from service.projects import remembered
from service.projects.models import Key, Project
from tests.service.cast import Api, event, problem, uuid7

EXPORT = "/api/v1/events/export/"
FILL = """
INSERT INTO event (project_id, id, type, source, sender, object_id, occurred_at, received_at, data)
SELECT %s, overlay(overlay(md5(n::text)::uuid::text PLACING left(%s, 13) FROM 1) PLACING '-7' FROM 14)::uuid, 'filled',
       '/shop', 'shop.Order', n::text, now(), now(), jsonb_build_object('text', repeat('x', 200))
  FROM generate_series(1, %s) AS n
"""
NDJSON = export.FORMATS["ndjson"]


def exported(project: Project, towards: Towards = "lt") -> Iterator[bytes]:
    return export.chunks(project.id, Criteria(), towards, NDJSON, lambda: True)


def lines(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    return [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def table(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.content
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode(), newline="")))


def fill(project: Project, rows: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FILL, [project.id, str(uuid7()), rows])


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 3)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 7])
@pytest.mark.parametrize("ordering", ["-id", "id"])
def test_an_export_is_the_list_however_many_pages_it_has(
    count: int, ordering: str, api: Api, neighbours_api: Api, small_pages: None
) -> None:
    neighbours_api.send([event() for _ in range(4)])
    api.send([event(data={"n": 1.50}, actor="x") for _ in range(count)])

    answer = api.get(f"{EXPORT}?ordering={ordering}")

    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="events.ndjson"'
    assert lines(answer) == api.list(ordering=ordering).json()["results"]
    assert len(lines(api.get(EXPORT))) == count


def test_an_export_takes_the_filters_of_the_list(api: Api, small_pages: None) -> None:
    sent = [event(actor=actor, data={"n": n}) for n, actor in enumerate("ababababab")]
    api.send(sent)

    found = lines(api.get(f"{EXPORT}?actor=a&q=-data.n:4&ordering=id"))

    assert sorted(ids(found)) == sorted(sent[n]["id"] for n in (0, 2, 6, 8))


@pytest.mark.parametrize("ordering", ["-id", "id"])
def test_what_was_there_at_the_start_is_exported_once_while_events_arrive(
    ordering: str, api: Api, small_pages: None
) -> None:
    start = timezone.now() - timedelta(hours=1)
    sent = [event(id=str(uuid7(start + timedelta(minutes=n)))) for n in range(10)]
    api.send(sent)

    found: list[str] = []
    for chunk in api.get(f"{EXPORT}?ordering={ordering}").streaming_content:
        found += ids([json.loads(line) for line in chunk.splitlines()])
        api.send([event(id=str(uuid7(start + timedelta(minutes=n, seconds=1)))) for n in (0, 5, 30)])
        assert len(found) < 50

    there = {each["id"] for each in sent}
    assert [each for each in found if each in there] == sorted(there, reverse=ordering == "-id")
    assert len(found) == len(set(found))


def test_csv_has_a_column_for_each_attribute_and_json_for_the_rest(api: Api) -> None:
    sent = event(
        subject="shop.Order/42",
        time=timezone.now().isoformat(timespec="microseconds").replace("+00:00", "Z"),
        sender="shop.Order",
        action="updated",
        actor='Zoë, "the" 👋\nb',
        correlationid="c",
        causationid="d",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        emitterid="6f1d6a3e-9c1b-4e0f-8a2d-7c5b3e9f1a20",
        sequence="184",
        outcome="committed",
        data={"total": 19.90, "text": "a,b"},
        myextension=True,
    )
    api.send([sent, event(data=None)])

    answer = api.get(f"{EXPORT}?format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="events.csv"'
    rows = {row["id"]: row for row in table(answer)}

    row = rows.pop(sent["id"])
    assert tuple(row) == (*export.COLUMNS, export.REST)
    assert json.loads(row.pop("data")) == sent["data"]
    assert json.loads(row.pop("extensions")) == {"myextension": True}
    assert row.pop("recordedtime")
    assert row.pop("recordedid") == ""
    assert row == {name: sent[name] for name in row}
    (other,) = rows.values()
    assert other["data"] == other["extensions"] == other["actor"] == ""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_carry_out_comes_after_an_apostrophe(text: str, api: Api) -> None:
    api.send(event(actor=text, data=-5))

    (row,) = table(api.get(f"{EXPORT}?format=csv"))

    assert (row["actor"], row["data"]) == (f"'{text}", "'-5")


def test_an_event_whose_id_is_foreign_has_both(api: Api) -> None:
    api.send(event(id="mine", time=timezone.now().isoformat()))

    (row,) = table(api.get(f"{EXPORT}?format=csv"))

    assert row["id"] == "mine"
    assert row["recordedid"] == str(Event.objects.get().id)
    assert row["extensions"] == ""


@pytest.mark.parametrize(
    ("query", "named"),
    [("format=xml", "format"), ("ordering=time", "ordering"), ("q=a:b", "q"), ("outcome=x", "outcome")],
)
def test_an_unusable_parameter_is_refused_by_name(query: str, named: str, api: Api) -> None:
    problem(api.get(f"{EXPORT}?{query}"), 400, "invalid_parameter", named)


@pytest.mark.parametrize("name", ["cursor", "page_size", "tpye"])
def test_a_parameter_of_pages_is_unknown_here(name: str, api: Api) -> None:
    problem(api.get(f"{EXPORT}?{name}=1"), 400, "unknown_parameter", name)


def test_each_page_may_be_written_in_another_thread(
    transactional_db: None, project: Project, small_pages: None
) -> None:
    fill(project, 10)
    chunks = exported(project)
    written: list[bytes] = []

    def advance() -> None:
        written.append(next(chunks, b""))
        connections.close_all()

    for _ in range(5):
        thread = threading.Thread(target=advance)
        thread.start()
        thread.join()

    assert [chunk.count(b"\n") for chunk in written] == [3, 3, 3, 1, 0]


def test_nothing_is_held_between_pages(transactional_db: None, project: Project, small_pages: None) -> None:
    fill(project, 10)

    chunks = exported(project)
    next(chunks)

    assert connection.get_autocommit()
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM pg_cursors")
        assert cursor.fetchone() == (0,)


def test_a_fault_in_the_middle_is_raised(api: Api, small_pages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    api.send([event() for _ in range(10)])
    content = api.get(EXPORT).streaming_content
    next(content)

    def fail(*_: object) -> None:
        raise QueryTimeout("Ask for less.")

    monkeypatch.setattr(export, "page", fail)

    with pytest.raises(QueryTimeout):
        list(content)


def test_a_key_that_was_revoked_reads_no_further_page(
    api: Api, project: Project, small_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "SECONDS", 0)
    api.send([event() for _ in range(7)])
    content = api.get(EXPORT).streaming_content
    assert len(next(content).splitlines()) == 3
    assert len(next(content).splitlines()) == 3

    Key.objects.filter(project=project).update(revoked_at=timezone.now())

    with pytest.raises(export.KeyEnded):
        next(content)


def peak(project: Project) -> int:
    """Return how many bytes an export takes at the most at once."""
    tracemalloc.start()
    try:
        for _ in exported(project, "gt"):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_events(project: Project) -> None:
    fill(project, 2_500)
    export_of_some = peak(project)
    Event.objects.all().delete()
    fill(project, 25_000)

    export_of_ten_times_as_many = peak(project)

    assert export_of_ten_times_as_many < 1.3 * export_of_some


@contextlib.contextmanager
def stream(url: str, key: str, query: str = "") -> Iterator[http.client.HTTPResponse]:
    address = urlsplit(url)
    line = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    line.request("GET", f"{EXPORT}{query}", headers={"Authorization": f"Bearer {key}"})
    try:
        with line.getresponse() as answer:
            yield answer
    finally:
        line.close()


def test_a_live_service_streams_all_of_it(
    transactional_db: None, live_service: str, key: str, project: Project
) -> None:
    fill(project, 20_000)

    with stream(live_service, key) as answer:
        found = [json.loads(line)["id"] for line in answer.read().splitlines()]

    assert answer.status == 200
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert len(found) == len(set(found)) == 20_000
    assert found == sorted(found, reverse=True)


def test_an_export_that_fails_on_the_way_breaks_the_connection(
    transactional_db: None, live_service: str, key: str, project: Project
) -> None:
    fill(project, 60_000)
    rename = "ALTER TABLE event RENAME COLUMN {} TO {}"

    with stream(live_service, key) as answer, connection.cursor() as cursor:
        assert answer.read(1000)
        cursor.execute(rename.format("actor", "gone"))
        try:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                answer.read()
        finally:
            cursor.execute(rename.format("gone", "actor"))
