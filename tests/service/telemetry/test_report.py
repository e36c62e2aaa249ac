"""``POST telemetry/``: what is kept of reports in any order, and which are refused."""

import gzip
import itertools
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import urllib3
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry.models import Emitter
from tests.service.cast import TELEMETRY, Api, event, numbered, problem, report
from tests.service.properties import bounded

NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
GREATEST = 2**53 - 1


def at(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat()


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_what_was_reported_is_read_back(api: Api) -> None:
    emitter = uuid4()
    told = report(
        emitter,
        versions={"emitter": "0.1.0", "python": "3.12.1", "django": "5.2.1"},
        host="web-1",
        pid=123,
        delivery="outbox",
        started="2026-11-20T09:00:00.5+01:00",
        captured=1234,
        queued=12,
        spooled=7,
        lost={"queue_full": 3, "refused": 1},
        unsent={"no_op": 5, "masked": 7},
        ended=True,
    )

    answer = api.tell(told)

    assert (answer.status_code, answer.content) == (204, b"")
    read = api.emitter(emitter)
    same = told.keys() - {"time", "started"}
    assert {name: read[name] for name in same} == {name: told[name] for name in same}
    assert read["started"] == "2026-11-20T08:00:00.500000Z"
    assert (read["stored"], read["gaps"]) == (0, [[1, 1234]])
    assert read["missing"] == 1234 - 12 - 7 - 4


def test_a_report_needs_only_what_no_default_can_stand_for(api: Api) -> None:
    emitter = uuid4()

    api.told(emitter)

    read = api.emitter(emitter)
    names = ["host", "pid", "delivery", "versions", "queued", "spooled", "lost", "unsent", "ended", "missing", "gaps"]
    assert [read[name] for name in names] == [None, None, None, {}, 0, 0, {}, {}, False, 0, []]


def test_the_clock_skew_is_the_services_clock_less_the_clients(api: Api) -> None:
    behind, ahead = uuid4(), uuid4()
    before = timezone.now()
    api.told(behind, time=(before - timedelta(seconds=90)).isoformat())
    api.told(ahead, time=(before + timedelta(hours=2)).isoformat())
    took = (timezone.now() - before).total_seconds()

    assert 90 <= api.emitter(behind)["clock_skew"] <= 90 + took
    assert -7200 <= api.emitter(ahead)["clock_skew"] <= -7200 + took


def test_the_greatest_of_what_was_reported_and_what_is_stored_is_captured(api: Api) -> None:
    ahead, behind = uuid4(), uuid4()
    api.send(numbered(ahead, 1, 2) + numbered(behind, 1, 9))
    api.told(ahead, captured=5)
    api.told(behind, captured=5)

    assert [api.emitter(each)["captured"] for each in (ahead, behind)] == [5, 9]
    assert [api.emitter(each)["gaps"] for each in (ahead, behind)] == [[[3, 5]], [[2, 8]]]


FIRST = {"time": at(0), "captured": 10, "queued": 4, "spooled": 9, "lost": {"a": 1, "b": 5}, "unsent": {"x": 1}}
SECOND = {"time": at(60), "captured": 20, "queued": 2, "spooled": 0, "lost": {"a": 3, "c": 1}, "unsent": {"x": 4}}
THIRD = {"time": at(120), "captured": 15, "queued": 1, "lost": {"a": 2}, "ended": True, "host": "web-2"}


@pytest.mark.parametrize("order", list(itertools.permutations([FIRST, SECOND, THIRD, SECOND])))
def test_reports_come_to_the_same_in_any_order(order: tuple[dict[str, Any], ...], api: Api) -> None:
    emitter = uuid4()

    for members in order:
        api.told(emitter, **members)

    read = api.emitter(emitter)
    assert (read["captured"], read["lost"], read["unsent"]) == (20, {"a": 3, "b": 5, "c": 1}, {"x": 4})
    assert (read["queued"], read["spooled"], read["ended"], read["host"]) == (1, 0, True, "web-2")
    assert read["missing"] == 20 - 9 - 1


def test_an_emitter_that_ended_stays_so(api: Api) -> None:
    emitter = uuid4()
    api.told(emitter, time=at(0), ended=True)
    api.told(emitter, time=at(1), queued=3)

    assert (api.emitter(emitter)["ended"], api.emitter(emitter)["queued"]) == (True, 3)


@bounded(30)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "time": st.integers(0, 1000),
                "captured": st.integers(0, 50),
                "queued": st.integers(0, 9),
                "lost": st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
            }
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda told: told["time"],
    )
)
def test_any_reports_come_to_their_greatest_counters_and_the_latests_gauges(api: Api, told: list[Any]) -> None:
    emitter = uuid4()

    for members in told:
        api.told(emitter, **members | {"time": at(members["time"])})

    read = api.emitter(emitter)
    reasons = {reason for members in told for reason in members["lost"]}
    assert read["captured"] == max(members["captured"] for members in told)
    assert read["lost"] == {name: max(members["lost"].get(name, 0) for members in told) for name in reasons}
    assert read["queued"] == max(told, key=lambda members: members["time"])["queued"]


