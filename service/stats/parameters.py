"""What a statistic is asked for with: the filters on events, of which the time is a span, and parameters of its own."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from service.api.parameters import BadParameter
from service.events import grammar
from service.events.conditions import Before, Condition, Criteria, Is, IsOneOf, Not, Since, StartsWith, bounded
from service.stats import spans
from service.stats.spans import Span

BUCKETS = 1_000  # at the most; a month of hours is 744
VALUES = 100  # at the most
LISTED = 10  # values, unless told otherwise


@dataclass(frozen=True, slots=True)
class Asked:
    """What filters ask for, the bounds of the time apart from the rest."""

    since: datetime | None
    until: datetime | None
    rest: Criteria

    @classmethod
    def read(cls, parameters: QueryDict, besides: Collection[str]) -> Self:
        criteria = grammar.criteria_of(parameters, besides)
        rest = tuple(each for each in criteria.conditions if not isinstance(each, Since | Before))
        return cls(criteria.since, criteria.until, Criteria(rest))

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(map(column_of, self.rest.conditions))

    def span(self, interval: str, now: datetime) -> Span:
        """Return the time asked for; unless told, it ends with this interval, and begins `BACK` intervals before."""
        until = bounded(self.until or spans.following(spans.floor(now, interval), interval))
        since = bounded(self.since or spans.back(until, interval, spans.BACK[interval]))
        if since >= until:
            raise BadParameter("time__lt", f"time__lt ({until:%FT%TZ}) must be after time__gte ({since:%FT%TZ}).")
        return Span(since.astimezone(UTC), until.astimezone(UTC))


def column_of(condition: Condition) -> str:
    """Return what a condition is about: a column, or ``other`` for what isn't one that is counted by."""
    match condition:
        case Is(column=column) | IsOneOf(column=column) | StartsWith(column=column):
            return column
        case Not(condition=denied):
            return column_of(denied)
    return "other"


def starts(span: Span, interval: str) -> list[datetime]:
    found = spans.starts(span, interval, BUCKETS)
    if len(found) > BUCKETS:
        raise BadParameter(
            "interval", f"These are more than {BUCKETS} buckets. Take a longer interval, or bring the bounds closer."
        )
    return found


def choice(name: str, description: str, known: Collection[str], default: str | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, enum=list(known), default=default)


LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": VALUES},
    description="How many values to tell.",
    default=LISTED,
)
