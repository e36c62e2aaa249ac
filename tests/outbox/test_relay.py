"""A relay sends each row until the service has decided about its event, and never forgets one."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import msgspec
import pytest
from django.db import connections, transaction
from django.db.backends.signals import connection_created
from django.db.models import F, signals
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from emitter import frames, leases, receivers, relay
from emitter.event import Event, Refusal, Result
from emitter.exceptions import PermanentError, TemporaryError
from emitter.guard import guarded
from emitter.models import DeadLetter, Waiting
from emitter.relay import Relay
from emitter.retry import Retry
from emitter.transport import HttpTransport
from tests.live import eventually
from tests.outbox import ask
from tests.outbox.conftest import Service
from tests.outbox.store.models import Item
from tests.outbox.store.signals import sold
from tests.outbox.test_transactions import create
from tests.sending import service as http

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Events = Callable[[], list[Event]]
Make = Callable[..., Relay]


@pytest.fixture
def ids(using: str, waiting: Events) -> list[str]:
    """Put ten events into the outbox and return their ids."""
    with transaction.atomic(using=using):
        for number in range(10):
            create(using, str(number))
    return [str(event.id) for event in waiting()]


def later(using: str, seconds: float) -> None:
    """Have the database's clock be ``seconds`` further, as far as rows are concerned."""
    Waiting.objects.using(using).update(available_at=F("available_at") - timedelta(seconds=seconds))


def test_it_sends_all_in_order_and_leaves_nothing(
    make: Make, service: Service, ids: list[str], waiting: Events
) -> None:
    assert make(batch_size=4).drain()

    assert list(service.events) == ids
    assert service.batches == [4, 4, 2]
    assert waiting() == []


def test_what_arrives_is_what_was_told(using: str, make: Make, service: Service) -> None:
    item = create(using, "one")
    sold.send(None, using=using, text="ü 🌻")

    make().drain()

    first, second = service.events.values()
    assert (first.sender, first.action, first.outcome) == ("store.Item", "created", "autocommit")
    assert (first.subject, msgspec.json.decode(first.data)["fields"]["name"]) == (f"store.Item/{item.pk}", "one")
    assert msgspec.json.decode(second.data)["text"] == "ü 🌻"


def test_no_transaction_is_open_while_it_sends(using: str, make: Make, service: Service, ids: list[str]) -> None:
    open_ones: list[bool] = []
    service.before = lambda _: open_ones.append(connections[using].in_atomic_block or not connections[using].autocommit)

    make().drain()

    assert open_ones == [False]


def test_a_failure_keeps_the_rows_for_another_time(
    using: str, make: Make, service: Service, ids: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: Any) -> None:
        raise TemporaryError("nobody there", retry_after=30)

    service.before = away
    one = make()

    assert not one.drain()

    assert one.pause >= 30
    rows = Waiting.objects.using(using)
    assert set(rows.values_list("attempts", "lease")) == {(1, None)}
    assert one.step() == 0, "not before their time"
    later(using, 61)
    service.before = lambda _: None
    assert one.drain()
    assert list(service.events) == ids
    assert "nobody there" in caplog.text


def test_a_wrong_key_loses_nothing_and_is_tried_again_slowly(
    using: str, make: Make, service: Service, ids: list[str], waiting: Events
) -> None:
    def refuse(_: Any) -> None:
        raise PermanentError("answered 401", status=401)

    service.before = refuse
    one = make()

    assert not one.drain()

    assert one.pause >= relay.SLOWLY
    assert len(waiting()) == 10
    assert not DeadLetter.objects.using(using).exists()


def test_a_fault_of_ours_loses_nothing(make: Make, service: Service, ids: list[str], waiting: Events) -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError

    service.before = fail

    assert not make().drain()

    assert len(waiting()) == 10


