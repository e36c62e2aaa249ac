"""An event as CloudEvents 1.0 JSON."""

from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from service.events.models import Event


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def represent(event: Event) -> dict[str, Any]:
    """Return ``event`` as it was sent, without absent attributes, plus ``recordedtime``.

    An event whose id is no UUIDv7 comes with its own ``id``, and with the one to look it up by as ``recordedid``.
    """
    columns = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": event.source,
        "type": event.type,
        "subject": None if event.object_id is None else f"{event.sender}/{event.object_id}",
        "time": rfc3339(event.occurred_at),
        "sender": event.sender,
        "action": event.action,
        "actor": event.actor,
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "emitterid": None if event.emitter_id is None else str(event.emitter_id),
        "sequence": None if event.sequence is None else str(event.sequence),
        "outcome": event.outcome,
        "recordedtime": rfc3339(event.received_at),
        "data": event.data,
    }
    present = {name: value for name, value in columns.items() if value is not None}
    extensions = event.extensions or {}
    recorded = {"recordedid": str(event.id)} if "id" in extensions else {}
    return present | extensions | recorded


def text(help_text: str, **options: Any) -> serializers.CharField:
    return serializers.CharField(help_text=help_text, **options)


class EventSerializer(serializers.Serializer[Event]):
    """The attributes of an event. Any other CloudEvents extension is kept and returned too."""

    specversion = text("Always `1.0`.")
    id = text("A UUIDv7 minted when the signal fired; any other id needs a `time`. Sent again, it is a duplicate.")
    source = text("The client system and component, e.g. `/shop/web`.")  # type: ignore[assignment]  # DRF pops fields
    type = text("The signal's dotted path, e.g. `django.db.models.signals.post_save`.")
    subject = text("The object: `sender`, a slash, its primary key.", required=False)
    time = serializers.DateTimeField(help_text="When the signal fired. Within 24 h of a UUIDv7's.", required=False)
    sender = text("Model label or dotted path of the sender.", required=False)
    action = text("`created`, `updated`, `deleted`, …", required=False)
    actor = text("Who did it, e.g. `auth.User/7`.", required=False)
    correlationid = text("The request, task or command it happened in.", required=False)
    causationid = text("The id of the event that caused it.", required=False)
    traceparent = text("W3C trace context.", required=False)
    emitterid = serializers.UUIDField(help_text="One boot of a client process.", required=False)
    sequence = text("The emitter's counter, as a string: a gap is a loss.", required=False)
    outcome = serializers.ChoiceField(
        ["committed", "rolledback", "autocommit"], help_text="What became of its transaction.", required=False
    )
    data = serializers.JSONField(  # type: ignore[assignment]  # DRF pops fields
        help_text="What the signal carried. Any JSON.", required=False
    )
    recordedtime = serializers.DateTimeField(help_text="When the service received it.", read_only=True)
    recordedid = serializers.UUIDField(
        help_text="The id to look the event up by, when its own is no UUIDv7.", read_only=True, required=False
    )

    def to_representation(self, instance: Event) -> dict[str, Any]:
        return represent(instance)
