"""Events on the wire, and the ids and times they get."""

import json
import os
import re
import signal
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emitter import event as event_module
from emitter.event import EncodingErrors, Event, Result, encode, encode_batch, stamp, uuid7

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000  # nanoseconds

threads_and_forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def an_event(**attributes):
    moment = {"id": uuid.UUID(int=7), "time": "2026-11-22T10:00:00.000001Z", "source": "/shop/web", "type": "t"}
    return Event(**{**moment, **attributes})


def on_the_wire(*events):
    return json.loads(encode_batch(events))


def milliseconds(identity):
    return identity.int >> 80


@pytest.fixture
def mint(monkeypatch):
    """Return a function that mints at given nanoseconds, as a process does that has just begun."""
    fresh = event_module._Mint()

    def mint_at(nanoseconds):
        monkeypatch.setattr(event_module.time, "time_ns", lambda: nanoseconds)
        return fresh.stamp()

    return mint_at


@pytest.fixture
def restless_threads():
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_an_event_travels_as_cloudevents_1_0():
    event = an_event(
        subject="shop.Order/42",
        sender="shop.Order",
        action="created",
        actor="auth.User/7",
        correlationid="c",
        causationid=uuid.UUID(int=8),
        traceparent="00-a-b-01",
        emitterid=uuid.UUID(int=9),
        sequence="184",
        outcome="committed",
        data={"fields": {"total": 3}},
    )

    assert on_the_wire(event) == [
        {
            "specversion": "1.0",
            "id": "00000000-0000-0000-0000-000000000007",
            "source": "/shop/web",
            "type": "t",
            "subject": "shop.Order/42",
            "time": "2026-11-22T10:00:00.000001Z",
            "sender": "shop.Order",
            "action": "created",
            "actor": "auth.User/7",
            "correlationid": "c",
            "causationid": "00000000-0000-0000-0000-000000000008",
            "traceparent": "00-a-b-01",
            "emitterid": "00000000-0000-0000-0000-000000000009",
            "sequence": "184",
            "outcome": "committed",
            "data": {"fields": {"total": 3}},
        }
    ]


def test_what_is_none_does_not_travel():
    assert on_the_wire(an_event())[0].keys() == {"specversion", "id", "source", "type", "time"}


def test_an_event_can_be_read_back():
    event = an_event(sequence="1", data={"fields": {}})

    assert msgspec.json.decode(encode_batch([event]), type=list[Event]) == [event]


def test_what_cannot_be_encoded_is_told_by_one_of_these_errors():
    circle: dict[str, object] = {}
    circle["self"] = circle
    bad = [an_event(data=circle), an_event(data={"a": object()}), an_event(data={"a": "\ud800"})]

    for event in bad:
        with pytest.raises(EncodingErrors):
            encode(event)
        with pytest.raises(EncodingErrors):
            encode_batch([an_event(), event])


def test_an_event_alone_is_what_it_is_in_a_batch():
    events = [an_event(subject=f"shop.Order/{number}") for number in range(3)]

    assert b"[%b]" % b",".join(map(encode, events)) == encode_batch(events)


def test_results_add_up():
    one = Result(accepted=1, duplicates=2, rejected=3, unencodable=4, unencodable_at=(0,))

    assert one + one == Result(accepted=2, duplicates=4, rejected=6, unencodable=8, unencodable_at=(0, 0))


def test_uuid7_has_version_variant_and_the_time_of_now():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    identity = uuid7()
    after = datetime.now(UTC)

    assert identity.version == 7
    assert identity.variant == uuid.RFC_4122
    assert before <= EPOCH + timedelta(milliseconds=milliseconds(identity)) <= after


def test_ids_increase_strictly():
    identities = [uuid7() for _ in range(20_000)]

    assert identities == sorted(set(identities))


