"""An emitter as JSON, and what one reports, for the schema; `reports.Report` is what is read."""

from typing import Any

from rest_framework import serializers

from service.api import limits
from service.events.serializers import rfc3339
from service.telemetry.models import Emitter


def represent(emitter: Any) -> dict[str, Any]:
    """Return an emitter that `queries` found."""
    return {
        "emitterid": str(emitter.id),
        "source": emitter.source,
        "versions": emitter.versions,
        "host": emitter.host,
        "pid": emitter.process_id,
        "delivery": emitter.delivery,
        "started": emitter.started_at and rfc3339(emitter.started_at),
        "first_seen": rfc3339(emitter.first_seen),
        "last_seen": rfc3339(emitter.last_seen),
        "ended": emitter.ended,
        "clock_skew": emitter.clock_skew,
        "captured": emitter.captured,
        "stored": emitter.stored,
        "queued": emitter.queued,
        "spooled": emitter.spooled,
        "lost": emitter.lost,
        "unsent": emitter.unsent,
        "missing": emitter.missing,
        "gaps": emitter.gaps,
    }


def count(help_text: str, **options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(help_text=help_text, min_value=0, max_value=limits.COUNT, **options)


def counters(help_text: str, **options: Any) -> serializers.DictField:
    child = serializers.IntegerField(min_value=0, max_value=limits.COUNT)
    return serializers.DictField(child=child, help_text=help_text, **options)


class ReportSerializer(serializers.Serializer[Any]):
    """What an emitter tells of itself. Counters only grow; members that aren't known are left aside."""

    emitterid = serializers.UUIDField(help_text="One boot of a client process.")
    source = serializers.CharField(  # type: ignore[assignment]  # DRF pops fields
        help_text="The client system and component, e.g. `/shop/web`.", max_length=255
    )
    started = serializers.DateTimeField(help_text="When the emitter began.")
    time = serializers.DateTimeField(help_text="The client's clock at sending.")
    versions = serializers.DictField(
        child=serializers.CharField(max_length=64), help_text="Of emitter, Python, Django and others.", required=False
    )
    host = serializers.CharField(max_length=255, required=False, allow_null=True)
    pid = serializers.IntegerField(min_value=0, max_value=limits.COUNT, required=False, allow_null=True)
    delivery = serializers.ChoiceField(["memory", "outbox"], required=False, allow_null=True)
    captured = count("The last sequence number given.")
    queued = count("How many of those are still in memory.", required=False)
    spooled = count("How many of those are still on the client's disk.", required=False)
    lost = counters("How many of those will never come, by reason.", required=False)
    unsent = counters("What was seen and never numbered, by reason.", required=False)
    ended = serializers.BooleanField(help_text="Whether nothing will be captured any more.", required=False)


class EmitterSerializer(serializers.Serializer[Emitter]):
    """One boot of a client process. What only a report tells is null, 0 or empty until there is one."""

    emitterid = serializers.UUIDField()
    source = serializers.CharField()  # type: ignore[assignment]  # DRF pops fields
    versions = serializers.DictField(child=serializers.CharField())
    host = serializers.CharField(allow_null=True)
    pid = serializers.IntegerField(allow_null=True)
    delivery = serializers.ChoiceField(["memory", "outbox"], allow_null=True)
    started = serializers.DateTimeField(allow_null=True, help_text="By the client's clock.")
    first_seen = serializers.DateTimeField(help_text="When the service first heard of it.")
    last_seen = serializers.DateTimeField(help_text="When it last reported, or had an event stored.")
    ended = serializers.BooleanField()
    clock_skew = serializers.FloatField(
        allow_null=True, help_text="Seconds by which the service's clock is ahead of the client's."
    )
    captured = count("The greatest sequence number that was reported or stored.")
    stored = count("How many numbers are stored.")
    queued = count("How many numbers are still in the client's memory.")
    spooled = count("How many numbers are still on the client's disk.")
    lost = counters("How many numbers will never come, by reason.")
    unsent = counters("What was seen and never numbered, by reason.")
    missing = count("`captured` less `stored`, `queued`, `spooled` and all that is `lost`: what nothing explains.")
    gaps = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        help_text="The numbers up to `captured` that aren't stored: the first 100 ranges, each with both of its ends.",
    )

    def to_representation(self, instance: Emitter) -> dict[str, Any]:
        return represent(instance)