def test_what_is_refused_becomes_a_dead_letter_with_its_reason(
    using: str, make: Make, service: Service, ids: list[str], waiting: Events
) -> None:
    for number in (2, 7):
        service.refused[ids[number]] = Refusal(id=ids[number].upper(), code="too_old", detail="by a year")

    assert make().drain()

    assert waiting() == []
    assert set(service.events) == set(ids) - {ids[2], ids[7]}
    letters = DeadLetter.objects.using(using).order_by("pk")
    assert [(each.code, each.detail, ids.index(json.loads(each.event)["id"])) for each in letters] == [
        ("too_old", "by a year", 2),
        ("too_old", "by a year", 7),
    ]


def test_a_refusal_without_an_id_is_found_by_halves(
    using: str, make: Make, service: Service, ids: list[str], waiting: Events
) -> None:
    service.refused[ids[3]] = Refusal(id=None, code="invalid")

    assert make().drain()

    assert waiting() == []
    assert set(service.events) == set(ids) - {ids[3]}
    assert ids[3] in DeadLetter.objects.using(using).get().event


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_event_that_the_service_chokes_on_holds_up_no_other(
    using: str, make: Make, service: Service, ids: list[str], status: int
) -> None:
    def choke(events: Sequence[Event]) -> None:
        if ids[5] in {str(event.id) for event in events}:
            raise PermanentError("answered", status=status, detail="too deep")

    service.before = choke

    assert make().drain()

    assert set(service.events) == set(ids) - {ids[5]}
    letter = DeadLetter.objects.using(using).get()
    assert (letter.code, letter.detail) == (f"status_{status}", "too deep")
    assert ids[5] in letter.event


def test_a_row_that_holds_no_event_holds_up_no_other(using: str, make: Make, service: Service, ids: list[str]) -> None:
    Waiting.objects.using(using).create(event="no JSON", attempts=0)

    assert make().drain()

    assert list(service.events) == ids
    assert DeadLetter.objects.using(using).get().code == "unreadable"


def test_an_answer_that_does_not_add_up_decides_nothing(make: Make, ids: list[str], waiting: Events) -> None:
    one = make()
    one._transport = Vague()

    assert not one.drain()

    assert len(waiting()) == 10


class Vague:
    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result:
        return Result(accepted=0, duplicates=0, rejected=0)


def test_two_relays_never_have_the_same_row(using: str, ids: list[str]) -> None:
    first = leases.claim(using, 4, 60)
    second = leases.claim(using, 100, 60)
    third = leases.claim(using, 100, 60)

    assert [len(each.events) for each in (first, second, third)] == [4, 6, 0]
    assert first.events.keys().isdisjoint(second.events.keys())


def test_two_relays_at_once_take_turns_without_waiting(using: str, ids: list[str]) -> None:
    """One holds its rows locked, its transaction open, while the other claims."""
    features = connections[using].features
    if not features.has_select_for_update_skip_locked:
        pytest.skip("SQLite has one that writes at a time, and it waits for the other")
    with transaction.atomic(using=using):
        first = leases.claim(using, 4, 60)
        with leases.connected(using):
            second = leases.claim(using, 100, 60)

    assert (len(first.events), len(second.events)) == (4, 6)


def test_many_relays_at_once_send_each_event_once(using: str, service: Service) -> None:
    with transaction.atomic(using=using):
        for number in range(300):
            create(using, str(number))

    with running(*(Relay(using, service, batch_size=7, interval=0.01, poll=0.01) for _ in range(4))):
        eventually(lambda: not Waiting.objects.using(using).exists())

    assert len(service.events) == sum(service.batches) == 300


def test_the_rows_of_a_relay_that_died_are_sent_by_another(
    using: str, make: Make, service: Service, ids: list[str], waiting: Events
) -> None:
    leases.claim(using, 100, 60)  # and then it died

    assert make().step() == 0
    later(using, 61)
    assert make().drain()

    assert list(service.events) == ids
    assert waiting() == []


def test_a_relay_that_died_between_sending_and_deleting_sends_twice_what_is_stored_once(
    using: str, make: Make, service: Service, ids: list[str], waiting: Events
) -> None:
    with patch.object(leases, "settle", die), pytest.raises(SystemExit):
        make().drain()
    later(using, 61)

    assert make().drain()

    assert sum(service.batches) == 20
    assert list(service.events) == ids
    assert waiting() == []


