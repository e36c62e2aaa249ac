"""What one request may hold: as the service's `meta/` tells, less where a 413 taught so."""

import json
import random
import uuid

import pytest

from emitter.event import Limits, Refusal, Telemetry, encode
from emitter.exceptions import PermanentError, TemporaryError
from emitter.limits import HOUR, MINUTE
from emitter.transport import HttpTransport
from tests.sending.service import KEY, TAKEN, Service, an_event, problem, running

META = {"version": "1.0", "time": "2026-11-22T10:00:00Z", "limits": {}}
TOO_LARGE = (413, {}, problem("Too large", ""))


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def service():
    with running(Service()) as server:
        yield server


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(service, clock):
    """Return a function that makes a transport to a service whose `meta/` tells these limits."""

    def make(**limits):
        service.meta = (200, {}, {**META, "limits": limits})
        return HttpTransport(service.url, KEY, timeout=5, clock=clock)

    return make


def sizes(service):
    return [len(batch) for batch in service.batches()]


def noise(size):
    """Return text that gzip makes half as long at the best."""
    return random.randbytes(size // 2).hex()


def test_the_limits_are_asked_for_before_the_first_batch_over_the_same_connection(service, make):
    transport = make(events=3)

    transport.send([an_event(number) for number in range(10)])
    transport.send([an_event()])

    assert transport.limits == Limits(events=3)
    assert service.metas == 1
    assert sizes(service) == [2, 3, 2, 3, 1]
    assert len(service.connections) == 1


@pytest.mark.parametrize(
    "meta",
    [
        (404, {}, b""),
        (401, {}, b""),
        (500, {}, b""),
        (200, {}, b"<html>"),
        (200, {}, b""),
        (200, {}, {}),
        (200, {}, {"version": "1", "limits": {"events": 2}}),
        (200, {}, {**META, "limits": []}),
        (302, {"Location": "/elsewhere"}, b""),
    ],
)
def test_without_a_meta_the_limits_of_the_contract_hold_and_events_go(service, clock, meta):
    service.meta = meta
    transport = HttpTransport(service.url, KEY, clock=clock)

    result = transport.send([an_event(1), an_event(2), an_event(3)])

    assert result.accepted == 3
    assert transport.limits == Limits(events=1000, body=5242880, inflated=20971520, event=262144)
    assert sizes(service) == [3]


def test_a_meta_that_cannot_be_had_is_asked_for_again_after_a_minute(service, clock):
    transport = HttpTransport(service.url, KEY, clock=clock)
    for wait in (0, MINUTE - 1, 1, 1):
        clock.now += wait
        transport.send([an_event()])

    assert service.metas == 2


def test_the_limits_are_asked_for_again_after_about_an_hour(service, make, clock):
    transport = make(events=3)
    transport.send([an_event()])
    make(events=4)
    clock.now += HOUR * 0.89
    transport.send([an_event()])
    assert (service.metas, transport.limits.events) == (1, 3)

    clock.now += HOUR * 0.22
    transport.send([an_event()])

    assert (service.metas, transport.limits.events) == (2, 4)


def test_what_was_told_holds_while_the_service_does_not_tell(service, make, clock):
    transport = make(events=3)
    transport.send([an_event()])
    service.meta = (500, {}, b"")
    clock.now += 2 * HOUR

    transport.send([an_event()])

    assert service.metas == 2
    assert transport.limits.events == 3


def test_a_call_in_a_hurry_does_not_ask(service, make):
    transport = make(events=3)

    transport.send([an_event()], timeout=2)
    assert service.metas == 0

    transport.send([an_event()], timeout=60)
    assert service.metas == 1


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ({"events": 0}, {}),
        ({"events": -5}, {}),
        ({"events": True}, {}),
        ({"events": "7"}, {}),
        ({"events": None, "body": [], "inflated": {}, "event": 1.5}, {}),
        ({"unheard_of": 5}, {}),
        ({"events": 10**30}, {"events": 10_000}),
        ({"body": 1}, {"body": 65_536}),
        ({"inflated": 1}, {"inflated": 65_536}),
        ({"event": 1}, {"event": 16_384}),
        ({"body": 10**12, "inflated": 10**12}, {"body": 67_108_864, "inflated": 268_435_456}),
        ({"event": 300_000, "events": 1}, {"event": 300_000, "events": 1}),
    ],
)
def test_nonsense_is_bounded(make, told, taken):
    transport = make(**told)
    transport.send([an_event()])

    assert transport.limits == Limits(**taken)


