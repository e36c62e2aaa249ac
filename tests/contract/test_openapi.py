"""``openapi.yaml`` says what the code does: nothing more, nothing less, and every example in it works."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, get_resolver
from jsonschema import Draft202012Validator, FormatChecker

from service.projects import operations
from service.projects.models import Project, Scope
from tests import live

FILE = live.ROOT / "openapi.yaml"
API = "api/v1/"
DOCUMENTATION = {"/api/v1/schema/", "/api/v1/docs/"}
METHODS = {"get", "put", "post", "patch", "delete"}
AN_ID = "01a1f873-c8a0-7c3e-a1b2-5f0e6d3c9a41"
A_NUMBER = "999999999"

DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
OPERATIONS: dict[str, tuple[str, str]] = {
    operation["operationId"]: (path, method)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if method in METHODS
}
FOR_ANY_KEY = {"meta_retrieve", "projects_list", "projects_retrieve"}
every_operation = pytest.mark.parametrize("name", sorted(OPERATIONS))

formats = FormatChecker()


@formats.checks("date-time", raises=ValueError)
def is_moment(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


def operation_of(name: str) -> dict[str, Any]:
    path, method = OPERATIONS[name]
    operation: dict[str, Any] = DOCUMENT["paths"][path][method]
    return operation


def address_of(name: str) -> str:
    return re.sub(r"\{\w+\}", AN_ID, OPERATIONS[name][0].replace("{key_id}", A_NUMBER))


def json_schema(schema: Any) -> Any:
    """Turn OpenAPI 3.0's ``nullable`` into JSON Schema's type null."""
    if isinstance(schema, list):
        return [json_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: json_schema(value) for name, value in schema.items() if name != "nullable"}
    return {"anyOf": [inner, {"type": "null"}]} if schema.get("nullable") is True else inner


COMPONENTS = json_schema(DOCUMENT.get("components", {}))


def faults(schema: dict[str, Any], value: object) -> list[str]:
    whole = {**json_schema(schema), "components": COMPONENTS}
    return [error.message for error in Draft202012Validator(whole, format_checker=formats).iter_errors(value)]


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each place of the document that describes a body, with its name."""
    for name in OPERATIONS:
        operation = operation_of(name)
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name} {media_type}", content
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                yield f"{name} {status} {media_type}", content


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


@pytest.fixture
def key(db: None) -> str:
    return operations.create_key(Project.objects.create(name="openapi"), Scope.values, label="of this test")


def test_the_committed_file_is_what_the_command_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("spectacular", file=str(tmp_path / "openapi.yaml"), fail_on_warn=True, validate=True)

    assert (tmp_path / "openapi.yaml").read_text() == FILE.read_text(), "run 'make openapi'"
    assert capsys.readouterr() == ("", ""), "the generator warns"


def test_the_service_serves_the_committed_file(client: Client) -> None:
    answer = client.get("/api/v1/schema/")

    assert answer.status_code == 200
    assert answer.content.decode() == FILE.read_text()


def test_the_paths_and_methods_of_the_file_are_those_of_the_url_configuration() -> None:
    served = {
        "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern)): methods_of(pattern)
        for pattern in get_resolver().url_patterns
        if str(pattern.pattern).startswith(API)
    }
    documented = {path: METHODS & methods.keys() for path, methods in DOCUMENT["paths"].items()}

    assert documented == {path: methods for path, methods in served.items() if path not in DOCUMENTATION}
    assert served.keys() >= DOCUMENTATION


def methods_of(pattern: URLPattern) -> set[str]:
    view = pattern.callback.view_class  # type: ignore[attr-defined]  # each of the API is a class
    return {method for method in METHODS if hasattr(view, method)}


@every_operation
def test_an_operation_says_what_it_does_and_how_it_fails(name: str) -> None:
    operation = operation_of(name)
    refusals = {status: response for status, response in operation["responses"].items() if status >= "400"}

    assert operation["summary"]
    assert operation["tags"]
    assert operation["security"] == [{"key": []}, {"session": [], "project": []}]
    assert {"401", "403", "503"} <= refusals.keys()
    assert all(list(response["content"]) == ["application/problem+json"] for response in refusals.values())