@contextmanager
def running(*relays: Relay) -> Iterator[None]:
    threads = [threading.Thread(target=each.run, daemon=True) for each in relays]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for each in relays:
            each.stop()
        for thread in threads:
            thread.join(10)


def die(*_: Any) -> Any:
    raise SystemExit


def test_a_lease_that_ends_while_sending_leaves_the_decision_to_who_has_it_then(
    using: str, service: Service, ids: list[str], waiting: Events, caplog: pytest.LogCaptureFixture
) -> None:
    others: list[leases.Claim] = []

    def slow(_: Any) -> None:
        later(using, 61)
        others.append(leases.claim(using, 100, 60))

    service.before = slow
    service.refused[ids[0]] = Refusal(id=ids[0], code="too_old")

    Relay(using, service).drain()

    assert len(waiting()) == 10, "the other's to delete"
    assert not DeadLetter.objects.using(using).exists()
    assert "HELIOGRAPH_OUTBOX_LEASE" in caplog.text
    assert leases.settle(others[0], {}) == 0
    assert waiting() == []


def test_a_late_relay_gives_nothing_back_that_another_has(using: str, ids: list[str]) -> None:
    first = leases.claim(using, 100, 60)
    later(using, 61)
    second = leases.claim(using, 100, 60)

    leases.give_back(first, 0)

    assert set(Waiting.objects.using(using).values_list("lease", flat=True)) == {second.token}


