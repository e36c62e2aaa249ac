"""What an answer means for a batch: done, parked, later, smaller."""

import pytest

from emitter.complaints import Complaints
from emitter.delivery import BREAKER, PROBE, STRIKES, Delivery
from emitter.event import Limits, Refusal
from emitter.exceptions import PermanentError, TemporaryError
from emitter.retry import Retry
from tests.sending.cast import Policy, an_event, taken

BROKEN = TemporaryError("answered 500", status=500)
AWAY = TemporaryError("answered 503", status=503)


@pytest.fixture
def make(service, clock):
    def make(retry=None):
        return Delivery(service, retry or Policy(), Complaints(clock), clock=clock)

    return make


def batch(number):
    return [an_event(each) for each in range(1, number + 1)]


def poisoned(*numbers):
    """Return an answer that fails on these events, and takes all others."""

    def answer(events):
        if any(int(event.sequence) in numbers for event in events):
            raise BROKEN
        return taken(events)

    return answer


def deliver(delivery, hand, tries):
    """Try until all is decided, with one more event where that is needed to compare; return the verdicts."""
    verdicts, company = [], [an_event(9_999)]
    for _ in range(tries):
        if not hand:
            break
        if verdict := delivery.attempt(hand):
            verdicts.append(verdict)
        if delivery.is_stuck(hand) and company:
            hand.append(company.pop())
    assert not hand, f"{len(hand)} events are not decided after {tries} tries"
    return verdicts


def lost(verdicts):
    return {reason: n for verdict in verdicts for reason, n in verdict.lost.items() if n}


def test_each_failure_is_followed_by_the_wait_that_the_policy_says(make, service, clock):
    policy = Policy(7.0)
    delivery, hand = make(policy), batch(3)
    service.answers = [AWAY, TemporaryError("busy", retry_after=90.0)]

    assert delivery.attempt(hand) is None
    assert delivery.waits == 7.0
    clock.now += 7.0
    assert delivery.waits == 0
    assert delivery.attempt(hand) is None

    assert policy.asked == [(0, None), (1, 90.0)]
    assert len(hand) == 3


def test_retry_after_is_honoured_within_its_bound(make, service, clock):
    delivery, hand = make(Retry(base=1.0, longest_retry_after=300.0)), batch(1)
    service.answers = [TemporaryError("busy", retry_after=120.0), TemporaryError("busy", retry_after=86_400.0)]

    delivery.attempt(hand)
    assert 120.0 <= delivery.waits <= 121.0
    delivery.attempt(hand)
    assert 300.0 <= delivery.waits <= 302.0


def test_success_ends_the_wait_and_closes_the_circuit(make, service):
    delivery = make(Policy(7.0))
    service.answers = [AWAY] * BREAKER
    for _ in range(BREAKER):
        assert not delivery.is_open
        delivery.attempt(batch(1))
    assert delivery.is_open

    delivery.attempt(batch(1))

    assert not delivery.is_open
    assert delivery.waits == 0


def test_an_open_circuit_sends_few_and_then_twice_as_many_each_time(make, service):
    delivery, hand = make(), batch(200)
    service.answers = [AWAY] * BREAKER

    deliver(delivery, hand, 20)

    assert [len(sent) for sent in service.batches] == [200] * BREAKER + [PROBE, 20, 40, 80, 50]
    assert service.arrived == list(range(1, 201))


def test_a_permanent_answer_closes_the_circuit_since_the_service_is_there(make, service):
    delivery = make()
    service.answers = [AWAY] * BREAKER + [PermanentError("answered 401", status=401)]

    for _ in range(BREAKER + 1):
        delivery.attempt(batch(1))

    assert not delivery.is_open


def test_no_request_is_larger_than_the_service_takes(make, service):
    service.limits = Limits(events=7)
    hand = batch(20)

    deliver(make(), hand, 10)

    assert [len(sent) for sent in service.batches] == [7, 7, 6]


@pytest.mark.parametrize("bad", [1, 2, 77, 499, 500])
def test_an_event_that_the_service_fails_on_is_found_and_parked(make, service, bad):
    service.always = poisoned(bad)
    hand = batch(500)

    verdicts = deliver(make(), hand, 100)

    assert lost(verdicts) == {"failed_permanently": 1}
    assert {*service.arrived, 9_999} == {*range(1, 501), 9_999} - {bad}
    (item,) = [item for verdict in verdicts for item in verdict.parked]
    assert (item.code, item.status) == ("failed", 500)
    assert f'"sequence":"{bad}"'.encode() in bytes(item.event)


def test_several_of_them_are_found(make, service):
    service.always = poisoned(3, 4, 60)
    hand = batch(100)

    verdicts = deliver(make(), hand, 300)

    assert sum(verdict.lost["failed_permanently"] for verdict in verdicts) == 3
    assert {*service.arrived, 9_999} == {*range(1, 101), 9_999} - {3, 4, 60}


def test_those_that_no_other_can_be_compared_with_wait_for_one(make, service):
    service.always = poisoned(1, 2)
    delivery, hand = make(), batch(2)
    for _ in range(100):
        assert delivery.attempt(hand) is None
    assert delivery.is_stuck(hand)

    hand.append(an_event(3))

    assert sum(verdict.lost["failed_permanently"] for verdict in deliver(delivery, hand, 100)) == 2
    assert 3 in service.arrived


def test_nothing_is_given_up_while_the_service_fails_on_everything(make, service):
    service.always = BROKEN
    delivery, hand = make(), batch(50)

    for _ in range(500):
        assert delivery.attempt(hand) is None
    assert len(hand) == 50
    service.always = None

    assert lost(deliver(delivery, hand, 20)) == {}
    assert sorted(service.arrived) == list(range(1, 51))


def test_nothing_is_given_up_while_the_service_is_away(make, service):
    service.always = AWAY
    delivery, hand = make(), batch(1)

    assert all(delivery.attempt(hand) is None for _ in range(100))
    assert not delivery.is_stuck(hand)


def test_a_service_that_fails_now_and_then_costs_nothing(make, service):
    delivery, hand = make(), batch(100)
    service.answers = [answer for _ in range(30) for answer in ([BROKEN] * (STRIKES - 1) + [taken])]

    assert lost(deliver(delivery, hand, 200)) == {}
    assert sorted(service.arrived) == list(range(1, 101))


def test_refused_items_are_parked_by_index_or_id(make, service):
    hand = batch(4)
    by_id = str(hand[2].id)
    service.answers = [
        lambda events: taken(
            events,
            rejected=3,
            errors=(
                Refusal(index=0, code="too_old", detail="why"),
                Refusal(id=by_id, code="bad"),
                Refusal(code="lost"),
            ),
        )
    ]

    (verdict,) = deliver(make(), hand, 1)

    assert lost([verdict]) == {"refused": 3}
    assert [(item.code, item.detail, f'"{by_id}"'.encode() in bytes(item.event)) for item in verdict.parked] == [
        ("too_old", "why", False),
        ("bad", "", True),
    ]


def test_the_last_try_is_of_all(make, service):
    delivery = make()
    service.answers = [AWAY] * BREAKER
    for _ in range(BREAKER):
        delivery.attempt(batch(1))

    delivery.attempt(hand := batch(100), timeout=1.5)

    assert hand == []
    assert service.timeouts[-1] == 1.5
    assert len(service.batches[-1]) == 100
