"""What is answered in the event loop is answered as the view would, and all else is left to the view."""

import asyncio
import copy
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from backports import zstd
from django.conf import settings as conf
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.events import shared_commits
from service.events.models import Event
from service.events.shared_commits import SharedCommits
from service.front.answers import Answer
from service.ingest import quick
from service.projects import authentication, operations, ratelimit, remembered
from service.projects.models import Key, Project, Scope
from tests.service.cast import EVENTS, Api, event, raw_event, uuid7
from tests.service.ingest.test_refused_events import FAULTS

pytestmark = pytest.mark.django_db(transaction=True)

JSON = ("content-type", "application/json")
ONE = ("content-type", "application/cloudevents+json")
MANY = ("content-type", "application/cloudevents-batch+json")
Ask = Callable[..., Answer | None]


@pytest.fixture
def ask(shared: SharedCommits, key: str, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Return what posts a body as it would come from the wire, once the key is remembered."""
    monkeypatch.setattr(shared_commits, "submit", shared.submit)
    monkeypatch.setattr(remembered, "SECONDS", 3600)
    api.get("/api/v1/meta/")

    def ask(
        body: bytes,
        *headers: tuple[str, str],
        method: str = "POST",
        path: str = EVENTS,
        query: str = "",
        is_leased: bool = True,
    ) -> Any:
        if is_leased:  # else the lease may end with the minute
            ratelimit.allow(Key.objects.get().pk, conf.RATE_LIMIT)
        given = [("host", "testserver"), ("authorization", f"Bearer {key}"), *(headers or (JSON,))]
        names = [name for name, _ in headers]
        scope = {
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(n.encode(), v.encode()) for n, v in given if n not in names or (n, v) in headers],
        }
        return asyncio.run(asyncio.wait_for(answer(scope, body), 30))

    yield ask
    authentication._keys.values.clear()


async def answer(scope: Any, body: bytes) -> Answer | None:
    return await quick.answer(scope, body)


def anew(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same events with other ids, as another would send them."""
    return [each | {"id": str(uuid7())} for each in copy.deepcopy(events)]


def kept(ids: list[str]) -> list[dict[str, Any]]:
    """Return all columns of these events, but those that are never the same."""
    rows = {str(row["id"]): row for row in Event.objects.values()}
    return [{name: rows[each][name] for name in rows[each] if name not in {"id", "received_at"}} for each in ids]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e15, 1e15) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