@pytest.mark.parametrize("name", sorted(name for name, (_, method) in OPERATIONS.items() if method == "get"))
def test_the_documented_parameters_are_those_that_are_taken(name: str, client: Client, key: str) -> None:
    documented = {each["name"] for each in operation_of(name).get("parameters", ()) if each["in"] == "query"}

    answer = client.get(address_of(name), {"no_such": "1"}, headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 400
    assert answer.json()["code"] == "unknown_parameter"
    known = answer.json()["detail"].partition("Known: ")[2].rstrip(".")
    assert set(filter(None, known.split(", "))) == documented


@every_operation
def test_every_parameter_is_described(name: str) -> None:
    undescribed = [each["name"] for each in operation_of(name).get("parameters", ()) if not each.get("description")]

    assert undescribed == []


def test_every_example_fits_its_schema() -> None:
    examples = [
        (f"{place}: {title}", content["schema"], example["value"])
        for place, content in contents()
        for title, example in content.get("examples", {}).items()
    ]

    assert len(examples) >= len(OPERATIONS)
    assert {where: faults(schema, value) for where, schema, value in examples if faults(schema, value)} == {}


def test_every_reference_leads_somewhere() -> None:
    names = {f"#/components/{kind}/{name}" for kind, parts in DOCUMENT["components"].items() for name in parts}
    used = set(references(DOCUMENT))

    assert used <= names
    assert {name for name in names if "/schemas/" in name} <= used, "a schema is described and used nowhere"


@pytest.mark.parametrize("media_type", sorted(operation_of("events_create")["requestBody"]["content"]))
def test_the_examples_succeed_when_tried(media_type: str, client: Client, key: str) -> None:
    example = fresh_example(client, media_type)

    sent = post(client, key, example, media_type)
    read = client.get("/api/v1/events/", headers={"Authorization": f"Bearer {key}"})

    assert sent.status_code in {200, 201}
    assert sent.json() == {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": []}
    (stored,) = read.json()["results"]
    del stored["recordedtime"]
    event = json.loads(example) if isinstance(example, str) else example
    assert stored == (event[0] if isinstance(event, list) else event)


@pytest.mark.parametrize("name", ["events_list", "events_export"])
def test_the_example_of_each_filter_finds_the_example_of_an_event(name: str, client: Client, key: str) -> None:
    document = yaml.safe_load(client.get("/api/v1/schema/?examples=fresh").content)
    content = document["paths"]["/api/v1/events/"]["post"]["requestBody"]["content"]["application/json"]
    (sent,) = content["examples"].values()
    post(client, key, sent["value"], "application/json")
    path, method = OPERATIONS[name]
    examples = {
        each["name"]: [example["value"] for example in each["examples"].values()]
        for each in document["paths"][path][method]["parameters"]
        if "examples" in each
    }

    assert len(examples) > 20
    for parameter, (nothing, value) in examples.items():
        query = value if isinstance(value, dict) else {parameter: value}
        answer = client.get(path, query, headers={"Authorization": f"Bearer {key}"})
        assert nothing in ("", {}), "the page would send it unasked"
        assert b"shop.Order/42" in answer.getvalue(), parameter


def fresh_example(client: Client, media_type: str = "application/json") -> Any:
    """Return the one example of ``POST events/`` as the Swagger page shows it: with an id and a time of now."""
    document = yaml.safe_load(client.get("/api/v1/schema/?examples=fresh").content)
    content = document["paths"]["/api/v1/events/"]["post"]["requestBody"]["content"][media_type]
    (example,) = content["examples"].values()
    return example["value"]


def post(client: Client, key: str, value: object, media_type: str = "application/json") -> Any:
    body = value if isinstance(value, str) else json.dumps(value)
    return client.post("/api/v1/events/", body, content_type=media_type, headers={"Authorization": f"Bearer {key}"})


def test_the_required_attributes_are_those_without_which_an_event_is_refused(client: Client, key: str) -> None:
    described = DOCUMENT["components"]["schemas"]["EventRequest"]
    example = fresh_example(client)

    refused = {
        name
        for name in described["properties"]
        if post(client, key, {each: value for each, value in example.items() if each != name}).status_code == 422
    }

    assert refused == set(described["required"])


@pytest.mark.parametrize(
    ("call", "sent", "status"),
    [
        ("GET events/", "", 200),
        ("GET events/?page_size=none", "", 400),
        (f"GET events/{AN_ID}/", "", 404),
        (f"GET events/{AN_ID}/chain/", "", 404),
        (f"GET events/{AN_ID}/chain/?depth=1", "", 400),
        (f"GET objects/{AN_ID}/{AN_ID}/history/", "", 200),
        (f"GET objects/{AN_ID}/{AN_ID}/history/?ordering=time", "", 400),
        (f"GET objects/{AN_ID}/{AN_ID}/state/", "", 404),
        (f"GET objects/{AN_ID}/{AN_ID}/state/?as_of=soon", "", 400),
        ("GET meta/", "", 200),
        ("GET stats/histogram/", "", 200),
        ("GET stats/histogram/?interval=hour&group_by=type", "", 200),
        ("GET stats/histogram/?interval=none", "", 400),
        ("GET stats/top/?by=object", "", 200),
        ("GET stats/top/?by=none", "", 400),
        ("GET signals/", "", 200),
        ("GET signals/?actor=a", "", 400),
        ("GET emitters/", "", 200),
        ("GET emitters/?page_size=none", "", 400),
        (f"GET emitters/{AN_ID}/", "", 404),
        ("GET keys/", "", 200),
        ("GET keys/?page_size=none", "", 400),
        (f"GET keys/{A_NUMBER}/", "", 404),
        (f"PATCH keys/{A_NUMBER}/", '{"label": "web"}', 404),
        (f"PATCH keys/{A_NUMBER}/", "{}", 422),
        (f"PATCH keys/{A_NUMBER}/", "{", 400),
        (f"DELETE keys/{A_NUMBER}/", "", 404),
        (f"POST keys/{A_NUMBER}/rotate/", '{"overlap": 0}', 404),
        (f"POST keys/{A_NUMBER}/rotate/", '{"overlap": -1}', 422),
        ("POST keys/", "[" + " " * 20_000 + "]", 413),
        ("POST keys/", '{"label": "web", "scopes": ["admin"]}', 201),
        ("POST keys/", '{"label": "of this test", "scopes": ["admin"]}', 409),
        ("POST keys/", '{"label": "web", "scopes": ["all"]}', 422),
        ("POST keys/", "{", 400),
        ("GET projects/", "", 200),
        ("GET projects/?cursor=none", "", 400),
        ("GET projects/openapi/", "", 200),
        (f"GET projects/{AN_ID}/", "", 404),
        (f"PATCH projects/{AN_ID}/", '{"retention_days": 7}', 404),
        ("PATCH projects/openapi/", '{"retention_days": 7}', 200),
        ("PATCH projects/openapi/", '{"retention_days": 0}', 422),
        ("POST telemetry/", "{", 400),
        ("POST telemetry/", "[" + " " * 70_000 + "]", 413),
        ("POST telemetry/", "{}", 422),
        ("POST events/", "[]", 200),
        ("POST events/", "[{}]", 207),
        ("POST events/", "{", 400),
        ("POST events/", "[" + ",".join(["{}"] * 1001) + "]", 413),
        ("POST events/", "{}", 422),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_answer_is_one_that_is_documented(call: str, sent: str, status: int, client: Client, key: str) -> None:
    method, address = call.split()

    answer = client.generic(
        method, f"/api/v1/{address}", sent, "application/json", headers={"Authorization": f"Bearer {key}"}
    )

    assert answer.status_code == status
    asked = f"/api/v1/{address.partition('?')[0].replace('openapi', AN_ID)}", method.lower()
    (name,) = [name for name, (_, how) in OPERATIONS.items() if (address_of(name), how) == asked]
    assert_documented(answer, name)


def assert_documented(answer: Any, name: str) -> None:
    content = operation_of(name)["responses"][str(answer.status_code)]["content"]
    assert faults(content[answer.headers["Content-Type"]]["schema"], answer.json()) == []


def test_the_report_of_the_example_is_kept_and_what_is_then_read_is_documented(client: Client, key: str) -> None:
    (example,) = operation_of("telemetry_create")["requestBody"]["content"]["application/json"]["examples"].values()
    authorized = {"Authorization": f"Bearer {key}"}

    sent = client.post("/api/v1/telemetry/", json.dumps(example["value"]), "application/json", headers=authorized)
    listed = client.get("/api/v1/emitters/", headers=authorized)
    read = client.get(f"/api/v1/emitters/{example['value']['emitterid']}/", headers=authorized)

    assert (sent.status_code, sent.content, read.status_code) == (204, b"", 200)
    assert_documented(listed, "emitters_list")
    assert_documented(read, "emitters_retrieve")
    assert {name: read.json()[name] for name in example["value"] if name != "time"} == {
        name: value for name, value in example["value"].items() if name != "time"
    }


def test_the_required_members_are_those_without_which_a_report_is_refused(client: Client, key: str) -> None:
    (example,) = operation_of("telemetry_create")["requestBody"]["content"]["application/json"]["examples"].values()
    described = DOCUMENT["components"]["schemas"]["ReportRequest"]

    refused = {
        name
        for name in described["properties"]
        if client.post(
            "/api/v1/telemetry/",
            json.dumps({each: value for each, value in example["value"].items() if each != name}),
            "application/json",
            headers={"Authorization": f"Bearer {key}"},
        ).status_code
        == 422
    }

    assert refused == set(described["required"])


@every_operation
def test_without_a_key_the_documented_refusal_is_the_answer(name: str, client: Client, db: None) -> None:
    answer = client.generic(OPERATIONS[name][1].upper(), address_of(name), "[]", "application/json")

    assert answer.status_code == 401
    assert_documented(answer, name)


def test_another_media_type_gets_the_documented_refusal(client: Client, key: str) -> None:
    answer = post(client, key, {}, "text/plain")

    assert answer.status_code == 415
    assert_documented(answer, "events_create")


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - FOR_ANY_KEY))
def test_a_key_without_the_scope_gets_the_documented_refusal(name: str, client: Client, db: None) -> None:
    method = OPERATIONS[name][1].upper()
    wrong = Scope.EVENTS_READ if method == "POST" else Scope.EVENTS_WRITE
    key = operations.create_key(Project.objects.create(name="openapi"), [wrong])

    answer = client.generic(
        method, address_of(name), "[]", "application/json", headers={"Authorization": f"Bearer {key}"}
    )

    assert answer.status_code == 403
    assert_documented(answer, name)