def test_many_at_once_lose_no_counter(transactional_db: None, live_service: str, api: Api) -> None:
    """Each thread is the only one to tell of its reason; whoever writes back what it read before loses another's."""
    emitter, threads, rounds = uuid4(), 8, 6
    together = threading.Barrier(threads)
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}

    def tell(number: int) -> list[int]:
        statuses = []
        with urllib3.connection_from_url(live_service, timeout=60, retries=False) as http:
            for count in range(1, rounds + 1):
                together.wait()
                body = report(emitter, time=at(random.random()), captured=count, lost={f"r{number}": count})
                statuses.append(http.request("POST", TELEMETRY, body=json.dumps(body), headers=headers).status)
        return statuses

    with ThreadPoolExecutor(threads) as pool:
        statuses = [status for each in pool.map(tell, range(threads)) for status in each]

    assert set(statuses) == {204}
    assert api.emitter(emitter)["lost"] == {f"r{number}": rounds for number in range(threads)}
    assert api.emitter(emitter)["captured"] == rounds


def test_a_newer_emitters_other_members_are_left_aside(api: Api) -> None:
    emitter = uuid4()

    api.told(emitter, mood="good", nested={"a": [1]})

    assert "mood" not in api.emitter(emitter)


def test_gzip_is_taken(api: Api) -> None:
    body = gzip.compress(json.dumps(report(uuid4())).encode())

    assert api.tell(body, Content_Encoding="gzip").status_code == 204


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    **{
        f"no {name}": ({name: ...}, name, "required") for name in ("emitterid", "source", "started", "time", "captured")
    },
    "an emitterid that is no UUID": ({"emitterid": "web-1"}, "emitterid", "invalid"),
    "emitterid null": ({"emitterid": None}, "emitterid", "invalid"),
    "an empty source": ({"source": ""}, "source", "invalid"),
    "a long source": ({"source": "x" * 256}, "source", "invalid"),
    "source as a list": ({"source": ["/shop"]}, "source", "invalid"),
    "a time without an offset": ({"time": "2026-11-22T10:00:00"}, "time", "invalid"),
    "a time that is none": ({"time": "now"}, "time", "invalid"),
    "time as a number": ({"time": 1763800000}, "time", "invalid"),
    "a time in the year 1": ({"time": "0001-01-01T00:00:00+14:00"}, "time", "invalid"),
    "a time in the year 9999": ({"time": "9999-12-31T23:59:59-14:00"}, "time", "invalid"),
    "started in the year 1": ({"started": "0001-01-01T00:00:00+14:00"}, "started", "invalid"),
    "a negative captured": ({"captured": -1}, "captured", "invalid"),
    "captured that not every reader holds": ({"captured": GREATEST + 1}, "captured", "invalid"),
    "captured beyond bigint": ({"captured": 2**63}, "captured", "number_out_of_range"),
    "captured as a string": ({"captured": "5"}, "captured", "invalid"),
    "captured as true": ({"captured": True}, "captured", "invalid"),
    "captured as a fraction": ({"captured": 1.5}, "captured", "invalid"),
    "captured null": ({"captured": None}, "captured", "invalid"),
    "queued null": ({"queued": None}, "queued", "invalid"),
    "a negative spooled": ({"spooled": -1}, "spooled", "invalid"),
    "lost as a list": ({"lost": [1]}, "lost", "invalid"),
    "lost null": ({"lost": None}, "lost", "invalid"),
    "lost as a number": ({"lost": 3}, "lost", "invalid"),
    "a negative counter": ({"lost": {"a": 1, "b": -1}}, "lost.b", "invalid"),
    "a counter as a string": ({"unsent": {"a": "1"}}, "unsent.a", "invalid"),
    "a counter as an object": ({"lost": {"a": {"b": 1}}}, "lost.a", "invalid"),
    "a counter that not every reader holds": ({"lost": {"a": 2**60}}, "lost.a", "invalid"),
    "a counter beyond bigint": ({"lost": {"a": 2**63}}, "lost.a", "number_out_of_range"),
    "a vast counter": ({"lost": {"a": 10**4000}}, "lost.a", "number_out_of_range"),
    "a counter that is not a number": ({"lost": {"a": float("nan")}}, "lost.a", "not_a_number"),
    "a reason without a name": ({"lost": {"": 1}}, "lost", "invalid"),
    "a reason with a long name": ({"lost": {"x" * 65: 1}}, "lost", "invalid"),
    "too many reasons": ({"lost": {str(number): 1 for number in range(65)}}, "lost", "invalid"),
    "too many versions": ({"versions": {str(number): "1" for number in range(17)}}, "versions", "invalid"),
    "a version as a number": ({"versions": {"python": 3.12}}, "versions.python", "invalid"),
    "a long version": ({"versions": {"python": "3" * 65}}, "versions.python", "invalid"),
    "host as a number": ({"host": 1}, "host", "invalid"),
    "an empty host": ({"host": ""}, "host", "invalid"),
    "a negative pid": ({"pid": -1}, "pid", "invalid"),
    "an unknown delivery": ({"delivery": "pigeon"}, "delivery", "invalid"),
    "ended as a number": ({"ended": 1}, "ended", "invalid"),
    "NUL in a text": ({"host": "a\0b"}, "host", "nul_character"),
    "NUL in a reason": ({"lost": {"a\0": 1}}, "lost", "nul_character"),
    "NUL in a version": ({"versions": {"python": "\0"}}, "versions.python", "nul_character"),
    "NUL where nobody looks": ({"mood": ["\0"]}, "mood[0]", "nul_character"),
    "half a pair": ({"source": "\ud83d"}, "source", "lone_surrogate"),
    "half a pair in a reason": ({"unsent": {"\ud83d": 1}}, "unsent", "lone_surrogate"),
    "half a pair in a name": ({"\ud83d": 1}, "?", "lone_surrogate"),
    "lists 40 deep": ({"lost": json.loads(nested(40))}, "lost" + "[0]" * 31, "too_deep"),
}


