"""``POST events/`` when all is well: one event, and many."""

import gzip
import json

import pytest

from service.api.body import zstd
from service.events.models import Arrival, Delta, Event, Tally
from service.projects.models import Project
from tests.service.cast import EVENTS, Api, event, problem, raw_event, uuid7

STORED = {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": []}
REPEATED = {"accepted": 0, "duplicates": 1, "rejected": 0, "errors": []}
ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        ONE,
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF-8"; profile=x',
        ONE + ";a=b",
    ],
)
def test_one_event_is_stored_with_201(media_type: str, api: Api, project: Project) -> None:
    sent = event()

    answer = api.send(sent, media_type)

    assert (answer.status_code, answer.json()) == (201, STORED)
    assert answer.headers["Content-Type"] == "application/json"
    assert [(each.project_id, str(each.id)) for each in Event.objects.all()] == [(project.pk, sent["id"])]


def test_one_event_sent_again_is_a_duplicate_with_200(api: Api) -> None:
    sent = event(data={"total": 1})
    api.send(sent)

    answer = api.send({**sent, "data": {"total": 2}})

    assert (answer.status_code, answer.json()) == (200, REPEATED)
    assert [each.data for each in Event.objects.all()] == [{"total": 1}]


@pytest.mark.parametrize("media_type", ["application/json", MANY])
def test_many_events_are_stored_with_200(media_type: str, api: Api) -> None:
    sent = [event() for _ in range(20)]

    answer = api.send(sent, media_type)

    assert (answer.status_code, answer.json()) == (200, STORED | {"accepted": 20})
    assert {str(each.id) for each in Event.objects.all()} == {each["id"] for each in sent}


def test_a_batch_sent_again_with_new_events_stores_only_those(api: Api) -> None:
    sent = [event() for _ in range(10)]
    api.send(sent[:7])

    answer = api.send(sent)

    assert (answer.status_code, answer.json()) == (200, STORED | {"accepted": 3, "duplicates": 7})
    assert Event.objects.count() == 10


def test_an_event_that_stands_twice_in_a_batch_is_stored_once(api: Api) -> None:
    sent = event()

    answer = api.send([sent, event(), sent, sent])

    assert (answer.status_code, answer.json()) == (200, STORED | {"accepted": 2, "duplicates": 2})
    assert Event.objects.count() == 2


def test_an_empty_batch_stores_nothing_with_200(api: Api) -> None:
    answer = api.send([])

    assert (answer.status_code, answer.json()) == (200, STORED | {"accepted": 0})


def test_a_batch_of_one_is_answered_as_a_batch(api: Api) -> None:
    sent = [event()]

    assert [api.send(sent).status_code, api.send(sent).status_code] == [200, 200]


def test_the_largest_batch_is_taken_and_one_more_event_is_not(api: Api) -> None:
    sent = [event() for _ in range(1001)]

    refused = api.send(sent)
    nothing = Event.objects.count()
    taken = api.send(sent[:1000])

    problem(refused, 413, "too_many_events")
    assert nothing == 0
    assert (taken.status_code, taken.json()["accepted"]) == (200, 1000)


def test_an_event_of_just_the_limit_is_taken_and_one_byte_more_is_not(api: Api) -> None:
    empty = len(raw_event(data='""'))
    largest = raw_event(data=json.dumps("x" * (256 * 1024 - empty)))
    larger = raw_event(data=json.dumps("x" * (256 * 1024 - empty + 1)))

    taken, refused = api.send(largest), api.send(larger)

    assert (len(largest), taken.status_code) == (256 * 1024, 201)
    problem(refused, 413, "event_too_large")
    assert Event.objects.count() == 1


def test_a_body_of_gzip_is_inflated(api: Api) -> None:
    sent = [event(), event()]

    answer = api.send(gzip.compress(json.dumps(sent).encode()), content_encoding="gzip")

    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)


def test_a_body_of_several_gzip_members_is_inflated_as_a_whole(api: Api) -> None:
    body = json.dumps([event(), event()]).encode()

    answer = api.send(gzip.compress(body[:50]) + gzip.compress(b"") + gzip.compress(body[50:]), content_encoding="GZIP")

    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)


@pytest.mark.parametrize("level", [-5, 3, 19])
def test_a_body_of_zstd_is_inflated(level: int, api: Api) -> None:
    body = json.dumps([event() for _ in range(100)]).encode()

    answer = api.send(zstd.compress(body, level=level), content_encoding="Zstd")

    assert (answer.status_code, answer.json()["accepted"]) == (200, 100)


