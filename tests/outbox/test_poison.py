"""An event that the service fails on holds up no other, is never given up, and makes no storm of an outage."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.db import connections, transaction

from emitter import leases, outbox, relay
from emitter.event import Event
from emitter.exceptions import TemporaryError
from emitter.models import DeadLetter, Waiting
from emitter.relay import Relay
from emitter.retry import Retry
from emitter.transport import HttpTransport
from tests.live import eventually
from tests.outbox.conftest import Service
from tests.outbox.test_relay import later, running
from tests.outbox.test_transactions import create
from tests.sending import service as http

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Events = Callable[[], list[Event]]
Make = Callable[..., Relay]

NUMBER = 40
QUICK = Retry(base=0.001, cap=0.01)
ALWAYS_500 = TemporaryError("answered 500", status=500)


class Slow(Retry):
    """Waits always the same."""

    def delay(self, attempt: int, retry_after: float | None = None, random: Any = None) -> float:
        return 3600.0 + (retry_after or 0.0)


class Failing:
    """A service that fails on what is bad, with all that came in the same request, and counts what it took."""

    def __init__(self, service: Service) -> None:
        self.bad: set[str] = set()
        self.error: Exception = ALWAYS_500
        self.taken: Counter[str] = Counter()
        self.failed: list[list[str]] = []
        service.before = self.receive

    def receive(self, events: Sequence[Event]) -> None:
        ids = [str(event.id) for event in events]
        if self.bad & set(ids):
            self.failed.append(ids)
            raise self.error
        self.taken.update(ids)


@pytest.fixture
def failing(service: Service) -> Failing:
    return Failing(service)


@pytest.fixture
def ids(using: str, waiting: Events) -> list[str]:
    with transaction.atomic(using=using):
        for number in range(NUMBER):
            create(using, str(number))
    return [str(event.id) for event in waiting()]


def in_wait(using: str) -> set[str]:
    return {json.loads(text)["id"] for text in Waiting.objects.using(using).values_list("event", flat=True)}


@pytest.mark.parametrize("bad", [[0], [39], [0, 1, 2, 3, 20, 39]], ids=str)
def test_all_others_arrive_once_and_the_bad_ones_when_the_service_is_mended(
    make: Make, using: str, ids: list[str], failing: Failing, bad: list[int]
) -> None:
    failing.bad = {ids[place] for place in bad}

    with running(*(make(batch_size=16, retry=QUICK) for _ in range(min(2, len(bad))))):
        eventually(lambda: in_wait(using) == failing.bad)
        assert failing.taken == Counter(set(ids) - failing.bad)
        assert min(Waiting.objects.using(using).values_list("attempts", flat=True)) > 0
        failing.bad = set()
        eventually(lambda: not in_wait(using))

    assert failing.taken == Counter(ids)
    assert not DeadLetter.objects.using(using).exists()


def test_over_a_real_connection_that_is_reset_or_answers_500(using: str, ids: list[str]) -> None:
    bad, stored = ids[3], Counter[str]()
    resets = iter([True, False] * 1_000)

    def answer(request: Any) -> None:
        events = [event["id"] for event in json.loads(server.requests[-1].body)]
        if bad not in events:
            stored.update(events)
            counts = {"accepted": len(events), "duplicates": 0, "rejected": 0, "errors": []}
            request.answer(200, {}, counts)
        elif next(resets):
            http.reset_connection(request)
        else:
            request.answer(500, {}, http.problem("Fault", ""))

    with http.running(http.Service()) as server:
        server.answers = [answer]
        one = Relay(using, HttpTransport(server.url, http.KEY), batch_size=16, interval=0.01, poll=0.01, retry=QUICK)
        with running(one):
            eventually(lambda: in_wait(using) == {bad})

    assert stored == Counter(set(ids) - {bad})


def test_new_events_do_not_wait_for_what_the_service_fails_on(
    make: Make, using: str, service: Service, failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    create(using, "bad")
    failing.bad = in_wait(using)
    Waiting.objects.using(using).update(attempts=20)
    with running(make(retry=Slow())):
        eventually(lambda: failing.failed)
        for number in range(3):
            create(using, str(number))
            eventually(lambda number=number: len(failing.taken) == number + 1)  # type: ignore[misc]

    assert len(failing.failed) == 1
    assert "takes others" in caplog.text


def test_what_fails_most_goes_last(make: Make, using: str, ids: list[str], failing: Failing) -> None:
    """Else a few that always fail, and are the oldest, would keep those that only came along from their turn."""
    rows = Waiting.objects.using(using).order_by("pk")
    rows.update(attempts=1)
    rows.filter(pk__in=list(rows.values_list("pk", flat=True)[:5])).update(attempts=9)
    failing.bad = set(ids[:5])

    one = make(batch_size=16)
    while one.step():
        pass

    assert failing.taken == Counter(ids[5:])
    assert failing.failed == [ids[:1]]


@pytest.mark.parametrize("after", [30, 0])
def test_a_service_that_names_a_time_is_left_alone_until_then(
    make: Make, using: str, ids: list[str], failing: Failing, after: int
) -> None:
    Waiting.objects.using(using).update(attempts=1)
    failing.bad, failing.error = set(ids), TemporaryError("answered 429", retry_after=after, status=429)
    one = make(retry=Slow())
    assert not one.step()

    create(using, "one")

    assert not one.step()
    assert (len(failing.failed), len(failing.taken)) == (1, 0)
    assert one.pause >= 3600 + after


def test_each_round_of_cron_gets_further(make: Make, using: str, ids: list[str], failing: Failing) -> None:
    failing.bad = {ids[0], ids[1], ids[20]}

    rounds = 0
    while in_wait(using) != failing.bad:
        rounds += 1
        assert not make(batch_size=16).drain()
        assert len(failing.failed) == rounds, "it ends with the first failure"
        assert rounds < 30

    assert failing.taken == Counter(set(ids) - failing.bad)
    failing.bad = set()
    assert make(batch_size=16).drain()


def test_a_flush_tells_that_something_still_waits(make: Make, using: str, ids: list[str], failing: Failing) -> None:
    failing.bad = {ids[5]}
    one = make(batch_size=16, retry=QUICK)

    with running(one):
        assert not one.flush(0.5)
        eventually(lambda: in_wait(using) == failing.bad)
        failing.bad = set()
        assert one.flush(10)

    assert failing.taken == Counter(ids)


class Clock:
    """A host's clock that a test turns, and the database's with it as far as rows are concerned."""

    def __init__(self, using: str) -> None:
        self.now, self._using = 1_000.0, using

    def monotonic(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += seconds
        later(self._using, seconds)


@pytest.fixture
def clock(using: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock(using)
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def write(using: str, like: str, number: int) -> None:
    known = json.loads(like)["id"]
    outbox.insert(connections[using], [like.replace(known, str(uuid4())) for _ in range(number)])


def test_an_outage_makes_no_storm_and_its_end_brings_full_batches(
    make: Make, using: str, service: Service, failing: Failing, clock: Clock
) -> None:
    """A quarter of an hour in which events are written each second, and none is taken."""
    create(using, "one")
    like = Waiting.objects.using(using).get().event

    def away(_: Any) -> None:
        raise ALWAYS_500

    service.before, one = away, make(batch_size=64)
    for _ in range(900):
        write(using, like, 2)
        one.step()
        clock.turn(1)
    tries = len(service.batches)
    number = len(in_wait(using))
    service.before, service.batches = failing.receive, []
    while in_wait(using):
        if not one.step():
            clock.turn(1)
        assert clock.now < 1_000 + 900 + 90, "it found the service within a minute"

    assert tries < 150, "of 900 events, and about one in thirty seconds"
    assert len(service.batches) <= number / 64 + 30
    assert 64 in service.batches[:4]
    assert len(failing.taken) == failing.taken.total() == number


def test_a_relay_asks_only_now_and_then_for_what_others_gave_back(
    make: Make, using: str, ids: list[str], failing: Failing, clock: Clock
) -> None:
    one = make(batch_size=4)
    with patch.object(leases, "claim", wraps=leases.claim) as claim:
        while one.step():
            pass
    asked = [call.kwargs["is_retry"] for call in claim.call_args_list]
    assert (sum(asked), len(asked)) == (1, NUMBER / 4 + 2)

    create(using, "one")
    Waiting.objects.using(using).update(attempts=1)
    one.step()
    assert len(failing.taken) == NUMBER
    clock.turn(relay.POLL + 1)
    one.step()
    assert len(failing.taken) == NUMBER + 1


def test_as_many_at_once_as_were_never_tried_and_half_as_many_after_each(using: str, ids: list[str]) -> None:
    rows = Waiting.objects.using(using).order_by("pk")
    keys = list(rows.values_list("pk", flat=True))
    for place, attempts in enumerate([3, 2, 1, 1, 9, 200]):
        rows.filter(pk=keys[place]).update(attempts=attempts)

    claims = [leases.claim(using, 8, 60, is_retry=True) for _ in range(5)]

    assert [[keys.index(key) for key in each.events] for each in claims] == [[2, 3], [1], [0], [4], [5]]
    assert [keys.index(key) for key in leases.claim(using, 8, 60).events] == list(range(6, 14))
