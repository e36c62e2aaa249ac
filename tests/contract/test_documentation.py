"""Whatever ``openapi.yaml`` describes, now or later: it is explained, and each example in it works when tried."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.test import Client

from service.projects import operations as keys
from service.projects.models import Key, Project, Scope
from tests.contract.document import DOCUMENT, Operation, operations
from tests.contract.test_openapi import faults

PROBLEM = "application/problem+json"
WITHOUT_EXAMPLE = {"cursor"}  # signed by the service that made it
every_operation = pytest.mark.parametrize("operation", list(operations()), ids=str)


@pytest.fixture
def authorized(db: None) -> dict[str, str]:
    token = keys.create_key(Project.objects.create(name="documentation"), Scope.values)
    return {"Authorization": f"Bearer {token}"}


@every_operation
def test_an_operation_is_explained(operation: Operation) -> None:
    known = {tag["name"] for tag in settings.SPECTACULAR_SETTINGS["TAGS"]}

    assert operation.told["summary"]
    assert operation.told["description"]
    assert len(operation.told["tags"]) == 1
    assert set(operation.told["tags"]) <= known
    assert all(each.get("description") for each in operation.told.get("parameters", ()))
    assert all(response.get("description") for response in operation.told["responses"].values())


@every_operation
def test_every_refusal_is_shown(operation: Operation) -> None:
    for status, response in operation.told["responses"].items():
        if status < "400":
            continue
        content = response["content"][PROBLEM]
        assert content.get("examples"), f"{operation} shows no example of its {status}: add it to api/openapi.py"
        for example in content["examples"].values():
            assert example["value"]["status"] == int(status)
            assert faults(content["schema"], example["value"]) == []


def test_the_tags_are_explained() -> None:
    assert all(tag["description"] for tag in DOCUMENT["tags"])
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {tag for each in operations() for tag in each.told["tags"]}


def examples_of(parameter: Mapping[str, Any]) -> list[Any]:
    """Return what a parameter is shown with; "" and {} stand for leaving it out."""
    schema = parameter["schema"]
    shown = [each["value"] for each in parameter.get("examples", {}).values()]
    shown += [part[name] for part in (parameter, schema) for name in ("example", "default") if name in part]
    return [each for each in shown + schema.get("enum", []) if each not in ("", {})]


@every_operation
def test_every_parameter_has_an_example(operation: Operation) -> None:
    bare = {
        name
        for place in ("query", "path", "header")
        for name, each in operation.parameters(place).items()
        if not examples_of(each)
    }

    assert bare <= WITHOUT_EXAMPLE


@every_operation
def test_every_example_of_a_parameter_works(operation: Operation, client: Client, authorized: dict[str, str]) -> None:
    """Each by itself, and all together, where the examples of what can be sent were sent."""
    document = yaml.safe_load(client.get("/api/v1/schema/?examples=fresh").content)
    (fresh,) = [each for each in operations(document) if str(each) == str(operation)]
    for each in operations(document):
        if "requestBody" in each.told:
            answer = send(client, each, authorized)
            assert answer.status_code in {200, 201, 202, 204}, (str(each), answer.content)
    if operation.method != "GET":
        return
    address = address_of(fresh)

    for query in queries(fresh):
        answer = client.get(address, query, headers=authorized)
        assert answer.status_code == 200, (address, query, answer.content)


def address_of(operation: Operation) -> str:
    """Return its path as in the examples, but for what no client names: there the newest key, and the project."""
    own = {"key_id": Key.objects.latest("pk").pk, "name": "documentation"}
    shown = {name: examples_of(each)[0] for name, each in operation.parameters("path").items()}
    return operation.address({name: str(own.get(name, value)) for name, value in shown.items()})


def queries(operation: Operation) -> Iterator[dict[str, str]]:
    yield {}
    shown = {name: examples_of(each) for name, each in operation.parameters("query").items()}
    yield {name: value for each, values in shown.items() if values for name, value in written(each, values[0]).items()}
    for each, values in shown.items():
        for value in values:
            yield written(each, value)


def written(name: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {inner: text(each) for inner, each in value.items()}
    return {name: text(value)}


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def send(client: Client, operation: Operation, authorized: dict[str, str]) -> Any:
    content = operation.told["requestBody"]["content"]["application/json"]
    (example,) = content["examples"].values()
    return client.generic(
        operation.method, address_of(operation), json.dumps(example["value"]), "application/json", headers=authorized
    )