def test_a_batch_that_would_exceed_the_wire_goes_in_parts_unasked(service, make):
    transport = make(body=65_536)

    result = transport.send([an_event(number, data={"a": noise(20_000)}) for number in range(16)])

    assert result.accepted == 16
    assert len(service.requests) > 1
    assert max(int(request.headers["Content-Length"]) for request in service.requests) <= 65_536


def test_a_batch_that_would_exceed_the_limit_inflated_goes_in_parts_unasked(service, make):
    transport = make(inflated=65_536)

    result = transport.send([an_event(number, data={"a": "x" * 20_000}) for number in range(16)])

    assert result.accepted == 16
    assert max(len(request.body) for request in service.requests) <= 65_536
    assert sizes(service) == [2] * 8


def test_an_event_over_the_limit_is_refused_here_with_its_size_and_the_others_go(service, make):
    transport = make(event=20_000)
    events = [an_event(1), an_event(2, data={"a": "x" * 20_000}), an_event(3, data={"a": object()}), an_event(4)]

    result = transport.send(events)

    (refusal,) = result.errors
    assert (refusal.index, refusal.id, refusal.code) == (1, str(uuid.UUID(int=2)), "too_large")
    assert refusal.detail == f"The event is {len(encode(events[1]))} bytes of JSON, and the service takes 20000."
    assert (result.accepted, result.rejected, result.unencodable_at) == (2, 1, (2,))
    assert service.batches() == [[str(uuid.UUID(int=1)), str(uuid.UUID(int=4))]]


