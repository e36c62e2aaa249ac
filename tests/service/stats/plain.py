"""Statistics by a plain Python model: a list of rows, and loops over it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.events.operations import Row

FORMATS = {"minute": "%Y-%m-%dT%H:%M:00Z", "hour": "%Y-%m-%dT%H:00:00Z", "day": "%Y-%m-%dT00:00:00Z"}


def bucket(moment: datetime, interval: str) -> str:
    if interval == "week":
        return f"{moment - timedelta(days=moment.weekday()):%Y-%m-%dT00:00:00Z}"
    return f"{moment:%Y-%m-01T00:00:00Z}" if interval == "month" else f"{moment:{FORMATS[interval]}}"


def value(row: Row, by: str) -> str | None:
    if by == "object":
        return None if row.object_id is None else f"{row.sender}/{row.object_id}"
    found: str | None = getattr(row, by)
    return found


def within(rows: Iterable[Row], since: datetime, until: datetime) -> list[Row]:
    return [row for row in rows if since <= row.occurred_at < until]


def buckets(since: datetime, until: datetime, interval: str) -> list[str]:
    """Return when each bucket begins, found by going through every minute."""
    first = since.replace(second=0, microsecond=0)
    minutes = range((until - first) // timedelta(minutes=1) + 1)
    moments = (first + timedelta(minutes=number) for number in minutes)
    return sorted({bucket(moment, interval) for moment in moments if moment < until})


def histogram(rows: Sequence[Row], times: Sequence[str], interval: str) -> list[int]:
    counted = Counter(bucket(row.occurred_at.astimezone(UTC), interval) for row in rows)
    assert counted.keys() <= set(times)
    return [counted[time] for time in times]


def ranked(rows: Sequence[Row], by: str) -> list[tuple[str | None, int]]:
    """Return each value with its count, the most frequent first, equal ones in the order of their bytes, null last."""
    counted = Counter(value(row, by) for row in rows)
    return sorted(counted.items(), key=lambda each: (-each[1], each[0] is None, (each[0] or "").encode()))


def told(answer: Any) -> Any:
    assert answer.status_code == 200, answer.content
    return answer.json()
