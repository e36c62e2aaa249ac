"""Stretches of time, and the intervals that a histogram divides them into. All in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
# How far back a histogram goes that isn't told since when, in its intervals.
BACK: Final = {"minute": 60, "hour": 24, "day": 30, "week": 12, "month": 12}


@dataclass(frozen=True, slots=True)
class Span:
    """The moments from ``since`` on and before ``until``."""

    since: datetime
    until: datetime

    def __bool__(self) -> bool:
        return self.since < self.until

    @property
    def days(self) -> Self:
        """Return what of it is whole days. Like `hours`, it may end before it begins, and then there is nothing."""
        return type(self)(ceiling(self.since, "day"), floor(self.until, "day"))

    @property
    def hours(self) -> Self:
        return type(self)(ceiling(self.since, "hour"), floor(self.until, "hour"))

    def outside(self, inner: "Span") -> list["Span"]:
        """Return what of it is before and after ``inner``, a part of it; all of it when that is nothing."""
        ends = [Span(self.since, inner.since), Span(inner.until, self.until)] if inner else [self]
        return [end for end in ends if end]


def floor(moment: datetime, interval: str) -> datetime:
    """Return when the minute, hour, day, week or month of ``moment`` begins; a week does on Monday."""
    moment = moment.astimezone(UTC).replace(second=0, microsecond=0)
    match interval:
        case "minute":
            return moment
        case "hour":
            return moment.replace(minute=0)
        case "day":
            return moment.replace(minute=0, hour=0)
        case "week":
            return moment.replace(minute=0, hour=0) - DAY * moment.weekday()
    return moment.replace(minute=0, hour=0, day=1)


def following(start: datetime, interval: str) -> datetime:
    """Return when the next interval begins."""
    if interval == "month":
        return floor(start + 31 * DAY, "month")
    return start + timedelta(**{f"{interval}s": 1})


def ceiling(moment: datetime, interval: str) -> datetime:
    start = floor(moment, interval)
    return start if start == moment else following(start, interval)


def back(moment: datetime, interval: str, times: int) -> datetime:
    """Return when the interval begins that is ``times`` before that of ``moment``."""
    start = floor(moment, interval)
    if interval == "month":
        months = start.year * 12 + start.month - 1 - times
        return start.replace(year=months // 12, month=months % 12 + 1)
    return start - times * timedelta(**{f"{interval}s": 1})


def starts(span: Span, interval: str, limit: int) -> list[datetime]:
    """Return when each interval begins that has a moment in ``span``: one more than ``limit`` at the most."""
    found = [floor(span.since, interval)]
    while (start := following(found[-1], interval)) < span.until and len(found) <= limit:
        found.append(start)
    return found