def test_the_limit_of_an_event_is_that_of_its_bytes_and_inclusive(make):
    transport = make(event=20_000)
    room = 20_000 - len(encode(an_event(data="")))

    assert transport.send([an_event(data="é" * (room // 2) + "x" * (room % 2))]).rejected == 0
    assert transport.send([an_event(data="é" * (room // 2) + "x" * (room % 2 + 1))]).rejected == 1


def test_refusals_name_their_event_across_parts_and_those_left_out(service, make):
    transport = make(events=2, event=20_000)
    events = [an_event(number) for number in range(7)]
    events[0].data, events[3].data = {"a": object()}, {"a": "x" * 30_000}
    errors = [{"index": 1, "id": None, "code": "bad", "detail": "d"}]
    refused = (207, {}, {"accepted": 1, "duplicates": 0, "rejected": 1, "errors": errors})
    service.answers = [(200, {}, TAKEN), (200, {}, TAKEN), refused]

    result = transport.send(events)

    assert sizes(service) == [2, 1, 2]  # of 1, 2, 4, 5, 6
    assert [(refusal.index, refusal.id, refusal.code) for refusal in result.errors] == [
        (3, str(uuid.UUID(int=3)), "too_large"),
        (6, str(uuid.UUID(int=6)), "bad"),
    ]
    assert result.unencodable_at == (0,)
    assert (result.accepted, result.rejected, result.unencodable) == (4, 2, 1)


def test_an_id_says_better_than_an_index_which_event_was_refused(service, make):
    transport = make()
    errors = [{"index": 0, "id": str(uuid.UUID(int=3)), "code": "bad"}]
    service.answer(207, {"accepted": 2, "duplicates": 0, "rejected": 1, "errors": errors})

    result = transport.send([an_event(1), an_event(2), an_event(3)])

    assert result.errors == (Refusal(index=2, id=str(uuid.UUID(int=3)), code="bad"),)


def test_after_a_413_batches_stay_below_what_was_refused(service, make):
    transport = make()
    events = [an_event(number, data={"a": noise(2_000)}) for number in range(32)]
    service.answers = [TOO_LARGE, (200, {}, TAKEN)]
    assert transport.send(events).accepted == 32
    refused = int(service.requests[0].headers["Content-Length"])
    before = len(service.requests)

    assert transport.send(events).accepted == 32

    later = [int(request.headers["Content-Length"]) for request in service.requests[before:]]
    assert len(later) == 2
    assert max(later) < refused


def test_what_a_413_taught_is_forgotten_after_an_hour(service, make, clock):
    transport = make()
    events = [an_event(number, data={"a": noise(2_000)}) for number in range(32)]
    service.answers = [TOO_LARGE, (200, {}, TAKEN)]
    transport.send(events)
    assert transport.limits.body < Limits().body
    clock.now += HOUR

    transport.send(events)

    assert transport.limits == Limits()
    assert sizes(service)[-1] == 32


def test_too_many_events_teach_their_number_and_not_their_bytes(service, make):
    transport = make()
    many = {**problem("Too large", ""), "code": "too_many_events"}
    service.answers = [(413, {}, many), (200, {}, TAKEN)]

    transport.send([an_event(number) for number in range(10)])

    assert transport.limits == Limits(events=9)


def test_after_a_413_the_limits_are_asked_for_again(service, make, clock):
    transport = make()
    service.answers = [TOO_LARGE, (200, {}, TAKEN)]
    transport.send([an_event(1), an_event(2)])
    make(events=1)
    clock.now += MINUTE

    transport.send([an_event(1), an_event(2)])

    assert service.metas == 2
    assert transport.limits.events == 1


def test_one_event_found_too_large_teaches_nothing(service, make):
    transport = make()
    service.answers = [TOO_LARGE, (200, {}, TAKEN)]

    result = transport.send([an_event(data={"a": noise(50_000)})])

    assert [refusal.code for refusal in result.errors] == ["too_large"]
    assert transport.limits == Limits()


def test_a_part_that_arrived_is_not_sent_again(service, make):
    transport = make(events=2)
    errors = [{"index": 0, "id": None, "code": "bad"}]
    refused = (207, {}, {"accepted": 1, "duplicates": 0, "rejected": 1, "errors": errors})
    service.answers = [refused, (503, {}, b""), (200, {}, TAKEN)]
    events = [an_event(number) for number in range(4)]
    with pytest.raises(TemporaryError):
        transport.send(events)

    result = transport.send(events)

    assert sizes(service) == [2, 2, 2]
    assert (result.accepted, result.duplicates, result.rejected) == (2, 1, 1)
    assert [(refusal.index, refusal.code) for refusal in result.errors] == [(0, "bad")]


@pytest.mark.parametrize("answers", [[200, 401], [401, 200]])
def test_a_part_that_is_not_taken_does_not_take_the_others_with_it(service, make, answers):
    transport = make(events=2)
    service.answers = [(status, {}, TAKEN if status == 200 else problem("No", "")) for status in answers]

    result = transport.send([an_event(number) for number in range(4)])

    assert (result.accepted, result.rejected) == (2, 2)
    assert {refusal.code for refusal in result.errors} == {"http_401"}
    assert [refusal.index for refusal in result.errors] == ([2, 3] if answers[0] == 200 else [0, 1])


def test_parts_that_are_all_not_taken_fail_as_one(service, make):
    transport = make(events=2)
    service.answer(401, problem("No", ""))

    with pytest.raises(PermanentError) as caught:
        transport.send([an_event(number) for number in range(4)])

    assert caught.value.status == 401


LIES = [
    {"accepted": 3, "duplicates": 0, "rejected": 0},
    {"accepted": 1, "duplicates": 0, "rejected": 0},
    {"accepted": 3, "duplicates": -1, "rejected": 0},
    {"accepted": 0, "duplicates": 0, "rejected": 2, "errors": []},
    {"accepted": 1, "duplicates": 0, "rejected": 1, "errors": [{"index": 7, "id": None, "code": "bad"}]},
    {"accepted": 1, "duplicates": 0, "rejected": 1, "errors": [{"index": -1, "id": "x", "code": "bad"}]},
    {"accepted": 0, "duplicates": 0, "rejected": 2, "errors": [{"index": 1, "code": "a"}, {"index": 1, "code": "b"}]},
    {"accepted": 2, "duplicates": 0, "rejected": 1, "errors": [{"index": 1, "code": "a"}]},
]


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_does_not_add_up_is_not_believed_and_not_asked_for_ever(service, make, lie):
    transport = make()
    events = [an_event(1), an_event(2)]
    service.answer(207, lie)
    for _ in range(2):
        with pytest.raises(TemporaryError, match="add up"):
            transport.send(events)

    result = transport.send(events)

    assert (result.accepted, result.duplicates, result.rejected) == (0, 0, 2)
    assert [(refusal.index, refusal.code) for refusal in result.errors] == [(0, "unaccounted"), (1, "unaccounted")]

    with pytest.raises(TemporaryError):
        transport.send(events)


def test_doubts_end_with_an_answer_that_adds_up(service, make):
    transport = make()
    lie, truth = (200, {}, LIES[0]), (200, {}, TAKEN)
    service.answers = [lie, lie, truth, lie, lie, truth]

    for outcome in (False, False, True, False, False, True):
        if outcome:
            assert transport.send([an_event()]).accepted == 1
        else:
            with pytest.raises(TemporaryError):
                transport.send([an_event()])


def test_a_part_that_adds_up_does_not_keep_the_other_in_doubt_for_ever(service, make):
    transport = make(events=1)
    lie, truth = (200, {}, LIES[0]), (200, {}, TAKEN)
    service.answers = [truth, lie, lie, lie, truth]
    for _ in range(2):
        with pytest.raises(TemporaryError):
            transport.send([an_event(1), an_event(2)])

    result = transport.send([an_event(1), an_event(2)])

    assert (result.duplicates, result.rejected) == (1, 1)


def a_report(**attributes):
    told = {
        "emitterid": uuid.UUID(int=5),
        "source": "/shop/web",
        "started": "2026-11-22T10:00:00Z",
        "time": "2026-11-22T10:01:00Z",
        "versions": {"emitter": "0.1.0"},
        "host": "web-1",
        "pid": 123,
        "delivery": "memory",
        "captured": 1234,
        "lost": {"queue_full": 3},
    }
    return Telemetry(**{**told, **attributes})


def test_telemetry_is_posted_as_the_contract_says(service, make):
    service.answer(204)

    make().report(a_report())

    (request,) = service.requests
    assert (request.command, request.path) == ("POST", "/api/v1/telemetry/")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert json.loads(request.body) == {
        "emitterid": str(uuid.UUID(int=5)),
        "source": "/shop/web",
        "started": "2026-11-22T10:00:00Z",
        "time": "2026-11-22T10:01:00Z",
        "versions": {"emitter": "0.1.0"},
        "host": "web-1",
        "pid": 123,
        "delivery": "memory",
        "captured": 1234,
        "queued": 0,
        "spooled": 0,
        "lost": {"queue_full": 3},
        "unsent": {},
        "ended": False,
    }


@pytest.mark.parametrize(
    ("status", "error"), [(404, PermanentError), (401, PermanentError), (302, PermanentError), (503, TemporaryError)]
)
def test_telemetry_that_is_not_taken_is_told(service, make, status, error):
    service.answer(status)

    with pytest.raises(error, match=f"telemetry/ answered {status}"):
        make().report(a_report())


def test_telemetry_that_cannot_be_written_is_told(make):
    with pytest.raises(PermanentError):
        make().report(a_report(host="\ud800"))
