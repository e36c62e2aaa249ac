"""What waits in memory: its order, its bounds, and what goes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emitter.backlog import OVERHEAD, Backlog, classify, size_of
from tests.sending.cast import an_event

MUCH = 10**9
KINDS = {"low": 0, "normal": 1, "high": 2}


def backlog(longest=MUCH, largest=MUCH):
    return Backlog(longest, largest, KINDS.__getitem__)


def filled(*kinds, **bounds):
    found = backlog(**bounds)
    answers = [found.put(an_event(number, kind)) for number, kind in enumerate(kinds, 1)]
    return found, answers


def numbers(events):
    return [int(event.sequence) for event in events]


def test_events_leave_in_their_order_whatever_their_class():
    found, _ = filled("high", "low", "normal", "low", "high")

    assert numbers(found.take(3, MUCH)) == [1, 2, 3]
    assert found.first == 4
    assert numbers(found.take(9, MUCH)) == [4, 5]
    assert (found.length, found.size, found.first) == (0, 0, None)


@pytest.mark.parametrize(
    ("waiting", "new", "answer", "left"),
    [
        (["normal", "normal"], "normal", 1, [2, 3]),  # the oldest of its own class
        (["high", "low"], "normal", 1, [1, 3]),  # a lower one first
        (["high", "normal"], "low", -1, [1, 2]),  # never a higher one
        (["high", "high"], "high", 1, [2, 3]),
        (["low", "low"], "high", 1, [2, 3]),
    ],
)
def test_a_full_backlog_drops_the_oldest_of_the_lowest_class(waiting, new, answer, left):
    found, answers = filled(*waiting, new, longest=2)

    assert answers == [0, 0, answer]
    assert numbers(found.take(9, MUCH)) == left


def test_bytes_are_bounded_too():
    found = backlog(largest=3 * OVERHEAD + 1000)
    for number in (1, 2, 3):
        assert found.put(an_event(number, "normal")) == 0

    assert found.put(an_event(4, "normal", data="x" * (OVERHEAD + 500))) == 2
    assert numbers(found.take(9, MUCH)) == [3, 4]


def test_one_that_can_not_fit_drops_no_other():
    found, _ = filled("low", "high", largest=3 * OVERHEAD)

    assert found.put(an_event(3, "normal", data="x" * 3 * OVERHEAD)) == -1
    assert numbers(found.take(9, MUCH)) == [1, 2]


def test_a_batch_is_bounded_by_bytes_but_has_one_at_least():
    found, _ = filled("normal", "normal", "normal")

    assert numbers(found.take(9, 2 * OVERHEAD)) == [1, 2]
    assert numbers(found.take(9, 1)) == [3]


def test_what_is_put_back_is_first_again_and_within_bounds():
    found, _ = filled("low", "high", "normal", longest=3)
    events = found.take(2, MUCH)
    found.put(an_event(4, "normal"))

    assert found.put_back(events) == 1
    assert numbers(found.take(9, MUCH)) == [2, 3, 4]


steps = st.lists(st.tuples(st.sampled_from(["low", "normal", "high", "take"]), st.integers(0, 4)), max_size=60)


@given(steps=steps, longest=st.integers(1, 8), largest=st.integers(1, 8))
def test_bounds_hold_and_every_event_is_accounted_for(steps, longest, largest):
    found = backlog(longest, largest * OVERHEAD)
    put = taken = dropped = 0
    last = 0
    for kind, size in steps:
        if kind == "take":
            left = numbers(found.take(size, MUCH))
            assert left == sorted(left)
            assert not left or left[0] > last
            last = left[-1] if left else last
            taken += len(left)
        else:
            put += 1
            dropped += abs(found.put(an_event(put, kind, data="x" * (size * OVERHEAD))))
        assert found.length <= longest
        assert found.size <= largest * OVERHEAD
    rest = found.take(MUCH, MUCH)
    assert put == taken + dropped + len(rest)
    assert (found.length, found.size, found._sizes) == (0, 0, [0, 0, 0])


def test_sizes_are_of_data():
    assert size_of(an_event(data="x" * 100)) == OVERHEAD + 102


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("django.contrib.auth.signals.user_login_failed", "high"),
        ("django.db.models.signals.post_delete", "high"),
        ("heliograph.delete", "high"),
        ("heliograph.raw_delete", "high"),
        ("django.core.signals.request_started", "low"),
        ("django.core.signals.request_finished", "low"),
        ("django.db.models.signals.post_save", "normal"),
        ("shop.signals.order_paid", "high"),
        ("shop.signals.seen", "low"),
    ],
)
def test_the_class_of_a_type_is_that_of_the_first_pattern(kind, name):
    assert classify({"*.seen": "low", "shop.signals.*": "high"})(kind) == KINDS[name]


def test_the_projects_patterns_come_before_ours():
    assert classify({"*": "normal"})("django.core.signals.request_started") == KINDS["normal"]
