"""Count events: by what was counted as they came where that can tell, by the events themselves where it can't.

Each answer is one statement, so that an event is in one of its parts, and in none twice, whatever is written or folded
meanwhile. Every part of it is of one project.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from django.db import connection
from django.db.models import DateTimeField, F, Q, QuerySet, Value
from django.db.models.expressions import Combinable

from service.events import queries as events
from service.events import ranges
from service.events.conditions import Criteria
from service.events.models import Delta, Event
from service.stats.dimensions import ALL, SIGNAL, By, Truncated, grouping_of, rolled
from service.stats.models import Count, Series, Signal
from service.stats.spans import Span

# What is asked for most first; equal ones in the order of their bytes, as no locale has it.
TOP = """
    SELECT value, sum(events)::bigint AS events, (sum(sum(events)) OVER ())::bigint, count(*) OVER ()
    FROM ({counted}) AS counted (bucket, value, events)
    GROUP BY value
    HAVING sum(events) > 0
    ORDER BY events DESC, value COLLATE "C"
    LIMIT %s
"""
# The same with the buckets of each value; then, as the last row, those of all values together.
BUCKETS = """
    WITH summed AS MATERIALIZED (
        SELECT extract(epoch FROM bucket)::bigint AS bucket, value, sum(events)::bigint AS events
        FROM ({counted}) AS counted (bucket, value, events)
        GROUP BY 1, 2
        HAVING sum(events) > 0
    ), whole AS (
        SELECT bucket, sum(events)::bigint AS events FROM summed GROUP BY bucket
    )
    (
        SELECT value, array_agg(bucket), array_agg(events)
        FROM summed
        GROUP BY value
        ORDER BY sum(events) DESC, value COLLATE "C"
        LIMIT %s
    )
    UNION ALL
    SELECT NULL, array_agg(bucket), array_agg(events) FROM whole
"""


EVERYTHING = Q()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which events to count, told apart by what, and in which buckets of time.

    ``columns`` are those that ``condition`` is about, which says nothing of the time. No ``interval`` is one bucket.
    """

    project_id: int
    span: Span
    condition: Q = EVERYTHING
    columns: frozenset[str] = frozenset()
    by: By = ALL
    interval: str | None = None

    @property
    def grouping(self) -> tuple[str, ...] | None:
        return grouping_of(self.columns | self.by.columns)


@dataclass(frozen=True, slots=True)
class Top:
    """The most frequent values, and of all of them: how many events, how many values."""

    found: list[tuple[str | None, int]]
    count: int
    values: int


class Group(NamedTuple):
    """How many events have ``value``, by when their bucket begins, in seconds since 1970; none is 0."""

    value: str | None
    counts: dict[int, int]


def top(question: Question, limit: int | None) -> Top:
    rows = run(TOP, question, limit)
    _, _, count, values = rows[0] if rows else (None, 0, 0, 0)
    return Top([(value, events) for value, events, _, _ in rows], count, values)


def histogram(question: Question, limit: int) -> list[Group]:
    """Return the ``limit`` most frequent values, and after them the group of all events."""
    rows = run(BUCKETS, question, limit)
    return [Group(value, dict(zip(buckets or (), events or (), strict=True))) for value, buckets, events in rows]


def signals(project_id: int, criteria: Criteria) -> QuerySet[Signal]:
    return Signal.objects.filter(criteria.q(), project_id=project_id)


def rates(project_id: int, span: Span) -> dict[tuple[str, str | None], int]:
    """Return how many events of each type and sender occurred in a span of time."""
    question = Question(project_id=project_id, span=span, by=SIGNAL)
    return {tuple(msgspec.json.decode(value or "")): events for value, events in top(question, None).found}


def run(statement: str, question: Question, limit: int | None) -> list[tuple[Any, ...]]:
    sql, parameters = counted(question).query.sql_with_params()
    with events.bounded(), connection.cursor() as cursor:
        cursor.execute(statement.format(counted=sql), [*parameters, limit])
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def counted(question: Question) -> QuerySet[Any, Any]:
    """Return rows of bucket, value and how many events; several may have the same bucket and value."""
    first, *others = parts(question)
    return first.union(*others, all=True) if others else first


def parts(question: Question) -> list[QuerySet[Any, Any]]:
    whole, by_hour, by_day = question.span, question.span.hours, question.span.days
    if question.grouping is None or question.interval == "minute" or not by_hour:
        return of_events(question, whole)
    if question.interval == "hour" or not by_day:
        by_day = Span(by_hour.until, by_hour.until)
    return [
        *(of_counts(question, 24, each) for each in [by_day] if each),
        *(of_counts(question, 1, each) for each in by_hour.outside(by_day)),
        of_deltas(question, by_hour),
        *chain.from_iterable(of_events(question, each) for each in whole.outside(by_hour)),
    ]


def of_counts(question: Question, length: int, span: Span) -> QuerySet[Any, Any]:
    of_grouping = Q(project_id=question.project_id, rolled=rolled(question.grouping or ()))
    rows = Count.objects.filter(of_grouping, hours=length, moment__gte=span.since, moment__lt=span.until)
    if question.columns:
        series = Series.objects.filter(question.condition, of_grouping)
        rows = rows.filter(series_id__in=series.values("id"))
    return told(question, rows, "moment", F("count"), "series__")


def of_deltas(question: Question, span: Span) -> QuerySet[Any, Any]:
    rows = Delta.objects.filter(
        question.condition, project_id=question.project_id, hour__gte=span.since, hour__lt=span.until
    )
    return told(question, rows, "hour", F("count"))


def of_events(question: Question, span: Span) -> list[QuerySet[Any, Any]]:
    rows = Event.objects.filter(question.condition, project_id=question.project_id)
    rows = rows.filter(occurred_at__gte=span.since, occurred_at__lt=span.until)
    parts = ranges.within(span.since, span.until)
    return [told(question, rows.filter(part), "occurred_at", Value(1)) for part in parts]


def told(
    question: Question, rows: QuerySet[Any], moment: str, events: Combinable, prefix: str = ""
) -> QuerySet[Any, Any]:
    bucket = Truncated(moment, question.interval) if question.interval else Value(None, DateTimeField())
    told: QuerySet[Any, Any] = rows.values_list(bucket, question.by.value(prefix), events)
    return told
