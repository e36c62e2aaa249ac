"""A tail shows what comes, once, in order, to who may see it; what it doesn't show, it counts."""

import asyncio
import json
import random
import tracemalloc
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
import urllib3
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from msgspec import Raw

from service.events import arrivals, looks, operations, tail
from service.events.arrivals import Place
from service.events.conditions import Criteria, Is, IsOneOf, Not
from service.events.models import Event
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
    place = str(arrivals.now())
    arrivals.forget(timezone.now())
    sent(api, 1)
    arrivals.forget(timezone.now())
    arrivals.forget(timezone.now() + 2 * arrivals.KEPT)

    with listening(live_service, key, place) as listener:
        expected = sent(api, 1)
        told, shown = listener.next(2)

    assert (told.event, told.data) == ("dropped", {"count": None})
    assert shown.data["id"] == expected[0]


def test_a_place_of_another_database_is_told_so(live_service: str, api: Api, key: str) -> None:
    now = arrivals.now()

    with listening(live_service, key, str(now._replace(tx=now.tx + 100_000))) as listener:
        expected = sent(api, 1)
        told, shown = listener.next(2)

    assert (told.event, told.data) == ("dropped", {"count": None})
    assert shown.data["id"] == expected[0]


def test_a_long_decimal_is_shown_as_a_number(project: Project) -> None:
    number = "0.12345678901234567890123456789"
    follower = a_tail(project, place=arrivals.now())
    row = Row(
        id=str(uuid7()), type="a", source="/a", occurred_at=timezone.now(), data=Raw(f'{{"n":{number}}}'.encode())
    )
    operations.store(project.pk, [row])

    look(follower)

    (text,) = follower.written.get_nowait() or ()
    assert f'"n":{number}}}'.encode() in text


def test_more_than_a_tail_shows_is_counted(live_service: str, api: Api, key: str) -> None:
    shown, counted = 0, 0
    with listening(live_service, key) as listener:
        api.send([event() for _ in range(3 * looks.SHOWN)])
        while shown + counted < 3 * looks.SHOWN:
            (message,) = listener.next(1)
            if message.event == "dropped":
                counted += message.data["count"]
            else:
                shown += 1

    assert (shown, counted) == (looks.SHOWN, 2 * looks.SHOWN)


def test_a_key_that_was_revoked_sees_no_more(live_service: str, api: Api, project: Project, key: str) -> None:
    with listening(live_service, key) as listener:
        Key.objects.filter(project=project, prefix=key[:11]).update(revoked_at=timezone.now())
        (message,) = listener.next(1)
        assert message.event == "end"
        assert list(listener.messages) == []


@pytest.mark.parametrize("place", ["x", "1-2-3"])
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
        for text in asyncio.run(each.read()) or ():
            data = json.loads(text.partition(b"data: ")[2])
            if text.startswith(b"event: dropped"):
                dropped += data["count"]
            else:
                found.append(UUID(data["id"]))
    each.let_go()
    return found, dropped


def look(*tails: Tail) -> None:
    for taken in looks.take(tails):
        for each in taken.tails:
            each.show(taken)


