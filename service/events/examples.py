"""The events that the API's documentation shows, so that each page of it tells the same story."""

import json
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter

# The Swagger page puts a fresh id and time in their place, so that trying an example stores an event.
ID = "01a1f873-c8a0-7c3e-a1b2-5f0e6d3c9a41"
TIME = "2026-11-20T10:15:00.000000Z"
LATER = "2100-01-01T00:00:00.000000Z"
RECORDED_TIME = "2026-11-20T10:15:00.412873Z"

PAID = {
    "specversion": "1.0",
    "id": ID,
    "source": "/shop/web",
    "type": "django.db.models.signals.post_save",
    "subject": "shop.Order/42",
    "time": TIME,
    "sender": "shop.Order",
    "action": "updated",
    "actor": "auth.User/7",
    "correlationid": "6f1d6a3e9c1b4e0f8a2d7c5b3e9f1a20",
    "causationid": "01a1f873-c89b-7d21-8c44-0a9be21f7d53",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "emitterid": "0b9c7a52-4f1e-4d0a-9a55-6c1f2e7d8b30",
    "outcome": "committed",
    "data": {"changes": {"status": ["new", "paid"]}, "diff_source": "loaded"},
}


def one_or_none(value: object, nothing: object = "") -> list[OpenApiExample]:
    """Return an example to choose, after the one that the page fills in by itself: nothing, which isn't sent."""
    return [OpenApiExample("Left out", value=nothing), OpenApiExample("An example", value=value)]


ID_SENT = OpenApiExample("The event of the example that sends one", value=ID)
ID_IN_PATH = OpenApiParameter(
    "id", UUID, "path", description="Its `recordedid` if it has one, else its `id`.", examples=[ID_SENT]
)
REQUEST = OpenApiExample("An order was paid", value=PAID, request_only=True)
ONE = OpenApiExample("An order was paid", value=PAID, request_only=True, media_type="application/cloudevents+json")
# The generator makes an array of it.
BATCH = OpenApiExample("A batch of one", value=PAID, request_only=True, media_type="application/cloudevents-batch+json")
LINES = OpenApiExample("A line of one", value=json.dumps(PAID), request_only=True, media_type="application/x-ndjson")
RESPONSE = OpenApiExample(
    "An order was paid",
    value={**PAID, "recordedtime": RECORDED_TIME},
    response_only=True,
    status_codes=["200"],
)
RECEIPT = OpenApiExample(
    "Stored",
    value={"accepted": 1, "duplicates": 0, "rejected": 0, "errors": []},
    response_only=True,
    status_codes=["200", "201"],
)
