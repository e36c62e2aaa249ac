"""An erasure as JSON, and what asks for one, for the schema; `requests.Asked` is what is read."""

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from service.events.models import Erasure
from service.events.serializers import rfc3339


def represent(erasure: Erasure) -> dict[str, Any]:
    return {
        "id": str(erasure.id),
        "kind": erasure.kind,
        "state": "done" if erasure.done_at else "working",
        "asked": rfc3339(erasure.asked_at),
        "asked_by": erasure.asked_by,
        "done": erasure.done_at and rfc3339(erasure.done_at),
        "removed": erasure.removed,
        "redacted": erasure.redacted,
    }


class ErasureRequestSerializer(serializers.Serializer[Any]):
    """One object or one actor."""

    object = serializers.CharField(
        help_text="As a subject names it: `shop.Customer/42`.", max_length=255, required=False
    )
    actor = serializers.CharField(help_text="`auth.User/7`.", max_length=255, required=False)


class ErasureSerializer(serializers.Serializer[Any]):
    """How far an erasure is. Never whom it was about."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(Erasure.Kind.choices)
    state = serializers.ChoiceField(["working", "done"])
    asked = serializers.DateTimeField(help_text="What occurred before isn't stored any more.")
    asked_by = serializers.CharField(help_text="The key, or `manage.py erase`.")
    done = serializers.DateTimeField(allow_null=True)
    removed = serializers.IntegerField(help_text="Events that were deleted, up to now.")
    redacted = serializers.IntegerField(help_text="Events of others that named it.")

    def to_representation(self, instance: Erasure) -> dict[str, Any]:
        return represent(instance)


SHOWN = {
    "id": "01a1f873-c8a0-7c3e-a1b2-5f0e6d3c9a41",
    "kind": "object",
    "state": "done",
    "asked": "2026-11-20T10:15:00.000000Z",
    "asked_by": "heliograph.Key/3",
    "done": "2026-11-20T10:15:31.204117Z",
    "removed": 120,
    "redacted": 4,
}
PENDING = SHOWN | {"state": "working", "done": None, "removed": 0, "redacted": 0}
OBJECT = OpenApiExample("An object", value={"object": "shop.Customer/4711"}, request_only=True)
ASKED = OpenApiExample("It is begun", value=PENDING, response_only=True, status_codes=["202"])
DONE = OpenApiExample("One that is done", value=SHOWN, response_only=True, status_codes=["200"])