@pytest.mark.parametrize("seed", range(5))
def test_each_event_is_shown_or_counted_by_each_tail(
    project: Project, neighbour: Project, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is limited, and whoever reads when."""
    rng = random.Random(seed)
    for limit in ("LOOKED_AT", "MATCHED", "SHOWN"):
        monkeypatch.setattr(looks, limit, rng.randint(1, 12))
    monkeypatch.setattr(looks, "READ", rng.choice([1, 100, 10_000]))
    monkeypatch.setattr(looks, "DECODED", rng.choice([1, 100, 10_000]))
    monkeypatch.setattr(tail, "BEHIND", rng.randint(1, 12))
    monkeypatch.setattr(tail, "HELD", rng.choice([1, 1_000, 1_000_000]))
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
        assert resumed.is_live or resumed.dropped + counted[resumed] == 0
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
    assert [each.held.size for each in tails] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_who_is_cut_off_anywhere_has_been_shown_or_told_of_all_before(
    project: Project, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(looks, "SHOWN", rng.randint(1, 5))
    monkeypatch.setattr(looks, "LOOKED_AT", rng.randint(5, 15))
    monkeypatch.setattr(tail, "BEHIND", rng.randint(1, 4))
    follower = a_tail(project, place=arrivals.now())
    start, told = follower.place, 0

    for _ in range(60):
        for _ in range(rng.randint(0, 3)):
            stored(project, *"a" * rng.randint(1, 8))
        look(follower)
        arrived = arrivals.since(project.pk, start, 10_000)
        while rng.random() < 0.5 and not follower.written.empty():
            for text in asyncio.run(follower.read()) or ():
                data, place = json.loads(text.partition(b"data: ")[2]), text.partition(b"id: ")[2].split(b"\n")[0]
                told += data["count"] if text.startswith(b"event: dropped") else 1
                last = Place.read(place.decode())
                assert told == sum(each.place <= last for each in arrived)

    assert told > 100


@contextmanager
def held_transaction() -> Iterator[None]:
    """Have another connection write, elsewhere and in vain, for as long as this lasts."""
    with psycopg.connect(
        **{**connection.get_connection_params(), "cursor_factory": psycopg.Cursor, "context": None}
    ) as other:
        other.execute("SELECT pg_current_xact_id()")
        yield
        other.rollback()


def test_what_comes_beside_a_held_transaction_is_shown_after_it_however_long_it_lasts(project: Project) -> None:
    now = timezone.now()
    arrivals.forget(now)
    follower = a_tail(project, place=arrivals.now())
    with held_transaction():
        expected = stored(project, "a") + stored(project, "b")
        for minutes in range(10, 200, 10):
            arrivals.forget(now + timedelta(minutes=minutes))
            look(follower)
        assert follower.written.empty()
    arrivals.forget(now + timedelta(minutes=200))
    arrivals.forget(now + timedelta(minutes=250))

    look(follower)

    assert read(follower) == (expected, 0)


def test_what_was_forgotten_before_it_was_read_is_told_of(project: Project) -> None:
    now = timezone.now()
    live, late = (a_tail(project, place=arrivals.now(), is_live=is_live) for is_live in (True, False))
    arrivals.forget(now)
    stored(project, "a")
    arrivals.forget(now + timedelta(minutes=10))
    arrivals.forget(now + timedelta(minutes=80))

    look(live, late)

    for each in (live, late):
        assert [json.loads(text.partition(b"data: ")[2]) for text in each.written.get_nowait() or ()] == [
            {"count": None}
        ]
    look(live, late)
    assert live.written.empty()
    assert late.written.empty()


def test_an_event_that_is_gone_is_counted(project: Project) -> None:
    follower = a_tail(project, place=arrivals.now())
    stored(project, "a")
    Event.objects.all()._raw_delete("default")

    look(follower)

    assert read(follower) == ([], 1)


@pytest.mark.parametrize("reads", [True, False])
def test_who_can_not_catch_up_is_live_again_and_told_how_much_is_left_out(
    project: Project, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr(looks, "LOOKED_AT", 2)
    follower = a_tail(project, place=arrivals.now(), is_live=False)
    shown: list[UUID] = []
    sent: list[UUID] = []
    for _ in range(10):
        sent += stored(project, *"abc")  # faster than it is looked at
        look(follower)
        if reads:
            shown += read(follower)[0]
    assert not follower.is_live
    follower.patience = 0

    look(follower)
    found, dropped = read(follower)
    if not reads:
        look(follower)
        more, dropped = read(follower)
        found += more

    assert follower.is_live
    assert len(shown) + len(found) + dropped == len(sent)
    assert follower.place == arrivals.now()


def test_tails_that_resume_at_many_places_share_what_is_read(project: Project) -> None:
    places = [arrivals.now()]
    sent = []
    for _ in range(200):
        sent += stored(project, "a")
        places.append(arrivals.now())
    tails = [a_tail(project, place=place, is_live=False) for place in places]

    with CaptureQueriesContext(connection) as asked:
        look(*tails)

    assert [read(each)[0] for each in tails] == [sent[number:] for number in range(201)]
    assert len(asked) < 20
    assert all(each.is_live for each in tails)


def test_what_is_an_events_is_found_among_many_kinds() -> None:
    rng = random.Random(1)
    columns = ("type", "sender", "object_id", "actor")

    def a_kind() -> Criteria:
        named = [Is(column, rng.choice("ab")) for column in rng.choices(columns, k=rng.randint(0, 3))]
        others = [Not(Is("type", rng.choice("ab"))), IsOneOf("sender", ("a", "c")), Is("actor", "")]
        return Criteria((*named, *rng.sample(others, rng.choice([0, 0, 1]))))

    kinds = {a_kind() for _ in range(300)}
    index = looks.Kinds(kinds)
    for _ in range(200):
        made = Event(**{column: rng.choice(["a", "b", "c", "", None]) for column in columns})
        found = index.of(made)
        assert len(found) == len(set(found))
        assert set(found) == {kind for kind in kinds if kind.matches(made)}


@pytest.mark.parametrize("is_live", [True, False])
def test_what_tails_hold_and_what_is_decoded_at_a_time_is_bounded(
    project: Project, monkeypatch: pytest.MonkeyPatch, is_live: bool
) -> None:
    monkeypatch.setattr(tail, "HELD", 500_000)
    held = tail.Held()
    start = arrivals.now()
    data = Raw(b'{"text": "' + b"x" * 100_000 + b'"}')
    rows = [Row(id=str(uuid7()), type="a", source="/a", occurred_at=timezone.now(), data=data) for _ in range(60)]
    operations.store(project.pk, rows)
    tails = [a_tail(project, place=start, is_live=is_live) for _ in range(20)]
    for each in tails:
        each.held = held

    tracemalloc.start()
    look(*tails)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held.size <= 500_000 + looks.READ + 100_000
    assert peak < 3 * looks.READ
    if is_live:
        found, dropped = read(tails[0])
        assert len(found) + dropped == 60
        assert found
        assert tails[-1].dropped == 60
    else:
        assert [each.place == start for each in tails] == [False] + [True] * 19


def test_who_reads_is_shown_what_comes_however_much_waits_for_others(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "HELD", 8_000)
    held = tail.Held()
    tails = [a_tail(project, place=arrivals.now()) for _ in range(5)]
    for each in tails:
        each.held = held
    prompt = tails.pop()

    for _ in range(10):
        sent = stored(project, *"abc")
        look(*tails, prompt)
        assert read(prompt) == (sent, 0)
        prompt.let_go()

    assert held.size < 8_000
    assert any(each.dropped for each in tails)


def test_what_is_gone_is_counted_by_those_that_followed_before_it(project: Project) -> None:
    early = a_tail(project, place=arrivals.now(), is_live=False)
    gone = stored(project, *"ab")
    late = a_tail(project, place=arrivals.now(), is_live=False)
    stored(project, "c")
    Event.objects.filter(id__in=gone).delete()

    look(early, late)

    assert [read(each)[1] for each in (early, late)] == [2, 0]


def test_a_place_with_a_number_that_no_arrival_has_is_read_as_little_as_others(project: Project) -> None:
    start = arrivals.now()
    sent = [event_id for _ in range(30) for event_id in stored(project, "a", "b")]
    first, second, *_ = arrivals.since(project.pk, start, 2)

    for number, follow in ((0, sent[:3]), (1, sent[1:4]), (2, sent[2:5]), (999_999_999, sent[2:5])):
        place = first.place._replace(number=number)
        with CaptureQueriesContext(connection) as asked:
            assert [each.id for each in arrivals.since(project.pk, place, 3)] == follow
        with connection.cursor() as cursor:
            cursor.execute(asked[0]["sql"])
            assert len(cursor.fetchall()) <= 3
    assert arrivals.since(project.pk, Place(0, UUID(int=0), 999_999_999), 2) == [first, second]


def test_silence_says_what_was_left_out_before_the_place_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "HEARTBEAT", 0.001)
    follower = Tail(1, Criteria(), lambda: True, Place(1, UUID(int=0), 0), dropped=7)

    dropped, silence = asyncio.run(follower.read())

    assert json.loads(dropped.partition(b"data: ")[2]) == {"count": 7}
    assert silence.startswith(b":\n")
    assert follower.dropped == 0


def test_silence_is_filled_with_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "HEARTBEAT", 0.001)
    place = Place(1, UUID(int=0), 0)

    text = asyncio.run(Tail(1, Criteria(), lambda: True, place).read())

    assert text == [f":\nid: {place}\n\n".encode()]


def test_what_comes_as_the_silence_ends_is_written_before_the_place_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Tail(1, Criteria(), lambda: True, Place(1, UUID(int=0), 0))

    async def too_late(getting: Coroutine[Any, Any, Any], _seconds: float) -> None:
        getting.close()
        follower.write([b"data"])
        raise TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", too_late)

    assert asyncio.run(follower.read()) == [b"data"]


def test_what_holds_no_more_rights_is_ended(project: Project) -> None:
    place = arrivals.now()
    one, other = Tail(project.pk, Criteria(), lambda: False, place), a_tail(project, place=place)

    assert looks.ended([one, other]) == [one]
