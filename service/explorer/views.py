"""The OpenAPI document, and Swagger UI with examples that work when tried."""

import secrets
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.utils import timezone
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from service.api.parameters import check_parameters, choice
from service.events import examples, ids
from service.events.serializers import rfc3339


class SchemaView(SpectacularAPIView):
    """The document as committed in ``openapi.yaml``; with ``?examples=fresh``, with ids and times of now."""

    content_negotiation_class = DefaultContentNegotiation  # YAML or JSON, as is asked for

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_parameters(request.query_params, {"examples"})

    def _get_schema_response(self, request: Request) -> Response:
        response: Response = super()._get_schema_response(request)  # type: ignore[no-untyped-call]
        if choice(request.query_params, "examples", ("fresh",), ""):
            response.data = refreshed(response.data, timezone.now())
        return response


class DocsView(SpectacularSwaggerView):
    """Swagger UI, on the service's own assets. Its examples are fresh, since an old or repeated id stores nothing."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_parameters(request.query_params, ())

    def _get_schema_url(self, request: Request) -> str:
        address = super()._get_schema_url(request)  # type: ignore[no-untyped-call]
        return f"{address}?examples=fresh"


def refreshed(schema: Any, now: datetime) -> Any:
    """Return ``schema`` with the id and the times of its examples replaced by new ones."""
    text = msgspec.json.encode(schema).decode()
    fresh_id = ids.mapped(now, "", secrets.token_hex())
    fresh = {
        examples.ID: str(fresh_id),
        examples.TIME: rfc3339(now),
        examples.LATER: rfc3339(now + timedelta(days=1)),
    }
    for old, new in fresh.items():
        text = text.replace(old, new)
    return msgspec.json.decode(text)
