"""``POST events/`` with what can't be taken: each has its status and code, names its field, and stores nothing."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from service.api import limits
from service.events.models import Event
from service.projects import operations as projects
from service.projects.models import Project, Scope
from tests.service.cast import Api, event, problem, raw_event, uuid7
from tests.service.properties import same

NO_ID = '"order-1"'
LATEST_POSSIBLE = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")  # of the year 10889


def quoted(value: object) -> str:
    return json.dumps(str(value))


def ago(**units: float) -> str:
    return quoted((timezone.now() - timedelta(**units)).isoformat())


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# What is wrong: (members as JSON text, the field that is named, the code).
FAULTS: dict[str, tuple[dict[str, str | None], str, str]] = {
    "no specversion": ({"specversion": None}, "specversion", "required"),
    "an older specversion": ({"specversion": '"0.3"'}, "specversion", "unknown_specversion"),
    "a newer specversion": ({"specversion": '"1.1"'}, "specversion", "unknown_specversion"),
    "specversion as a number": ({"specversion": "1.0"}, "specversion", "unknown_specversion"),
    "specversion null": ({"specversion": "null"}, "specversion", "unknown_specversion"),
    "no id": ({"id": None}, "id", "required"),
    "an empty id": ({"id": '""'}, "id", "invalid"),
    "id null": ({"id": "null"}, "id", "invalid"),
    "id as a number": ({"id": "7"}, "id", "invalid"),
    "an id of 256 characters": ({"id": quoted("x" * 256)}, "id", "invalid"),
    "an id of 1970": ({"id": quoted(uuid7(datetime(1970, 1, 1, tzinfo=UTC)))}, "id", "id_out_of_range"),
    "an id of 2090": ({"id": quoted(uuid7(datetime(2090, 1, 1, tzinfo=UTC)))}, "id", "id_out_of_range"),
    "an id past the year 9999": ({"id": quoted(LATEST_POSSIBLE)}, "id", "id_out_of_range"),
    "a foreign id without a time": ({"id": NO_ID}, "time", "required"),
    "a UUIDv4 without a time": ({"id": quoted("9b0e5e0c-5a0f-4c55-8a39-7a6f0f2a7a10")}, "time", "required"),
    "a foreign id of 1970": ({"id": NO_ID, "time": '"1970-01-01T00:00:00Z"'}, "time", "id_out_of_range"),
    "a foreign id before 1970": ({"id": NO_ID, "time": '"0001-01-01T00:00:00+14:00"'}, "time", "id_out_of_range"),
    "a foreign id of 2090": ({"id": NO_ID, "time": '"2090-01-01T00:00:00Z"'}, "time", "id_out_of_range"),
    "a foreign id of 9999": ({"id": NO_ID, "time": '"9999-12-31T23:59:59-14:00"'}, "time", "id_out_of_range"),
    "no type": ({"type": None}, "type", "required"),
    "an empty type": ({"type": '""'}, "type", "invalid"),
    "type null": ({"type": "null"}, "type", "invalid"),
    "type as an object": ({"type": "{}"}, "type", "invalid"),
    "a type of 256 characters": ({"type": quoted("x" * 256)}, "type", "invalid"),
    "the service's own source": ({"source": '"/heliograph"'}, "source", "reserved"),
    "a type of its records": ({"type": '"heliograph.key_made"'}, "type", "reserved"),
    "a sender of its own": ({"sender": '"heliograph.Key"', "subject": '"heliograph.Key/1"'}, "sender", "reserved"),
    "an actor of its own": ({"actor": '"heliograph.User/1"'}, "actor", "reserved"),
    "no source": ({"source": None}, "source", "required"),
    "an empty source": ({"source": '""'}, "source", "invalid"),
    "an empty subject": ({"subject": '""'}, "subject", "invalid"),
    "a sender that is too long": ({"sender": quoted("x" * 256)}, "sender", "invalid"),
    "an action that is too long": ({"action": quoted("x" * 65)}, "action", "invalid"),
    "actor as a number": ({"actor": "7"}, "actor", "invalid"),
    "correlationid as a list": ({"correlationid": "[]"}, "correlationid", "invalid"),
    "an emitterid that is no UUID": ({"emitterid": '"web-1"'}, "emitterid", "invalid"),
    "sequence as a number": ({"sequence": "184"}, "sequence", "invalid"),
    "a negative sequence": ({"sequence": '"-1"'}, "sequence", "invalid"),
    "sequence with a line break": ({"sequence": '"184\\n"'}, "sequence", "invalid"),
    "a sequence beyond bigint": ({"sequence": quoted(2**63)}, "sequence", "number_out_of_range"),
    "an unknown outcome": ({"outcome": '"lost"'}, "outcome", "invalid"),
    "a bad traceparent": ({"traceparent": '"00-1-2-3"'}, "traceparent", "invalid"),
    "a time that is none": ({"time": '"yesterday"'}, "time", "invalid"),
    "a time without an offset": ({"time": '"2026-11-22T10:00:00"'}, "time", "invalid"),
    "time as a number": ({"time": "1763800000"}, "time", "invalid"),
    "a time long before the id's": ({"time": ago(hours=25)}, "time", "time_mismatch"),
    "a time long after the id's": ({"time": ago(hours=-25)}, "time", "time_mismatch"),
    "a time in the year 1": ({"time": '"0001-01-01T00:00:00+14:00"'}, "time", "time_mismatch"),
    "a time in the year 9999": ({"time": '"9999-12-31T23:59:59-14:00"'}, "time", "time_mismatch"),
    "NUL in an attribute": ({"type": r'"a\u0000b"'}, "type", "nul_character"),
    "NUL in an id": ({"id": r'"\u0000"'}, "id", "nul_character"),
    "NUL in data": ({"data": r'{"fields": {"name": "\u0000"}}'}, "data.fields.name", "nul_character"),
    "NUL in a list": ({"data": r'{"tags": ["a", ["b", "\u0000"]]}'}, "data.tags[1][1]", "nul_character"),
    "NUL in a name in data": ({"data": r'{"fields": {"a\u0000": 1}}'}, "data.fields", "nul_character"),
    "NUL in an extension": ({"region": r'"\u0000"'}, "region", "nul_character"),
    "half a pair, high": ({"data": r'{"name": "\ud83d"}'}, "data.name", "lone_surrogate"),
    "half a pair, low": ({"data": r'{"name": "x\uDE00x"}'}, "data.name", "lone_surrogate"),
    "a pair the wrong way round": ({"data": r'{"name": "\ude00\ud83d"}'}, "data.name", "lone_surrogate"),
    "half a pair before a letter": ({"data": r'{"name": "\ud83d\u0041"}'}, "data.name", "lone_surrogate"),
    "half a pair in a name in data": ({"data": r'{"\ud83d": 1}'}, "data", "lone_surrogate"),
    "half a pair in an attribute": ({"actor": r'"\udfff"'}, "actor", "lone_surrogate"),
    "half a pair in an id": ({"id": r'"\ud800"'}, "id", "lone_surrogate"),
    "NaN": ({"data": '{"total": NaN}'}, "data.total", "not_a_number"),
    "NaN in a list": ({"data": "[1, [NaN]]"}, "data[1][0]", "not_a_number"),
    "NaN in an extension": ({"region": "NaN"}, "region", "not_a_number"),
    "infinity": ({"data": '{"total": Infinity}'}, "data.total", "not_a_number"),
    "negative infinity": ({"data": '{"total": -Infinity}'}, "data.total", "not_a_number"),
    "an integer one beyond bigint": ({"data": f'{{"total": {2**63}}}'}, "data.total", "number_out_of_range"),
    "an integer one below bigint": ({"data": f'{{"total": {-(2**63) - 1}}}'}, "data.total", "number_out_of_range"),
    "an integer of 5000 digits": ({"data": "9" * 5000}, "data", "number_out_of_range"),
    "an integer beyond bigint in an extension": ({"region": str(2**63)}, "region", "invalid"),
    "a float beyond a double": ({"data": '{"total": 1e400}'}, "data.total", "number_out_of_range"),
    "a long float beyond a double": ({"data": "9" * 400 + ".5"}, "data", "number_out_of_range"),
    "an exponent in capitals": ({"data": "-1E+0400"}, "data", "number_out_of_range"),
    "a float below a double": ({"data": "1e-16000"}, "data", "number_out_of_range"),
    "a zero with a vast exponent": ({"data": "0e-16000"}, "data", "number_out_of_range"),
    "lists 32 deep in the event": ({"data": nested(32)}, "data" + "[0]" * 31, "too_deep"),
    "lists 500 deep": ({"data": nested(500)}, "data" + "[0]" * 31, "too_deep"),
    "lists 100,000 deep": ({"data": nested(100_000)}, "", "too_deep"),
    "objects 32 deep": ({"data": '{"a":' * 32 + "1" + "}" * 32}, "data" + ".a" * 31, "too_deep"),
    "an extension that is an object": ({"region": '{"name": "north"}'}, "region", "invalid"),
    "an extension that is a list": ({"region": "[]"}, "region", "invalid"),
    "an extension that is a float": ({"region": "1.5"}, "region", "invalid"),
    "an extension in capitals": ({"Region": '"north"'}, "Region", "invalid_attribute_name"),
    "an extension with a dash": ({"trace-id": '"1"'}, "trace-id", "invalid_attribute_name"),
    "an extension with a line break": ({"region\n": '"1"'}, "region\n", "invalid_attribute_name"),
    "an extension in other letters": ({"größe": '"1"'}, "größe", "invalid_attribute_name"),
    "an extension with a long name": ({"x" * 65: '"1"'}, "x" * 65, "invalid_attribute_name"),
    "an extension without a name": ({"": '"1"'}, "", "invalid_attribute_name"),
    "too many extensions": ({f"x{number}": "1" for number in range(65)}, "", "too_many_extensions"),
    "data in both forms": ({"data": "1", "data_base64": '"AA=="'}, "data_base64", "invalid"),
    "data that is no Base64": ({"data_base64": '"A"'}, "data_base64", "invalid"),
    "Base64 data as a number": ({"data_base64": "1234"}, "data_base64", "invalid"),
    "Base64 data in other letters": ({"data_base64": '"größe"'}, "data_base64", "invalid"),
}
each_fault = pytest.mark.parametrize(("members", "field", "code"), FAULTS.values(), ids=FAULTS)


@each_fault
def test_one_bad_event_is_refused_with_422(members: dict[str, str | None], field: str, code: str, api: Api) -> None:
    answer = api.send(raw_event(**members))

    document = problem(answer, 422, code)
    assert document["errors"] == [{"field": field, "code": code, "detail": document["errors"][0]["detail"]}]
    assert field in document["detail"]
    assert Event.objects.count() == 0


@each_fault
def test_a_bad_event_is_refused_by_itself_and_its_batch_is_stored(
    members: dict[str, str | None], field: str, code: str, api: Api
) -> None:
    good = [event(), event()]

    answer = api.send(
        b"[%s, %s, %s]" % (json.dumps(good[0]).encode(), raw_event(**members), json.dumps(good[1]).encode())
    )

    assert answer.status_code == 207, answer.content
    receipt = answer.json()
    assert (receipt["accepted"], receipt["duplicates"], receipt["rejected"]) == (2, 0, 1)
    assert [(error["index"], error["field"], error["code"]) for error in receipt["errors"]] == [(1, field, code)]
    assert sorted(api.listed()) == sorted(each["id"] for each in good)


@pytest.mark.parametrize("item", ["7", "null", '"text"', "true", "[]", "[[]]", "{}", "1e400", "NaN", r'"\ud800"'])
def test_an_item_that_is_no_event_is_refused_by_itself(item: str, api: Api) -> None:
    answer = api.send(b"[%s, %s]" % (item.encode(), raw_event()))

    assert answer.status_code == 207
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)
    assert [(error["index"], error["id"]) for error in answer.json()["errors"]] == [(0, None)]


@pytest.mark.parametrize("item", ["7", "null", '"text"', "true", "{}", "NaN"])
def test_a_body_that_is_no_event_is_refused(item: str, api: Api) -> None:
    answer = api.send(item.encode())

    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert Event.objects.count() == 0


def test_a_refused_item_is_told_with_the_id_it_gave_itself(api: Api) -> None:
    bad = event(specversion="0.3")

    answer = api.send([bad, event(id=7), event(id="\ud800" + "x" * 300)])

    assert [error["id"] for error in answer.json()["errors"]] == [bad["id"], None, "?" + "x" * 254]


def test_an_item_that_is_too_large_is_refused_by_itself(api: Api) -> None:
    answer = api.send([event(data="x" * 300_000), event()])

    assert answer.status_code == 207
    assert [(error["index"], error["code"]) for error in answer.json()["errors"]] == [(0, "event_too_large")]
    assert Event.objects.count() == 1


def test_a_number_that_postgres_cant_hold_is_refused_by_itself(transactional_db: None, api: Api) -> None:
    sent = [raw_event(data=f"0.{'0' * 17_000}1") if index in {3, 4, 17} else raw_event() for index in range(20)]

    answer = api.send(b"[" + b",".join(sent) + b"]")

    receipt = answer.json()
    assert (answer.status_code, receipt["accepted"], receipt["duplicates"], receipt["rejected"]) == (207, 17, 0, 3)
    assert [(error["index"], error["code"]) for error in receipt["errors"]] == [
        (3, "unstorable"),
        (4, "unstorable"),
        (17, "unstorable"),
    ]
    assert Event.objects.count() == 17


def test_a_storable_and_an_unstorable_item_of_one_id_are_each_told_of(transactional_db: None, api: Api) -> None:
    same = quoted(uuid7())
    sent = [raw_event(id=same, data="1"), raw_event(id=same, data=f"0.{'0' * 17_000}1"), raw_event(id=same, data="1")]

    answer = api.send(b"[" + b",".join(sent) + b"]")

    receipt = answer.json()
    assert (receipt["accepted"], receipt["duplicates"], receipt["rejected"]) == (1, 1, 1)
    assert [error["index"] for error in receipt["errors"]] == [1]


# Numbers that Postgres writes out longer than they were sent, and how long that is.
EXPONENTS = {"1e300": 301, "1E99": 100, "-1.5e-99": 103, "1.5E+099": 100, "1e-300": 302, "0e-99": 101, "1e30": 31}


@pytest.mark.parametrize(("number", "length"), EXPONENTS.items())
def test_an_event_whose_numbers_are_too_long_when_written_out_is_too_large(number: str, length: int, api: Api) -> None:
    most = (limits.EVENT_BYTES - 400) // (length + 1)

    kept = api.send(raw_event(data=f"[{','.join([number] * most)}]"))
    refused = api.send(raw_event(data=f"[{','.join([number] * (most + 10))}]"))

    assert kept.status_code == 201, kept.content
    assert "written out" in problem(refused, 413, "event_too_large")["detail"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT octet_length(replace(data::text, ' ', '')) FROM event")
        (stored,) = cursor.fetchone()
    assert limits.EVENT_BYTES - 400 - length <= stored <= limits.EVENT_BYTES
    assert len(api.list().content) < limits.EVENT_BYTES + 1_000


def test_of_a_batch_an_item_that_is_too_large_when_written_out_is_refused_alone(api: Api) -> None:
    answer = api.send(b"[%s,%s]" % (raw_event(data=f"[{','.join(['1e99'] * 3_000)}]"), raw_event(data="[1e99]")))

    assert answer.status_code == 207
    (error,) = answer.json()["errors"]
    assert (error["index"], error["code"], error["field"][:7]) == (0, "event_too_large", "data[25")


@pytest.mark.parametrize(
    "text",
    [
        *(r'"\\u0000"', r'"\\ud800"', r'"\ud83d\ude00"', r'"\uffff\ufdd0"', '"\u2028\x7f"', '"NaN"', '"1e400"'),
        *(f'"{2**63}"', str(2**63 - 1), str(-(2**63)), "-0", "-0.0", "5e-324", "1.7976931348623157e308"),
        *("0.1234567890123456789", nested(31), '{"": {"": 1}}', '{"a": 1, "a": 2}'),
    ],
)
def test_what_only_looks_bad_is_taken(text: str, api: Api) -> None:
    answer = api.send(raw_event(data=text))

    assert answer.status_code == 201, answer.content
    assert same(api.list().json()["results"][0]["data"], json.loads(text))


def test_records_are_brought_along_by_a_key_that_may_do_all(db: None, project: Project) -> None:
    admin = Api(key=projects.create_key(project, [Scope.EVENTS_WRITE, Scope.ADMIN]))
    made = event(source="/heliograph", type="heliograph.key_made", sender="heliograph.Key", actor="heliograph.User/1")

    assert admin.send(made).status_code == 201
    assert admin.send([event(actor="heliograph.User/1")]).json()["accepted"] == 1


def test_types_of_the_emitter_are_no_records(api: Api) -> None:
    assert api.send(event(type="heliograph.bulk_update")).status_code == 201
