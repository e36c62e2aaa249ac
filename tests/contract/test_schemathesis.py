"""Requests that schemathesis draws from ``openapi.yaml``: none fails the service, and each answer is as documented.

Left out is what the document can't tell: CloudEvents' binary mode, whose headers are tests/service/ingest's, and the
events of a stream that doesn't end, of which only the refusals are looked at here. The project has events of each kind,
and a part of the requests is led to them, since a random id finds nothing.
"""

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.projects import operations as keys
from service.projects.models import Key, Project, Scope
from tests.contract.document import DOCUMENT, EVENT_STREAM, Operation, operations
from tests.contract.tenants import Tenant
from tests.contract.test_populated import EMITTER, sent
from tests.service.cast import event, report, uuid7

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
every_operation = pytest.mark.parametrize("operation", list(operations()), ids=str)


def draw(operation: Operation, tenant: Tenant, examples: int) -> None:
    """Send as many requests, about half of them such as the document doesn't allow."""
    described = SCHEMA[operation.path][operation.method]
    headers = {"Authorization": f"Bearer {keys.create_key(Project.objects.get(pk=tenant.id), Scope.values)}"}
    cases = st.one_of(*[described.as_strategy(generation_mode=mode) for mode in GenerationMode])
    known = fill(tenant)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, led=st.booleans(), asked=st.booleans())
    def every_answer_is_as_documented(case: Any, led: bool, asked: bool) -> None:
        if led:
            case.path_parameters = {name: known[name] for name in operation.parameters("path")}
        if not asked:
            case.query = {}
        request = case.as_transport_kwargs(base_url=tenant.url, headers=headers)
        with requests.request(**request, timeout=30, stream=operation.endless) as answer:
            if operation.endless and answer.status_code == 200:
                assert answer.headers["Content-Type"] == EVENT_STREAM
            else:
                case.validate_response(answer, checks=CHECKS, headers=headers)

    every_answer_is_as_documented()


def fill(tenant: Tenant) -> dict[str, str]:
    """Store events of each kind; return what the path of an operation names some of them by."""
    headers = {"Authorization": f"Bearer {tenant.key}"}
    events = sent()
    answer = requests.post(f"{tenant.url}/api/v1/events/", json=events, headers=headers, timeout=30)
    assert answer.json()["accepted"] == len(events), answer.content
    named = {"id": events[1]["id"], "emitterid": EMITTER, "sender": "shop.Order", "object_id": "42"}
    return named | {"key_id": str(Key.objects.get(prefix=tenant.write_key[:11]).pk), "name": "contract"}


@every_operation
def test_each_answer_is_as_documented(operation: Operation, tenant: Tenant) -> None:
    draw(operation, tenant, 20)


@pytest.mark.ordeal
@every_operation
def test_each_of_many_answers_is_as_documented(operation: Operation, tenant: Tenant) -> None:
    draw(operation, tenant, 2000)


@pytest.mark.parametrize("offset", ["-23:59", "+16:00", "-00:00"])
@pytest.mark.parametrize("name", ["events/?time__gte", "events/?time__lt", "emitters/?last_seen__lt"])
def test_any_offset_of_a_moment_is_taken(name: str, offset: str, client: Client, db: None) -> None:
    """Python knows offsets up to a day, Postgres up to 15:59: drawn once."""
    key = keys.create_key(Project.objects.create(name="offsets"), [Scope.EVENTS_READ])

    answer = client.get(
        f"/api/v1/{name}={quote('2026-11-20T10:15:00' + offset)}", headers={"Authorization": f"Bearer {key}"}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("offset", ["-23:59", "+16:00"])
def test_any_offset_of_what_is_sent_is_taken(offset: str, client: Client, db: None) -> None:
    key = keys.create_key(Project.objects.create(name="offsets"), [Scope.EVENTS_WRITE])
    authorized = {"Authorization": f"Bearer {key}"}
    now = timezone.now()
    moment = now.astimezone(datetime.fromisoformat(f"2026-11-20T10:15:00{offset}").tzinfo).isoformat()

    sent = client.post("/api/v1/events/", json.dumps(event(time=moment)), "application/json", headers=authorized)
    told = client.post(
        "/api/v1/telemetry/",
        json.dumps(report(uuid7(), started=moment, time=moment)),
        "application/json",
        headers=authorized,
    )

    assert (sent.status_code, told.status_code) == (201, 204), (sent.content, told.content)
