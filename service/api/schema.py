"""What every operation of the OpenAPI document shares: problem answers, and an example that works when tried."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers


class FaultSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="The parameter or attribute, e.g. `data.fields.total`.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField(help_text="`urn:heliograph:problem:` and the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What is wrong with this request, and what to do.")
    code = serializers.CharField(help_text="Stable, for programs.")
    errors = FaultSerializer(many=True, required=False)  # type: ignore[assignment]  # DRF pops fields


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the problem answers of an operation, for ``extend_schema(responses=…)``."""
    return {
        (status, "application/problem+json"): OpenApiResponse(ProblemSerializer, HTTPStatus(status).phrase)
        for status in statuses
    }
