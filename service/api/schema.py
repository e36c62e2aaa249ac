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


OF_EACH_OPERATION = {408, 429, 503}

HEADERS = {
    "X-Request-ID": "Names this request in the service's log: as it was sent, or made.",
    "RateLimit-Policy": (
        'What the key may do, as in `"key";q=60000;w=60`: `q` requests in `w` seconds. Not there for a key without a '
        "limit, nor when the request was refused before its key was looked at: too slow, too large or too many."
    ),
    "RateLimit": 'What is left of it, as in `"key";r=59990;t=30`: `r` requests for the next `t` seconds.',
    "Retry-After": "Seconds after which to send the same again.",
}


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the problem answers of an operation, for ``extend_schema(responses=…)``."""
    return {
        (status, "application/problem+json"): OpenApiResponse(ProblemSerializer, HTTPStatus(status).phrase)
        for status in sorted(OF_EACH_OPERATION.union(statuses))
    }


def headers_of(status: str) -> list[str]:
    """Return the headers of ours that an answer with ``status`` has."""
    names = ["X-Request-ID"]
    if status not in {"401", "408"}:
        names += ["RateLimit-Policy", "RateLimit"]
    return [*names, "Retry-After"] if status in {"429", "503"} else names


def describe_headers(result: dict[str, Any], **_generator: object) -> dict[str, Any]:
    """Add the headers of answers to an OpenAPI document: a postprocessing hook of drf-spectacular."""
    result["components"]["headers"] = {
        name: {"description": description, "schema": {"type": "string"}} for name, description in HEADERS.items()
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                references = {name: {"$ref": f"#/components/headers/{name}"} for name in headers_of(status)}
                response["headers"] = {**references, **response.get("headers", {})}
    return result