def test_the_clock_of_the_host_does_not_count(using: str, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    monkeypatch.setattr("django.utils.timezone.now", lambda: pytest.fail("the host was asked"))
    leases.claim(using, 100, 60)

    assert leases.claim(using, 100, 60).events == {}
    ends = Waiting.objects.using(using).filter(available_at__gt=Now() + timedelta(seconds=50))
    assert ends.filter(available_at__lt=Now() + timedelta(seconds=61)).count() == 10


def test_a_claim_takes_the_primary_key_and_passes_over_what_others_have(using: str) -> None:
    if using != "default":
        pytest.skip("the plan is Postgres's")
    with connections[using].cursor() as cursor:
        cursor.execute("INSERT INTO heliograph_outbox (event) SELECT '{}' FROM generate_series(1, 20000)")
        cursor.execute("ANALYZE heliograph_outbox")
    leases.claim(using, 500, 60)

    with transaction.atomic(), CaptureQueriesContext(connections[using]) as captured:
        list(leases.available(using)[:500])
    with connections[using].cursor() as cursor:
        cursor.execute(f"EXPLAIN {captured[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "heliograph_outbox_pkey" in plan
    assert "Sort" not in plan


def test_it_runs_until_it_is_stopped_and_finishes_its_batch(make: Make, service: Service, ids: list[str]) -> None:
    one = make(batch_size=4, poll=60)
    service.before = lambda _: one.stop()

    one.run()

    assert service.batches == [4]


def test_it_outlives_a_database_that_is_away(
    make: Make, service: Service, ids: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = leases.claim
    failures = iter(range(3))

    def claim(*args: Any, **options: Any) -> Any:
        if next(failures, None) is not None:
            raise ConnectionError("the database is away")
        return original(*args, **options)

    monkeypatch.setattr(leases, "claim", claim)

    with running(make(retry=Retry(base=0.001))):
        eventually(lambda: len(service.events) == 10)

    assert "the database is away" in caplog.text


def test_flushing_waits_until_all_has_been_sent(make: Make, using: str, service: Service) -> None:
    one = make(poll=60, interval=60)
    with running(one):
        assert one.flush(10)
        create(using, "one")

        assert one.flush(10)

        assert len(service.events) == 1


def test_a_flush_in_vain_says_so(make: Make, service: Service, ids: list[str]) -> None:
    def away(_: Any) -> None:
        raise TemporaryError("nobody there")

    service.before = away
    one = make(poll=60, retry=Retry(base=60))

    with running(one):
        assert not one.flush(0.3)
        eventually(lambda: service.batches)

        assert len(service.batches) <= 2, "and hammers on nobody"


def test_its_own_work_is_no_event(make: Make, service: Service, ids: list[str], memory: Events) -> None:
    frames.trace(connection_created, "test", guarded(receivers.custom("connection_created")))
    try:
        make().drain()
    finally:
        connection_created.__dict__[frames.TRACED].pop("test")

    assert list(service.events) == ids
    assert ask.events("default") == []
    assert memory() == []


def test_signals_of_all_models_are_not_sent_for_rows(using: str, make: Make, ids: list[str]) -> None:
    heard: list[Any] = []

    def listener(sender: Any, **_: Any) -> None:
        heard.append(sender)

    names = ("pre_init", "post_init", "pre_save", "post_save", "pre_delete", "post_delete")
    for name in names:
        getattr(signals, name).connect(listener)
    try:
        make().drain()
        Item.objects.using(using).first()
    finally:
        for name in names:
            getattr(signals, name).disconnect(listener)

    assert set(heard) == {Item}


def test_a_foreign_token_decides_nothing(using: str, ids: list[str], waiting: Events) -> None:
    events = dict(Waiting.objects.using(using).values_list("pk", "event"))

    assert leases.settle(leases.Claim(using=using, token=uuid4(), events=events), {}) == 10

    assert len(waiting()) == 10


def test_what_another_gave_back_is_not_left_for_later_by_who_drains(
    make: Make, service: Service, ids: list[str]
) -> None:
    def refuse(_: Any) -> None:
        raise PermanentError("answered 401", status=401)

    service.before = refuse
    assert not make().drain()
    assert not make().drain(), "it could still not be sent"
    service.before = lambda _: None

    assert make().drain()

    assert list(service.events) == ids


def test_what_cannot_be_written_is_found_without_sending_the_others_again(
    make: Make, service: Service, ids: list[str], using: str
) -> None:
    def send(events: Sequence[Event], **_: Any) -> Result:
        service.batches.append(len(events))
        return Result(accepted=len(events) - 1, duplicates=0, rejected=0, unencodable=1, unencodable_at=(3,))

    service.send = send  # type: ignore[method-assign]

    assert make().drain()

    assert service.batches == [10]
    (letter,) = DeadLetter.objects.using(using)
    assert (letter.code, json.loads(letter.event)["id"]) == ("unencodable", ids[3])


def test_an_answer_that_does_not_add_up_is_asked_for_again(make: Make, using: str, ids: list[str]) -> None:
    """The service took them all the while; only a third such answer makes dead letters, which can be sent again."""
    nonsense = {"accepted": 3, "duplicates": 0, "rejected": 0, "errors": []}
    with http.running(http.Service()) as server:
        one = Relay(using, HttpTransport(server.url, http.KEY))
        server.answers = [(200, {}, nonsense), (200, {}, nonsense), (200, {}, http.STORED)]
        for _ in range(2):
            assert not one.drain()
        assert not DeadLetter.objects.using(using).exists()
        assert one.drain()
        assert not DeadLetter.objects.using(using).exists()
        assert not Waiting.objects.using(using).exists()


def test_what_is_never_accounted_for_becomes_dead_letters(make: Make, using: str, ids: list[str]) -> None:
    with http.running(http.Service()) as server:
        server.answer(200, {"accepted": 3, "duplicates": 0, "rejected": 0, "errors": []})
        one = Relay(using, HttpTransport(server.url, http.KEY))

        assert [one.drain() for _ in range(3)] == [False, False, True]

    assert set(DeadLetter.objects.using(using).values_list("code", flat=True)) == {"unaccounted"}


def test_one_that_is_too_large_is_a_dead_letter_and_the_others_go_on(using: str, ids: list[str]) -> None:
    large = json.dumps({**json.loads(Waiting.objects.using(using).first().event), "data": {"text": "x" * 300_000}})  # type: ignore[union-attr]
    Waiting.objects.using(using).create(event=large.replace(ids[0], str(uuid4())))
    with http.running(http.Service()) as server:
        server.answer(200, http.STORED)

        assert Relay(using, HttpTransport(server.url, http.KEY)).drain()

        assert [len(batch) for batch in server.batches()] == [10]
    assert [letter.code for letter in DeadLetter.objects.using(using)] == ["too_large"]