@pytest.mark.parametrize(("members", "field", "code"), FAULTS.values(), ids=FAULTS)
def test_a_bad_report_is_refused_by_the_name_of_what_is_bad(
    members: dict[str, Any], field: str, code: str, api: Api
) -> None:
    content = json.dumps(report(uuid4(), **members))

    document = problem(api.tell(content.encode()), 422, code, field)

    assert document["detail"].startswith(f"{field}: ")
    assert Emitter.objects.count() == 0


@pytest.mark.parametrize("body", [" ", "{", "nope", '{"a": 1,}', "{}{}", "\ufeff{}", '{"a": 01}'])
def test_a_body_that_is_not_json_is_refused(body: str, api: Api) -> None:
    problem(api.tell(body.encode()), 400, "malformed_json", "body")


def test_a_body_that_is_not_utf_8_is_refused(api: Api) -> None:
    problem(api.tell(json.dumps(report(uuid4(), host="x")).encode().replace(b'"x"', b'"\xff"')), 400, "malformed_json")


@pytest.mark.parametrize("body", ["[]", "7", "null", '"text"', nested(20)])
def test_json_that_is_no_object_is_refused(body: str, api: Api) -> None:
    problem(api.tell(body.encode()), 422, "invalid", "")


@pytest.mark.parametrize("levels", [33, 30_000])
def test_deep_json_is_refused(levels: int, api: Api) -> None:
    problem(api.tell(nested(levels).encode()), 422, "too_deep")


