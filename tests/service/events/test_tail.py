"""A tail shows what comes, once, in order, to who may see it; what it doesn't show, it counts."""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import urllib3
from django.utils import timezone

from service.events import arrivals, operations, tail
from service.events.arrivals import Place
from service.events.conditions import Criteria, Is, IsOneOf
from service.events.operations import Row
from service.events.tail import Tail
from service.projects.models import Key, Project
from tests.service.cast import EVENTS, Api, event, uuid7

pytestmark = pytest.mark.django_db(transaction=True)

TAIL = f"{EVENTS}tail/"


class Message(NamedTuple):
    id: str
    event: str
    data: Any


class Listener:
    """Reads server-sent events, as the HTML standard has them parsed."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.response = response
        self.last_id = ""
        self.lines = self.read_lines()
        self.messages = self.read_messages()

    def read_lines(self) -> Iterator[str]:
        rest = b""
        for piece in self.response.stream(None):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (line.decode() for line in lines)

    def read_messages(self) -> Iterator[Message]:
        fields: dict[str, str] = {}
        for line in self.lines:
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
                continue
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                yield Message(self.last_id, fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}

    def next(self, number: int) -> list[Message]:
        return [next(self.messages) for _ in range(number)]

    def wait_until_it_begins(self) -> None:
        for line in self.lines:
            if line.startswith("id: "):
                self.last_id = line.removeprefix("id: ")
            if not line:
                return


@contextmanager
def listening(live_service: str, key: str, after: str = "", **filters: str) -> Iterator[Listener]:
    headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": after} if after else {})
    with urllib3.PoolManager(retries=False, timeout=30) as http:
        response = http.request("GET", live_service + TAIL, fields=filters, headers=headers, preload_content=False)
        assert response.status == 200, response.read()
        assert response.headers["Content-Type"] == "text/event-stream"
        listener = Listener(response)
        listener.wait_until_it_begins()
        try:
            yield listener
        finally:
            response.close()


def sent(api: Api, number: int, **attributes: Any) -> list[str]:
    """Send so many events, one by one or some at once, and return their ids in this order."""
    made = [event(**attributes) for _ in range(number)]
    for each in made:
        assert api.send(each).status_code == 201
    return [each["id"] for each in made]


def ids(messages: list[Message]) -> list[str]:
    return [message.data["id"] for message in messages]


def test_what_comes_is_shown_as_it_is_read(live_service: str, api: Api, key: str) -> None:
    with listening(live_service, key) as listener:
        expected = sent(api, 5, data={"text": "one\ntwo\r\u2028", "n": 1}, actor="auth.User/7")
        messages = listener.next(5)

    assert ids(messages) == expected
    assert {message.event for message in messages} == {"message"}
    assert [message.data for message in messages] == [api.read(each).json() for each in expected]


def test_what_was_there_before_is_not_shown_and_a_duplicate_neither(live_service: str, api: Api, key: str) -> None:
    old = event()
    api.send(old)

    with listening(live_service, key) as listener:
        api.send(old)
        new = sent(api, 1)
        assert ids(listener.next(1)) == new


def test_a_tail_shows_what_its_filters_ask_for(live_service: str, api: Api, key: str) -> None:
    with listening(live_service, key, sender="shop.Order", q="-actor:auth.User/7") as listener:
        sent(api, 1, sender="shop.Basket")
        sent(api, 1, sender="shop.Order", actor="auth.User/7")
        expected = sent(api, 2, sender="shop.Order")
        assert ids(listener.next(2)) == expected


def test_a_neighbours_events_are_never_shown(live_service: str, api: Api, neighbours_api: Api, key: str) -> None:
    with listening(live_service, key) as listener:
        sent(neighbours_api, 3)
        expected = sent(api, 1)
        assert ids(listener.next(1)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_who_was_cut_off_goes_on_where_it_was(live_service: str, api: Api, key: str, seed: int) -> None:
    rng = random.Random(seed)
    expected, found, place = [], [], ""
    with listening(live_service, key) as listener:
        place = listener.last_id
    for _ in range(4):
        batch = [event() for _ in range(rng.randint(1, 6))]
        api.send(batch)
        expected += sorted(each["id"] for each in batch)  # the order in which a statement stores them
        with listening(live_service, key, place) as listener:
            messages = listener.next(rng.randint(0, len(expected) - len(found)))
            place = messages[-1].id if messages else place
            found += ids(messages)
    with listening(live_service, key, place) as listener:
        found += ids(listener.next(len(expected) - len(found)))

    assert found == expected


def test_who_was_away_for_too_long_is_told_so(live_service: str, api: Api, key: str) -> None:
    now = arrivals.now()
    long_ago = now._replace(time=now.time - 7200)

    with listening(live_service, key, str(long_ago)) as listener:
        expected = sent(api, 1)
        told, shown = listener.next(2)

    assert (told.event, told.data) == ("dropped", {"count": None})
    assert shown.data["id"] == expected[0]


def test_more_than_a_tail_shows_is_counted(live_service: str, api: Api, key: str) -> None:
    shown, counted = 0, 0
    with listening(live_service, key) as listener:
        api.send([event() for _ in range(3 * tail.SHOWN)])
        while shown + counted < 3 * tail.SHOWN:
            (message,) = listener.next(1)
            if message.event == "dropped":
                counted += message.data["count"]
            else:
                shown += 1

    assert (shown, counted) == (tail.SHOWN, 2 * tail.SHOWN)


def test_a_key_that_was_revoked_sees_no_more(live_service: str, api: Api, project: Project, key: str) -> None:
    with listening(live_service, key) as listener:
        Key.objects.filter(project=project, prefix=key[:11]).update(revoked_at=timezone.now())
        (message,) = listener.next(1)
        assert message.event == "end"
        assert list(listener.messages) == []


@pytest.mark.parametrize("place", ["x", "1-2-3-4"])
def test_a_place_that_is_none_is_refused(api: Api, place: str) -> None:
    answer = api.get(TAIL, Last_Event_ID=place)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Last-Event-ID"


def test_too_many_tails_are_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST", 0)

    answer = api.get(TAIL)

    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_tails")


# Without a server


def stored(project: Project, *kinds: str) -> list[UUID]:
    rows = [Row(id=str(uuid7()), type=kind, source="/a", occurred_at=timezone.now()) for kind in kinds]
    operations.store(project.pk, rows)
    return sorted(UUID(row.id) for row in rows)


def a_tail(project: Project, *conditions: Any, place: Place, is_live: bool = True) -> Tail:
    return Tail(project.pk, Criteria(conditions), lambda: True, place, is_live)


def read(each: Tail) -> tuple[list[UUID], int]:
    """Return the ids of what is written for a tail, and how many it is told were left out."""
    found, dropped = [], 0
    while not each.written.empty():
        text = each.written.get_nowait()
        assert text is not None
        for block in text.split(b"\n\n")[:-1]:
            data = json.loads(block.partition(b"data: ")[2])
            if block.startswith(b"event: dropped"):
                dropped += data["count"]
            else:
                found.append(UUID(data["id"]))
    return found, dropped


def look(*tails: Tail) -> None:
    _, shown = tail.look(tails)
    for each, seen, found in shown:
        each.show(seen, found)


@pytest.mark.parametrize("seed", range(5))
def test_each_event_is_shown_or_counted_by_each_tail(
    project: Project, neighbour: Project, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is limited, and whoever reads when."""
    rng = random.Random(seed)
    for limit in ("LOOKED_AT", "MATCHED", "SHOWN", "BEHIND"):
        monkeypatch.setattr(tail, limit, rng.randint(1, 12))
    start = arrivals.now()
    everything, of_a, resumed = (
        a_tail(project, place=start),
        a_tail(project, Is("type", "a"), place=start),
        a_tail(project, IsOneOf("type", ("a", "b")), place=start, is_live=False),
    )
    tails = [everything, of_a, resumed]
    shown: dict[Tail, list[UUID]] = {each: [] for each in tails}
    counted = dict.fromkeys(tails, 0)
    sent: list[UUID] = []

    def collect() -> None:
        for each in tails:
            if rng.random() < 0.5:
                found, dropped = read(each)
                shown[each] += found
                counted[each] += dropped

    for _ in range(30):
        sent += stored(project, *rng.choices("ab", k=rng.randint(0, 8)))
        stored(neighbour, "a")
        look(*tails)
        collect()
    for _ in range(200):  # until the slowest has seen all
        look(*tails)
        for each in tails:
            found, dropped = read(each)
            shown[each] += found
            counted[each] += dropped

    assert all(each.is_live for each in tails)
    for each in tails:
        assert len(shown[each]) == len(set(shown[each]))
        assert shown[each] == [one for one in sent if one in set(shown[each])]
    assert len(shown[everything]) + counted[everything] == len(sent)
    assert len(shown[resumed]) + counted[resumed] == len(sent)


def test_silence_is_filled_with_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "HEARTBEAT", 0.001)
    place = Place(1, UUID(int=0), 0, 2)

    text = asyncio.run(tail.next_of(Tail(1, Criteria(), lambda: True, place)))

    assert text == f":\nid: {place}\n\n".encode()


def test_what_holds_no_more_rights_is_ended(project: Project) -> None:
    place = arrivals.now()
    one, other = Tail(project.pk, Criteria(), lambda: False, place), a_tail(project, place=place)
    stored(project, "a")

    ended, shown = tail.look([one, other])

    assert ended == [one]
    assert [each for each, _, _ in shown] == [other]
