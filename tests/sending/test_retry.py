"""When a failed batch is sent again."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emitter.event import stamp
from emitter.limits import Allowance
from emitter.retry import RETRY, Retry, parse_retry_after

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

attempts = st.integers(min_value=0, max_value=100_000)
fractions = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_these_answers_are_tried_again(status):
    assert RETRY.retries(status)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 409, 413, 422, 499, 600])
def test_these_are_not(status):
    assert not RETRY.retries(status)


@pytest.mark.parametrize(("attempt", "longest"), [(0, 0.5), (1, 1), (2, 2), (6, 32), (7, 60), (5_000, 60)])
def test_the_longest_wait_doubles_up_to_the_cap(attempt, longest):
    assert RETRY.delay(attempt, random=lambda: 1.0) == longest
    assert RETRY.delay(attempt, random=lambda: 0.5) == longest / 2
    assert RETRY.delay(attempt, random=lambda: 0.0) == 0


@given(attempts, fractions)
def test_a_wait_is_within_its_bounds(attempt, fraction):
    assert 0 <= RETRY.delay(attempt, random=lambda: fraction) <= RETRY.cap


@given(attempts, fractions, st.floats(min_value=0, max_value=1e9))
def test_what_the_service_asks_for_is_the_least_within_a_bound(attempt, fraction, retry_after):
    delay = RETRY.delay(attempt, retry_after, random=lambda: fraction)

    assert min(retry_after, RETRY.longest_retry_after) <= delay <= RETRY.longest_retry_after + RETRY.cap


def test_emitters_told_the_same_second_return_spread_out():
    assert RETRY.delay(0, 10.0, random=lambda: 0.0) == 10
    assert RETRY.delay(0, 10.0, random=lambda: 0.5) == 10.25


def test_a_time_gone_by_is_no_wait():
    assert RETRY.delay(0, -5.0, random=lambda: 0.0) == 0


def test_the_randomness_is_real_unless_given():
    random.seed(1)

    assert len({RETRY.delay(3) for _ in range(5)}) == 5


def test_a_policy_cannot_be_changed():
    with pytest.raises(AttributeError):
        Retry().cap = 1.0  # type: ignore[misc]


def test_retry_after_in_seconds():
    assert parse_retry_after(" 120 ", NOW) == 120


def test_retry_after_as_a_date():
    date = format_datetime(NOW + timedelta(seconds=90), usegmt=True)

    assert parse_retry_after(date, NOW) == 90
    assert parse_retry_after("Sun, 22 Nov 2026 10:01:30 -0000", NOW) == 90
    assert parse_retry_after("Sun, 22 Nov 2026 09:00:00 GMT", NOW) == 0


YEAR = "Sun, 22 Nov 99999999999999999999 10:01:30 GMT"


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "1.5", "Sun, 99 Nov 2026 10:01:30 GMT", YEAR, "²", "\x00"])
def test_retry_after_that_cannot_be_read_is_none(value):
    assert parse_retry_after(value, NOW) is None


@given(st.text())
def test_no_header_makes_reading_it_fail(value):
    seconds = parse_retry_after(value, NOW)

    assert seconds is None or seconds >= 0


def test_the_projects_own_random_numbers_are_let_alone():
    """One that has seeded them gets the same ones with us as without us."""
    before = random.getstate()

    RETRY.delay(3)
    Allowance().told({})
    stamp()

    assert random.getstate() == before