def test_a_body_of_several_zstd_frames_is_inflated_as_a_whole(api: Api) -> None:
    body = json.dumps([event(), event()]).encode()
    skippable = bytes.fromhex("502a4d18 03000000") + b"abc"

    answer = api.send(
        zstd.compress(body[:50]) + skippable + zstd.compress(b"") + zstd.compress(body[50:]), content_encoding="zstd"
    )

    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \t\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_are_answered_as_a_batch(end: str, last: bool, api: Api) -> None:
    sent = [event() for _ in range(3)]
    body = end.join(json.dumps(each) for each in [*sent, sent[0]]) + (end if last else "")

    answer = api.send(body.encode(), LINES)

    assert (answer.status_code, answer.json()) == (200, STORED | {"accepted": 3, "duplicates": 1})
    assert {str(each.id) for each in Event.objects.all()} == {each["id"] for each in sent}


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n"])
def test_no_lines_are_an_empty_batch(body: bytes, api: Api) -> None:
    answer = api.send(body, LINES) if body else api.send(body, content_type=LINES)

    assert (answer.status_code, answer.json()) == (200, STORED | {"accepted": 0})


@pytest.mark.parametrize("broken", ["{", "nul", "{,}", '{"id": "a"} {}', "\x0c{}", "{'a': 1}", "0" * 300_000])
def test_a_line_that_is_not_json_is_refused_alone(broken: str, api: Api) -> None:
    lines = [json.dumps(event()), broken, json.dumps(event())]

    answer = api.send("\n".join(lines).encode(), LINES)

    assert answer.status_code == 207
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 1)
    (error,) = answer.json()["errors"]
    assert (error["index"], error["id"]) == (1, None)
    assert error["code"] == ("event_too_large" if len(broken) > 99 else "malformed_json")


@pytest.mark.parametrize("many", [False, True])
def test_a_dry_run_answers_what_would_become_of_events_and_stores_nothing(many: bool, api: Api) -> None:
    stored, fresh, bad = event(), event(), event(type="")
    api.send(stored)

    answers = [
        api.call("POST", EVENTS + "?dry_run=true", json.dumps(sent).encode(), "application/json")
        for sent in ([[stored, fresh, fresh, bad]] if many else [stored, fresh, fresh, bad])
    ]

    assert [answer.status_code for answer in answers] == ([207] if many else [200, 201, 201, 422])
    if many:
        assert answers[0].json() | {"errors": []} == {"accepted": 1, "duplicates": 2, "rejected": 1, "errors": []}
        assert [error["index"] for error in answers[0].json()["errors"]] == [3]
    assert api.listed() == [stored["id"]]
    assert [model.objects.count() for model in (Event, Tally, Delta, Arrival)] == [1, 0, 1, 1]


def test_a_dry_run_doesnt_look_into_another_project(api: Api, neighbours_api: Api) -> None:
    sent = event()
    neighbours_api.send(sent)

    answer = api.call("POST", EVENTS + "?dry_run=true", json.dumps(sent).encode(), "application/json")

    assert answer.status_code == 201


def test_a_dry_run_tells_what_postgres_cant_hold(transactional_db: None, api: Api) -> None:
    body = b"[" + raw_event() + b"," + raw_event(data=f"0.{'0' * 17_000}1") + b"]"

    answers = [api.call("POST", EVENTS + query, body, "application/json").json() for query in ("?dry_run=true", "")]

    assert answers[0] == answers[1]
    assert [error["code"] for error in answers[0]["errors"]] == ["unstorable"]


@pytest.mark.parametrize("value", ["1", "True", "yes", ""])
def test_a_dry_run_is_true_or_false(value: str, api: Api) -> None:
    problem(api.call("POST", f"{EVENTS}?dry_run={value}", raw_event(), "application/json"), 400, "invalid_parameter")


def test_without_a_dry_run_events_are_stored(api: Api) -> None:
    assert api.call("POST", EVENTS + "?dry_run=false", raw_event(), "application/json").status_code == 201
    assert Event.objects.count() == 1


def test_whitespace_around_the_events_is_allowed(api: Api) -> None:
    one, many = b" \r\n\t" + raw_event() + b"\n", b"\n [ " + raw_event() + b" , " + raw_event() + b" ]\n"

    assert [api.send(one).status_code, api.send(many).status_code] == [201, 200]


def test_the_order_and_repetition_of_ids_in_a_batch_do_not_matter(api: Api) -> None:
    sent = sorted((event() for _ in range(50)), key=lambda each: each["id"], reverse=True)

    answer = api.send(sent + sent[::-1])

    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (50, 50)


def test_ids_in_upper_and_lower_case_are_one_event(api: Api) -> None:
    sent = event(id=str(uuid7()).upper())

    answers = [api.send(sent), api.send({**sent, "id": sent["id"].lower()})]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert api.listed() == [sent["id"]]


def test_sending_takes_one_statement_besides_the_key(api: Api, django_assert_num_queries: "object") -> None:
    api.send(event())  # which notes the key's use

    with django_assert_num_queries(2):  # type: ignore[operator]
        answer = api.send([event() for _ in range(500)])

    assert answer.json()["accepted"] == 500
