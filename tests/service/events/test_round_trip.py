"""What is sent comes back, whatever it is; and no body whatsoever makes the service fail."""

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.events.models import Event
from tests.service.cast import Api, event, raw_event, uuid7
from tests.service.properties import INT64, bounded, documents, same, text

KNOWN = {"specversion", "id", "source", "type", "subject", "time", "data", "sender", "action", "actor", "outcome"}
KNOWN |= {"correlationid", "causationid", "emitterid", "sequence", "traceparent", "datacontenttype", "dataschema"}
OURS = {"recordedtime", "recordedid"}

names = text.filter(bool)
extension_names = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=64).filter(
    lambda name: name not in KNOWN | OURS
)
extensions = st.dictionaries(extension_names, text | st.booleans() | INT64, max_size=5)
attributes = st.fixed_dictionaries(
    {"source": names, "type": names},
    optional=dict.fromkeys(("subject", "sender", "action", "actor", "correlationid", "causationid"), names)
    | {"emitterid": st.uuids().map(str), "sequence": st.integers(0, 2**63 - 1).map(str)}
    | {"outcome": st.sampled_from(["committed", "rolledback", "autocommit"])}
    | {"datacontenttype": names, "dataschema": names},
)
nests = st.integers(0, 30).flatmap(lambda depth: st.sampled_from(["[", '{"a":']).map(lambda edge: nest(edge, depth)))
# What a reader of JSON stumbles over.
FRAGMENTS = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "\\",
    "0",
    "-",
    "1e400",
    "1e-400",
    "0e-99999",
    "NaN",
    "Infinity",
    "true",
]
FRAGMENTS += [
    '"\\u0000"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"a"',
    "null",
    "9" * 20,
    "9" * 5000,
    " ",
    "\n",
    "\ufeff",
    "\0",
]
FRAGMENTS += ["[" * 40, "]" * 40, '{"a":' * 1200, "[" * 5000, "]" * 5000, '"id":', '"time":', '"data":', '"x":', "\x1f"]
UNSTORABLE = "0." + "0" * 17_000 + "1"  # of more digits than Postgres' numbers have
FRAGMENTS += ['"specversion":"1.0"', '"source":"a"', '"type":"a"', UNSTORABLE, f'"id":"{uuid7()}"']
QUERIES = [
    "cursor=",
    "page_size=",
    "time__gte=",
    "type=",
    "time__lt=",
    "q=",
    "q=a:",
    'q="',
    "data.",
    "data.a=",
    "changed=",
]
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join).map(str.encode)
media_types = st.sampled_from(
    ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"]
)


def nest(edge: str, depth: int) -> Any:
    return json.loads(edge * depth + "1" + ("]" if edge == "[" else "}") * depth)


@bounded(80)
@given(sent=attributes, data=documents | nests, added=extensions, escaped=st.booleans())
@example(sent={"source": "a", "type": "a"}, data={"\U0001f600": "\U0001f600\uffff"}, added={}, escaped=True)
@example(sent={"source": "a", "type": "a"}, data=[1e19, 1e25, -1e300], added={}, escaped=True)
@example(
    sent={"source": "a", "type": "a"}, data=[1e2, 1e-7, 1e23, 5e-324, -0.0, 2.5, 2**63 - 1], added={}, escaped=False
)
def test_an_event_comes_back_as_it_was_sent(
    api: Api, sent: dict[str, Any], data: Any, added: dict[str, Any], escaped: bool
) -> None:
    whole = event(**sent, **added, data=data)

    answer = api.send(json.dumps(whole, ensure_ascii=escaped).encode())
    read = api.read(whole["id"]).content
    found = json.loads(read)
    again = api.send(read)

    assert (again.status_code, again.json()["duplicates"]) == (200, 1), again.content
    assert answer.status_code == 201, answer.content
    assert same({name: found[name] for name in found.keys() - OURS - {"time"}}, whole)


@pytest.mark.parametrize(
    "number",
    [
        *("9223372036854775807", "9223372036854775808.0", "-9223372036854775809e0", "1e25", "123456789012345678901e5"),
        *("12345678901234567890.5", "1.7976931348623157e308", "1234567890123456789012345e280", "5e-324", "-1E-300"),
    ],
)
def test_a_number_that_was_read_can_be_sent_on_and_stays_the_same(number: str, api: Api) -> None:
    first, second = str(uuid7()), str(uuid7())

    sent = api.send(raw_event(id=f'"{first}"', data=number))
    read = api.read(first).content
    sent_on = api.send(read.replace(first.encode(), second.encode()))
    read_again = api.read(second).content

    assert (sent.status_code, sent_on.status_code) == (201, 201), (sent.content, sent_on.content)
    for content in (read, read_again):
        assert json.loads(content, parse_int=Decimal, parse_float=Decimal)["data"] == Decimal(number)


@pytest.mark.django_db(transaction=True)  # what Postgres can't hold ends a transaction, and so that of a test
@bounded(150)
@given(
    body=st.binary(max_size=200)
    | fragments
    | st.builds(lambda each: b"[%s]" % b",".join(each), st.lists(fragments, max_size=3)),
    media_type=media_types,
    packed=st.booleans(),
)
def test_no_body_makes_the_service_fail(api: Api, body: bytes, media_type: str, packed: bool) -> None:
    sent = gzip.compress(body, compresslevel=1) if packed else body

    answer = api.send(sent, media_type, **({"content_encoding": "gzip"} if packed else {}))

    assert answer.status_code in {200, 207, 400, 413, 415, 422}, answer.content
    assert Event.objects.count() == 0


@pytest.mark.django_db(transaction=True)
@bounded(150)
@example(fragment=UNSTORABLE.encode(), name="data")
@given(fragment=fragments, name=st.sampled_from(sorted(KNOWN)) | extension_names)
def test_no_value_of_an_attribute_makes_the_service_fail(api: Api, fragment: bytes, name: str) -> None:
    body = raw_event(**{name: "@"}).replace(b"@", fragment)

    answers = [api.send(body), api.send(b"[%s, %s]" % (body, raw_event()))]

    assert answers[0].status_code in {200, 201, 400, 422}, answers[0].content
    assert answers[1].status_code in {200, 207, 400}, answers[1].content


@bounded(60)
@given(
    query=st.text(max_size=30)
    | st.sampled_from(QUERIES).flatmap(lambda name: st.text(max_size=20).map(lambda value: name + value))
)
def test_no_query_makes_the_service_fail(api: Api, query: str) -> None:
    answer = api.client.generic(
        "GET", "/api/v1/events/", headers=api.headers(), QUERY_STRING=query.encode(errors="replace").decode("latin-1")
    )

    assert answer.status_code in {200, 400}
