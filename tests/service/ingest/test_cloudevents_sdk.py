"""The CloudEvents Python SDK posts all modes to a live service, and reads back what it sent, equal."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import urllib3
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import http
from cloudevents.core.bindings.http import HTTPMessage
from cloudevents.core.v1.event import CloudEvent

from tests.service.cast import EVENTS, uuid7

DATA: list[tuple[str | None, Any]] = [
    ("application/json", {"order": 42, "total": "19.90", "lines": [{"sku": "é"}], "none": None}),
    (None, {"a": 1}),
    ("text/plain", "Grüße, 100 %"),
    ("application/octet-stream", bytes(range(256))),
    ("application/json", None),
]
ATTRIBUTES: list[dict[str, Any]] = [
    {"id": str(uuid7())},
    {"id": "order 1/€", "subject": "Bestellung 1", "dataschema": "https://example.org/order", "note": 'a "b" 100% €'},
]


def batch(events: list[BaseCloudEvent]) -> HTTPMessage:
    """Write a batch as the SDK writes each event: it has no batches of its own."""
    bodies = [json.loads(http.to_structured_event(event).body) for event in events]
    return HTTPMessage({"content-type": "application/cloudevents-batch+json"}, json.dumps(bodies).encode())


MODES = {
    "binary": http.to_binary_event,
    "structured": http.to_structured_event,
    "batched": lambda event: batch([event]),
}


@pytest.fixture
def service(transactional_db: None, live_service: str, key: str) -> Iterator[urllib3.HTTPConnectionPool]:
    headers = {"Authorization": f"Bearer {key}"}
    with urllib3.connection_from_url(live_service, timeout=30, retries=False, headers=headers) as pool:
        yield pool


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("media_type", "data"), DATA)
@pytest.mark.parametrize("own", ATTRIBUTES, ids=["own", "foreign"])
def test_what_the_sdk_sends_it_reads_back(
    mode: str, media_type: str | None, data: Any, own: dict[str, Any], service: urllib3.HTTPConnectionPool
) -> None:
    attributes = {"source": "/sdk", "type": "org.example.order", "specversion": "1.0", "time": datetime.now(UTC)} | own
    sent = CloudEvent(attributes | ({"datacontenttype": media_type} if media_type else {}), data)
    message = MODES[mode](sent)
    answer = service.request("POST", EVENTS, body=message.body, headers=service.headers | message.headers)
    (found,) = service.request("GET", EVENTS).json()["results"]

    assert answer.status == (200 if mode == "batched" else 201), answer.data
    assert answer.json()["accepted"] == 1
    read = http.from_structured_event(HTTPMessage({"content-type": "application/json"}, json.dumps(found).encode()))
    assert read.get_data() == data
    added = {"recordedtime", "recordedid"}
    assert {name: value for name, value in read.get_attributes().items() if name not in added} == sent.get_attributes()
