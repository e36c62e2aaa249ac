"""``POST events/`` in CloudEvents' binary mode: attributes as ``ce-`` headers, data as the body."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.events.models import Event
from tests.service.cast import EVENTS, Api, event, problem
from tests.service.properties import bounded, text

KEPT = {"time", "recordedtime", "recordedid"}


def send(api: Api, body: bytes, media_type: str = "", /, **attributes: str) -> Any:
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    return api.client.generic("POST", EVENTS, body, media_type, headers=api.headers() | headers)


def returned(api: Api) -> dict[str, Any]:
    """Return the one event, without what the service adds."""
    (found,) = api.list().json()["results"]
    return {name: value for name, value in found.items() if name not in KEPT}


def test_an_event_in_binary_mode_is_stored_as_in_any_other(api: Api) -> None:
    sent = event(sender="shop.Order", subject="shop.Order/42", action="updated", region="north")

    answers = [send(api, b'{"total": 19.90}', "application/json", **sent), api.send(sent)]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": []}
    assert returned(api) == sent | {"data": {"total": 19.90}, "datacontenttype": "application/json"}
    assert Event.objects.get().object_id == "42"


@pytest.mark.parametrize(
    ("media_type", "body", "data"),
    [
        ("application/json", b"[1, null]", {"data": [1, None]}),
        ("application/json; charset=utf-8", b' "a" ', {"data": "a"}),
        ("application/json", b"null", {}),
        ("text/json", b"0", {"data": 0}),
        ("application/vnd.shop+json", b"{}", {"data": {}}),
        ("Application/JSON", b"{}", {"data": {}}),
        ("text/plain", b"{}", {"data": "{}"}),
        ("text/plain; charset=utf-8", "é\n".encode(), {"data": "é\n"}),
        ("text/plain; charset=latin-1", "é".encode("latin-1"), {"data_base64": "6Q=="}),
        ("text/plain", b"a\0", {"data_base64": "YQA="}),
        ("application/octet-stream", b"\0\xff", {"data_base64": "AP8="}),
        ("application/xml", b"<a/>", {"data_base64": "PGEvPg=="}),
        ("application/octet-stream", b"", {}),
        ("application/json", b"", {}),
    ],
)
def test_data_of_any_type_comes_back(media_type: str, body: bytes, data: dict[str, Any], api: Api) -> None:
    sent = event()

    answer = send(api, body, media_type, **sent)

    assert answer.status_code == 201, answer.content
    found = returned(api)
    assert found.pop("datacontenttype", media_type) == media_type
    assert found == sent | data


def test_data_without_a_type_is_json(api: Api) -> None:
    environment = {f"HTTP_CE_{name.upper()}": value for name, value in event().items()}

    answer = api.client.generic(
        "POST", EVENTS, b'{"a": 1}', "", headers=api.headers(), CONTENT_TYPE="", CONTENT_LENGTH="8", **environment
    )

    assert answer.status_code == 201
    assert Event.objects.get().data == {"a": 1}
    assert "datacontenttype" not in returned(api)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41%2541", "A%41"),
        ("100%", "100%"),
        ('"a b"', "a b"),
        (r'"a \"b\" \\ %20c"', 'a "b" \\  c'),
        ("a b", "a b"),
        ('"', '"'),
        ("€".encode().decode("latin-1"), "€"),
    ],
)
def test_a_header_is_unquoted_and_percent_decoded_once(header: str, value: str, api: Api) -> None:
    environment = {f"HTTP_CE_{name.upper()}": text for name, text in (event() | {"note": header}).items()}

    answer = api.client.generic("POST", EVENTS, b"1", "application/json", headers=api.headers(), **environment)

    assert answer.status_code == 201, answer.content
    assert returned(api)["note"] == value


@pytest.mark.parametrize("header", ["%C0%A0", "%FF", "%E2%82", "\xe9"])
def test_a_header_that_is_not_utf8_is_refused(header: str, api: Api) -> None:
    environment = {f"HTTP_CE_{name.upper()}": text for name, text in (event() | {"note": header}).items()}

    answer = api.client.generic("POST", EVENTS, b"1", "application/json", headers=api.headers(), **environment)

    problem(answer, 422, "invalid", "ce-note")


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type"])
def test_a_missing_header_is_named(missing: str, api: Api) -> None:
    problem(send(api, b"1", "application/json", **event(**{missing: None})), 422, "required", missing)


@pytest.mark.parametrize("name", ["data", "datacontenttype", "data-base64"])
def test_what_is_the_body_is_no_header(name: str, api: Api) -> None:
    answer = send(api, b"1", "application/json", **event(), **{name: "MQ=="})

    problem(answer, 422, "invalid_attribute_name", f"ce-{name.replace('-', '_')}")


@pytest.mark.parametrize("body", [b"{", b"1 2", b'{"a": 1}, "sender": "x"', b"\xff"])
def test_data_that_is_not_the_json_it_says_is_refused(body: bytes, api: Api) -> None:
    problem(send(api, body, "application/json", **event()), 400, "malformed_json")

    assert Event.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b'{"a": NaN}', "not_a_number", "data.a"),
        (rb'["\u0000"]', "nul_character", "data[0]"),
        (b"[" * 40 + b"]" * 40, "too_deep", "data" + "[0]" * 31),
        (b"1e400", "number_out_of_range", "data"),
    ],
)
def test_data_that_cant_be_kept_is_refused_where_it_is(body: bytes, code: str, field: str, api: Api) -> None:
    problem(send(api, body, "application/json", **event()), 422, code, field)


def test_an_event_in_binary_mode_has_the_limit_of_any_other(api: Api) -> None:
    problem(send(api, bytes(200 * 1024), "image/png", **event()), 413, "event_too_large")


def test_structured_mode_goes_before_headers(api: Api) -> None:
    sent, other = event(), event()

    answer = send(api, json.dumps(sent).encode(), "application/cloudevents+json", **other)

    assert answer.status_code == 201
    assert api.listed() == [sent["id"]]


def test_a_foreign_id_is_the_same_in_each_mode(api: Api) -> None:
    sent = event(id="order 1", time=timezone.now().isoformat())
    line = json.dumps(sent).encode() + b"\n"

    answers = [
        send(api, b"", "application/json", **sent | {"id": "order%201"}),
        api.send(sent, "application/cloudevents+json"),
        api.send([sent], "application/cloudevents-batch+json"),
        api.send(line, "application/x-ndjson"),
    ]

    assert [answer.json()["duplicates"] for answer in answers] == [0, 1, 1, 1]
    assert returned(api)["id"] == "order 1"


@bounded(30)
@given(body=st.binary(max_size=200), note=text.filter(str.strip))
def test_any_bytes_and_any_text_come_back(body: bytes, note: str, api: Api) -> None:
    sent = event()
    answer = send(api, body, "application/octet-stream", **sent, note=quote(note, safe=""))

    assert answer.status_code == 201, answer.content
    found = api.read(sent["id"]).json()
    assert base64.b64decode(found.get("data_base64", "")) == body
    assert found["note"] == note
