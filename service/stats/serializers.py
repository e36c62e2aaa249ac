"""Statistics as JSON."""

from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from service.events.serializers import rfc3339
from service.stats.models import Signal
from service.stats.queries import Group, Top
from service.stats.spans import Span


def histogram(span: Span, interval: str, by: str | None, starts: list[datetime], groups: list[Group]) -> dict[str, Any]:
    """Lay ``groups``, of which the last is of all events, out over the buckets that begin at ``starts``."""
    seconds = [int(start.timestamp()) for start in starts]
    *told, whole = [[group.counts.get(start, 0) for start in seconds] for group in groups]
    others = [count - sum(shown) for count, *shown in zip(whole, *told, strict=True)]
    return {
        "interval": interval,
        **bounds(span),
        "count": sum(whole),
        "times": [whole_seconds(start) for start in starts],
        "counts": whole,
        "group_by": by,
        "groups": [
            {"value": group.value, "count": sum(counts), "counts": counts}
            for group, counts in zip(groups, told, strict=False)
        ],
        "others": {"count": sum(others), "counts": others} if by else None,
    }


def top(span: Span, by: str, found: Top) -> dict[str, Any]:
    return {
        "by": by,
        **bounds(span),
        "count": found.count,
        "values": found.values,
        "results": [
            {"value": value, "count": count, "share": round(count / found.count, 6)} for value, count in found.found
        ],
    }


def bounds(span: Span) -> dict[str, str]:
    return {"time__gte": rfc3339(span.since), "time__lt": rfc3339(span.until)}


def whole_seconds(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def text(help_text: str, **options: Any) -> serializers.CharField:
    return serializers.CharField(help_text=help_text, **options)


def number(help_text: str) -> serializers.IntegerField:
    return serializers.IntegerField(help_text=help_text, min_value=0)


def numbers(help_text: str) -> serializers.ListField:
    return serializers.ListField(child=serializers.IntegerField(min_value=0), help_text=help_text)


class OthersSerializer(serializers.Serializer[Any]):
    count = number("How many events have none of the values listed.")
    counts = numbers("The same of each bucket.")


class GroupSerializer(serializers.Serializer[Any]):
    value = text("Null for the events that have none.", allow_null=True)
    count = number("How many events have it.")
    counts = numbers("The same of each bucket.")


class HistogramSerializer(serializers.Serializer[Any]):
    """How many events occurred in each bucket of time."""

    interval = text("What one bucket lasts.")
    time__gte = serializers.DateTimeField(help_text="The first moment that is counted.")
    time__lt = serializers.DateTimeField(help_text="The moment from which on nothing is.")
    count = number("How many events there are in all buckets.")
    times = serializers.ListField(
        child=serializers.DateTimeField(),
        help_text="When each bucket begins, in UTC; the first may begin before `time__gte`, which cuts it off.",
    )
    counts = numbers("How many events occurred in each bucket; 0 in those without.")
    group_by = text("As it was asked for.", allow_null=True)
    groups = GroupSerializer(many=True, help_text="The most frequent values, the most frequent first.")
    others = OthersSerializer(allow_null=True, help_text="All other values together; null without `group_by`.")


class ValueSerializer(serializers.Serializer[Any]):
    value = text("Null for the events that have none.", allow_null=True)
    count = number("How many events have it.")
    share = serializers.FloatField(help_text="The same as a share of all events counted, 0 to 1.")


class TopSerializer(serializers.Serializer[Any]):
    """The most frequent values, the most frequent first."""

    by = text("As it was asked for.")
    time__gte = serializers.DateTimeField(help_text="The first moment that is counted.")
    time__lt = serializers.DateTimeField(help_text="The moment from which on nothing is.")
    count = number("How many events there are, with whatever value.")
    values = number("How many different values they have.")
    results = ValueSerializer(many=True)


class SignalSerializer(serializers.Serializer[Signal]):
    """A type of event and its sender: what the project tells of."""

    type = text("The signal's dotted path.")
    sender = text("Null for the events that have none.", allow_null=True)
    count = number("How many events are stored.")
    first_seen = serializers.DateTimeField(help_text="The earliest `time` of one.")
    last_seen = serializers.DateTimeField(help_text="The latest `time` of one.")
    last_hour = serializers.SerializerMethodField(help_text="How many occurred in the hour before the request.")
    last_day = serializers.SerializerMethodField(help_text="How many occurred in the 24 hours before the request.")

    def get_last_hour(self, signal: Signal) -> int:
        return self.rate(signal, "hour")

    def get_last_day(self, signal: Signal) -> int:
        return self.rate(signal, "day")

    def rate(self, signal: Signal, period: str) -> int:
        count: int = self.context[period].get((signal.type, signal.sender), 0)
        return count