def test_ids_of_many_threads_are_distinct_and_increase_in_each(restless_threads):
    start = threading.Barrier(8)
    minted: list[list[uuid.UUID]] = []

    def work():
        start.wait()
        minted.append([uuid7() for _ in range(5_000)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(identities == sorted(identities) for identities in minted)
    ticks = [identity.int >> 64 for identities in minted for identity in identities]
    assert len(ticks) == len(set(ticks)) == 40_000


def test_a_thread_that_interrupts_another_gets_another_tick(monkeypatch):
    minted = []

    class Interrupted(event_module._Mint):
        last = 0

        @property
        def _last(self):
            value = self.last
            if not minted:
                minted.append(None)
                other.start()
                other.join(0.05)  # in vain while the lock is held
            return value

        @_last.setter
        def _last(self, value):
            self.last = value

    mint = Interrupted()
    monkeypatch.setattr(event_module.time, "time_ns", lambda: SECOND)
    other = threading.Thread(target=lambda: minted.append(mint.stamp()[0]))
    minted.append(mint.stamp()[0])
    other.join()

    _, one, another = minted
    assert one.int >> 64 != another.int >> 64


@given(
    start=st.integers(min_value=SECOND, max_value=2**40 * 1_000_000),
    steps=st.lists(st.integers(min_value=-3_000_000, max_value=3_000_000), max_size=50),
)
def test_any_clock_gives_increasing_ids_whose_time_agrees(start, steps):
    with pytest.MonkeyPatch.context() as patch:
        mint = event_module._Mint()
        stamps = []
        for offset in [0, *steps]:
            patch.setattr(event_module.time, "time_ns", lambda now=start + offset: now)
            stamps.append(mint.stamp())

    identities = [identity for identity, _ in stamps]
    assert identities == sorted(set(identities))
    assert [moment for _, moment in stamps] == sorted(moment for _, moment in stamps)
    for identity, moment in stamps:
        assert (identity.version, identity.variant) == (7, uuid.RFC_4122)
        assert (datetime.fromisoformat(moment) - EPOCH) // timedelta(milliseconds=1) == milliseconds(identity)


@given(st.integers(min_value=0, max_value=2**40 * 1_000_000))
def test_the_time_is_utc_with_microseconds_and_the_clocks_own(nanoseconds):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_module.time, "time_ns", lambda: nanoseconds)
        _, moment = event_module._Mint().stamp()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment)
    assert datetime.fromisoformat(moment) == EPOCH + timedelta(microseconds=nanoseconds // 1000)


def test_the_fraction_of_a_millisecond_is_in_the_id(mint):
    identity, _ = mint(SECOND + 500_000)

    assert milliseconds(identity) == 1000
    assert identity.int >> 64 & 0xFFF == 2048


def test_a_clock_that_steps_back_slightly_is_outlasted(mint):
    first, first_time = mint(100 * SECOND)
    second, second_time = mint(91 * SECOND)

    assert (first, first_time) < (second, second_time)
    assert milliseconds(second) == milliseconds(first)


def test_a_clock_that_steps_back_far_is_believed(mint):
    mint(100 * SECOND)
    identity, moment = mint(80 * SECOND)

    assert milliseconds(identity) == 80_000
    assert moment == "1970-01-01T00:01:20.000000Z"


def test_ids_can_be_minted_in_a_signal_handler_that_interrupts_minting(monkeypatch):
    mint = event_module._Mint()
    nested = []

    clock = event_module.time.time_ns

    def interrupted_clock():
        monkeypatch.setattr(event_module.time, "time_ns", clock)
        signal.raise_signal(signal.SIGUSR1)
        return clock()

    before = signal.signal(signal.SIGUSR1, lambda *_: nested.append(mint.stamp()))
    monkeypatch.setattr(event_module.time, "time_ns", interrupted_clock)
    minted = in_time(mint.stamp)
    signal.signal(signal.SIGUSR1, before)

    assert [minted] != nested
    assert len(nested) == 1


def in_time(function, seconds=10):
    """Call a function which might hang for ever; an alarm ends the test then."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("It hangs."))
    signal.alarm(seconds)
    try:
        return function()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ids_of_a_child(number):
    """Fork, mint in the child, and return the ids it wrote."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(10)  # a deadlock ends the child, and the read below with it
        try:
            os.write(writer, "\n".join(str(uuid7()) for _ in range(number)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        identities = [uuid.UUID(line) for line in pipe.read().split()]
    _, status = os.waitpid(child, 0)
    assert status == 0
    return identities


@threads_and_forks
def test_parent_and_child_share_no_random_bits():
    children = [ids_of_a_child(100) for _ in range(3)]
    parent = [uuid7() for _ in range(100)]

    bits = [identity.int & (1 << 62) - 1 for identities in (*children, parent) for identity in identities]
    assert len(bits) == len(set(bits)) == 400


@threads_and_forks
def test_a_child_forked_while_another_thread_mints_can_mint():
    held, release = threading.Event(), threading.Event()

    def hold():
        with event_module._mint._lock:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    identities = ids_of_a_child(1)
    release.set()
    thread.join()

    assert len(identities) == 1


def test_a_stamp_is_one_moment():
    identity, moment = stamp()

    assert (datetime.fromisoformat(moment) - EPOCH) // timedelta(milliseconds=1) == milliseconds(identity)
