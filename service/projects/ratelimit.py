"""How many requests a key, or a person, may make in a minute, over all processes.

The minutes are Postgres', where each has one row, a person by the negative id: how much of this minute's quota is
handed out. A process leases a hundredth of the quota at a time, so that it asks seldom, and never are more requests let
through than the quota has. A process that few ask may end the minute with some of its last lease unused.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse

from service.api.problems import Problem
from service.projects.models import Key

WINDOW = 60  # seconds
SHARES = 100  # leases of which a quota consists
NOTED = "heliograph.allowance"

# `granted` is what the last lease got. The clock is Postgres', for all processes on all machines; a statement that
# waited for another across the turn of a minute doesn't turn it back.
LEASE = """
    WITH clock AS MATERIALIZED (SELECT extract(epoch FROM clock_timestamp()) AS now),
    this_window AS (
        SELECT floor(now / %(window)s)::bigint AS number, (%(window)s - mod(now, %(window)s))::float8 AS seconds_left
        FROM clock
    )
    INSERT INTO rate_window AS kept (key_id, number, taken, granted)
    SELECT %(key)s, number, least(%(share)s, %(quota)s), least(%(share)s, %(quota)s) FROM this_window
    ON CONFLICT (key_id) DO UPDATE SET
        number = greatest(kept.number, excluded.number),
        taken = CASE WHEN kept.number >= excluded.number
            THEN greatest(kept.taken, least(kept.taken + %(share)s, %(quota)s)) ELSE excluded.taken END,
        granted = CASE WHEN kept.number >= excluded.number
            THEN greatest(0, least(%(share)s, %(quota)s - kept.taken)) ELSE excluded.granted END
    RETURNING granted, taken, (SELECT seconds_left FROM this_window)
"""


class RateLimited(Problem):
    status_code = 429
    title = "The requests of this minute are used up"


@dataclass(slots=True, kw_only=True)
class Lease:
    """What a process may still let through of ``quota`` requests, until ``end`` of the monotonic clock."""

    quota: int
    end: float
    unused: int
    left_to_others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a request is told: it was let through or not, ``remaining`` more may follow in ``seconds`` seconds."""

    is_granted: bool
    quota: int
    remaining: int
    seconds: int

    def headers(self) -> dict[str, str]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"key";q={self.quota};w={WINDOW}',
            "RateLimit": f'"key";r={self.remaining};t={self.seconds}',
        }


_leases: dict[int, Lease] = {}
_lock = threading.Lock()


def allow(key_id: int, quota: int) -> Allowance:
    """Count a request of a key.

    Runs a statement for each lease, of which all processes together get a hundred a minute at most, and one more when
    it finds the quota used up.
    """
    while (told := allow_at_once(key_id, quota)) is None:
        fresh = take_lease(key_id, quota)
        with _lock:
            _leases[key_id] = joined(_leases.get(key_id), fresh)
    return told


def allow_at_once(key_id: int, quota: int) -> Allowance | None:
    """Count a request of a key without asking Postgres; where a lease is to be taken, return None and count nothing."""
    with _lock:
        lease = _leases.get(key_id)
        if lease is None or lease.quota != quota or (seconds := lease.end - time.monotonic()) <= 0:
            return None
        if lease.unused:
            lease.unused -= 1
            return allowance(lease, seconds, is_granted=True)
        return None if lease.left_to_others else allowance(lease, seconds, is_granted=False)


def allowance(lease: Lease, seconds: float, *, is_granted: bool) -> Allowance:
    return Allowance(
        is_granted=is_granted,
        quota=lease.quota,
        remaining=lease.unused + lease.left_to_others,
        seconds=int(seconds) + 1,
    )


def take_lease(key_id: int, quota: int) -> Lease:
    begun = time.monotonic()  # before Postgres looks at its clock, so that the lease ends no later than the minute
    with connection.cursor() as cursor:
        share = math.ceil(quota / SHARES)
        cursor.execute(LEASE, {"key": key_id, "quota": quota, "share": share, "window": WINDOW})
        granted, taken, seconds_left = cursor.fetchone()
    return Lease(quota=quota, end=begun + seconds_left, unused=granted, left_to_others=max(0, quota - taken))


def joined(lease: Lease | None, fresh: Lease) -> Lease:
    """Return ``fresh`` with what another thread leased meanwhile of the same window."""
    if lease is not None and lease.quota == fresh.quota and abs(lease.end - fresh.end) < WINDOW / 2:
        fresh.unused += lease.unused
        fresh.end = min(lease.end, fresh.end)
        fresh.left_to_others = min(lease.left_to_others, fresh.left_to_others)
    return fresh


def quota_of(key: Key) -> int:
    """Return how many requests a minute ``key`` may make; 0 means: any number."""
    return settings.RATE_LIMIT if key.rate_limit is None else key.rate_limit


def count(request: HttpRequest, key: Key) -> None:
    """Count ``request``, and note what its answer tells of it. Raises `RateLimited` for a key beyond its quota."""
    count_of(request, key.pk, quota_of(key), f"The key {key.prefix}…")


def count_user(request: HttpRequest, user_id: int) -> None:
    """Count the request of a person, in whichever project. Raises `RateLimited`."""
    count_of(request, -user_id, settings.RATE_LIMIT, "A person")


def count_of(request: HttpRequest, row: int, quota: int, who: str) -> None:
    if not quota:
        return
    told = allow(row, quota)
    request.META[NOTED] = told
    if not told.is_granted:
        raise RateLimited(
            "rate_limited",
            f"{who} may make {quota} requests a minute. Send it again in {told.seconds} s.",
            headers={"Retry-After": str(told.seconds)},
        )


class RateLimitMiddleware:
    """Tell what a key may still do, on the answer to each request that was counted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        told = request.META.get(NOTED)
        if told is not None:
            for name, value in told.headers().items():
                response[name] = value
        return response