def test_a_report_that_is_too_large_is_refused(api: Api) -> None:
    whole = json.dumps(report(uuid4())).encode()
    fits = whole + b" " * (64 * 1024 - len(whole))

    assert api.tell(fits).status_code == 204
    problem(api.tell(fits + b" "), 413, "body_too_large", "body")
    problem(api.tell(gzip.compress(fits + b" "), Content_Encoding="gzip"), 413, "body_too_large", "body")


@pytest.mark.parametrize("media_type", ["text/plain", "application/cloudevents+json", "application/x-ndjson", ""])
def test_another_media_type_is_refused(media_type: str, api: Api) -> None:
    problem(api.tell(report(uuid4()), media_type), 415, "unsupported_media_type", "Content-Type")


def test_another_charset_is_refused(api: Api) -> None:
    problem(api.tell(report(uuid4()), "application/json; charset=latin-1"), 415, "unsupported_charset")


@pytest.mark.parametrize("field", ["lost", "unsent"])
def test_new_reasons_in_each_report_are_refused_in_the_end(field: str, api: Api) -> None:
    emitter = uuid4()
    first = {str(number): 1 for number in range(64)}
    api.told(emitter, **{field: first})

    problem(api.tell(report(emitter, captured=99, **{field: {"another": 1}})), 422, "too_many_reasons", field)

    read = api.emitter(emitter)
    assert (read[field], read["captured"]) == (first, 0)


def test_the_greatest_of_all_numbers_are_kept(api: Api) -> None:
    emitter, reasons = uuid4(), {str(number): GREATEST for number in range(64)}
    most = {"captured": GREATEST, "queued": GREATEST, "spooled": GREATEST, "pid": GREATEST}

    api.told(emitter, **most, lost=reasons, unsent=reasons)

    read = api.emitter(emitter)
    assert {name: read[name] for name in most} == most
    assert (read["lost"], read["missing"], read["gaps"]) == (reasons, 0, [[1, GREATEST]])


def test_a_parameter_is_refused_by_name(api: Api) -> None:
    problem(api.call("POST", f"{TELEMETRY}?x=1", b"{}", "application/json"), 400, "unknown_parameter", "x")


def test_a_key_that_may_only_read_cant_report(reader: Api) -> None:
    problem(reader.tell(report(uuid4())), 403, "scope_missing")
    assert Emitter.objects.count() == 0


def test_a_key_that_may_only_write_can(writer: Api) -> None:
    assert writer.tell(report(uuid4())).status_code == 204


def test_without_a_key_nobody_can(stranger: Api, db: None) -> None:
    problem(stranger.tell(report(uuid4())), 401, "key_missing")


def test_reports_are_not_read_here(api: Api) -> None:
    problem(api.get(TELEMETRY), 405, "method_not_allowed")


def test_a_report_says_nothing_of_events(api: Api) -> None:
    api.told(uuid4(), captured=3)
    api.send(event())

    assert len(api.listed()) == 1
