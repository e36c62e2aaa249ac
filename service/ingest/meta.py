"""``GET meta/``: what this service takes, so that emitters configure themselves."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service import VERSION
from service.api import limits
from service.api.parameters import check_parameters
from service.api.schema import problems
from service.events import partitions
from service.events.serializers import rfc3339
from service.projects import retention
from service.projects.authentication import project_of
from service.projects.permissions import HasKey

LIMITS = {
    "events": limits.EVENTS,
    "body": limits.BODY_BYTES,
    "inflated": limits.INFLATED_BYTES,
    "event": limits.EVENT_BYTES,
    "depth": limits.DEPTH,
}


class LimitsSerializer(serializers.Serializer[Any]):
    events = serializers.IntegerField(help_text="In a batch.")
    body = serializers.IntegerField(help_text="Bytes of a body on the wire.")
    inflated = serializers.IntegerField(help_text="Bytes of a body after gzip or zstd is undone.")
    event = serializers.IntegerField(help_text="Bytes of one event.")
    depth = serializers.IntegerField(help_text="Nested arrays and objects in an event.")


class AcceptedIdsSerializer(serializers.Serializer[Any]):
    oldest = serializers.DateTimeField(help_text="The time of the oldest id that is taken now.")
    newest = serializers.DateTimeField(help_text="Ids of this moment and later ones are not taken yet.")


class MetaSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    time = serializers.DateTimeField(help_text="The service's clock.")
    limits = LimitsSerializer()
    retention_days = serializers.IntegerField(help_text="For how long the events of the key's project are kept.")
    accepted_ids = AcceptedIdsSerializer()


def describe(now: datetime, days: int) -> dict[str, Any]:
    return {
        "version": VERSION,
        "time": rfc3339(now),
        "limits": LIMITS,
        "retention_days": days,
        "accepted_ids": {
            "oldest": rfc3339(retention.horizon(days, now)),
            "newest": rfc3339(now + partitions.FUTURE),
        },
    }


EXAMPLE = OpenApiExample(
    "The defaults",
    value={
        "version": VERSION,
        "time": "2026-11-20T10:15:00.000000Z",
        "limits": LIMITS,
        "retention_days": 365,
        "accepted_ids": {"oldest": "2025-11-20T10:15:00.000000Z", "newest": "2026-11-21T10:15:00.000000Z"},
    },
    response_only=True,
)


class MetaView(APIView):
    permission_classes = [HasKey]

    @extend_schema(
        operation_id="meta_retrieve",
        summary="What this service takes",
        description="Any key may ask.",
        tags=["meta"],
        examples=[EXAMPLE],
        responses={200: MetaSerializer, **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        check_parameters(request.query_params, ())
        return Response(describe(timezone.now(), retention.days_of(project_of(request))))