EVENTS_SENT = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["a", "shop.signals.order_paid"]), "source": st.just("/shop/web")},
        optional={
            "subject": st.sampled_from(["shop.Order/1", "shop.Order", "x" * 255]),
            "sender": st.just("shop.Order"),
            "actor": st.just("auth.User/7"),
            "sequence": st.integers(0, 2**63 - 1).map(str),
            "region": st.sampled_from(["north", 7, True]),
            "traceparent": st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            "data": DATA,
        },
    ).map(lambda given: event(time=timezone.now().isoformat()) | given),
    min_size=1,
    max_size=4,
)
FORMS: list[Any] = [
    (JSON, lambda events: events),
    (MANY, lambda events: events),
    (JSON, lambda events: events[0]),
    (ONE, lambda events: events[0]),
]
ENCODINGS: list[Any] = [None, ("gzip", gzip.compress), ("zstd", zstd.compress)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(events=EVENTS_SENT, form=st.sampled_from(FORMS), encoding=st.sampled_from(ENCODINGS))
def test_it_answers_and_stores_as_the_view_does(
    events: list[dict[str, Any]], form: Any, encoding: Any, ask: Ask, api: Api
) -> None:
    media, shape = form
    others = anew(events)

    def posted(which: list[dict[str, Any]]) -> tuple[bytes, list[tuple[str, str]]]:
        body = json.dumps(shape(which)).encode()
        return (body, [media]) if encoding is None else (encoding[1](body), [media, ("content-encoding", encoding[0])])

    for _ in range(2):  # the second time they are duplicates
        body, headers = posted(events)
        quickly = ask(body, *headers)
        body, headers = posted(others)
        slowly = api.send(body, media[1], **{name.replace("-", "_"): text for name, text in headers[1:]})

        assert quickly is not None
        assert (quickly.status, json.loads(quickly.content)) == (slowly.status_code, slowly.json())
        told = dict(quickly.headers)
        assert told[b"content-type"].decode() == slowly.headers["Content-Type"]
        assert {b"ratelimit", b"ratelimit-policy", b"x-content-type-options"} < told.keys()
    sent = len(events) if shape(events) is events else 1
    assert kept([each["id"] for each in events[:sent]]) == kept([each["id"] for each in others[:sent]])


def test_what_has_to_be_refused_is_left_to_the_view(ask: Ask) -> None:
    bad = {fault: raw_event(**members) for fault, (members, _, _) in FAULTS.items()}
    assert [fault for fault, each in bad.items() if ask(each) is not None] == []
    assert [fault for fault, each in bad.items() if ask(b"[" + raw_event() + b"," + each + b"]") is not None] == []
    assert Event.objects.count() == 0


LEFT: dict[str, Any] = {
    "another method": {"method": "PUT"},
    "another path": {"path": f"{EVENTS}tail/"},
    "a parameter": {"query": "dry_run=true"},
    "no key": {"headers": [JSON, ("authorization", "")]},
    "a key of another scheme": {"headers": [JSON, ("authorization", "Basic aGc6aGc=")]},
    "an unknown key": {"headers": [JSON, ("authorization", "Bearer hg_unknown")]},
    "a foreign host": {"headers": [JSON, ("host", "evil.example")]},
    "no host": {"headers": [JSON, ("host", "")]},
    "lines": {"headers": [("content-type", "application/x-ndjson")]},
    "a charset": {"headers": [("content-type", "application/json; charset=utf-16")]},
    "another encoding": {"headers": [JSON, ("content-encoding", "br")]},
    "what isn't gzip": {"headers": [JSON, ("content-encoding", "gzip")]},
    "binary mode": {"headers": [JSON, ("ce-specversion", "1.0")]},
    "an unknown header": {"headers": [JSON, ("x-http-method-override", "DELETE")]},
    "two of a header": {"headers": [JSON, ("content-type", "text/plain")]},
    "an array that is said to be one event": {"headers": [ONE], "body": b"[" + raw_event() + b"]"},
    "an empty array": {"body": b"[]"},
    "what isn't JSON": {"body": b"{"},
    "nothing": {"body": b""},
    "what is large": {"body": raw_event(data='"' + "x" * quick.SMALL + '"')},
    "what is large when inflated": {
        "headers": [JSON, ("content-encoding", "gzip")],
        "body": gzip.compress(raw_event(data='"' + "x" * quick.SMALL + '"')),
    },
}


def test_what_is_unusual_is_left_to_the_view(ask: Ask) -> None:
    taken = []
    for name, request in LEFT.items():
        body, headers = request.get("body", raw_event()), request.get("headers", [])
        if ask(body, *headers, **{each: request[each] for each in request.keys() - {"body", "headers"}}) is not None:
            taken.append(name)
    assert taken == []
    assert Event.objects.count() == 0
    assert ask(raw_event()) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": [Scope.EVENTS_READ]},
        {"revoked_at": timezone.now() - timedelta(seconds=1)},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"last_used_at": None},
        {"last_used_at": timezone.now() - operations.LAST_USE_PRECISION},
        {"rate_limit": 1},
    ],
    ids=str,
)
def test_a_key_that_may_not_write_or_has_to_be_asked_for_is_left_to_the_view(
    change: dict[str, Any], ask: Ask, key: str
) -> None:
    assert ask(raw_event()) is not None
    remembered = authentication.known_key(operations.digest(key))
    for name, value in change.items():
        setattr(remembered, name, value)
    assert ask(raw_event()) is None
    assert Event.objects.count() == 1


def test_a_key_is_forgotten_in_time(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "SECONDS", 0)
    assert ask(raw_event()) is None


def test_each_post_counts_for_the_quota(ask: Ask, key: str, api: Api) -> None:
    Key.objects.update(rate_limit=3)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM rate_window")
    authentication._keys.values.clear()
    ratelimit._leases.clear()
    assert api.get("/api/v1/meta/").status_code == 200  # which takes the first lease, of one
    told = [ask(raw_event(), is_leased=False) for _ in range(2)]
    statuses = [api.send(event()).status_code for _ in range(3)]

    assert told == [None, None]  # a lease has to be taken for each
    assert statuses == [201, 201, 429]


def test_what_cant_be_stored_together_is_left_to_the_view(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    def fail(_rows: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("service.events.operations.store_all", fail)
    assert ask(raw_event()) is None


def test_nothing_of_one_project_is_stored_for_another(ask: Ask, project: Project, neighbour: Project) -> None:
    assert ask(raw_event()) is not None
    assert [each.project_id for each in Event.objects.all()] == [project.pk]
