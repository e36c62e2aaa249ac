"""``POST events/`` when all is well: one event, and many."""

import gzip
import json

import pytest

from service.events.models import Event
from service.projects.models import Project
from tests.service.cast import Api, event, problem, raw_event, uuid7

STORED = {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": []}
REPEATED = {"accepted": 0, "duplicates": 1, "rejected": 0, "errors": []}
ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"


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


def test_sending_takes_one_statement(api: Api, django_assert_num_queries: "object") -> None:
    api.send(event())  # which notes the key's use, and remembers it

    with django_assert_num_queries(1):  # type: ignore[operator]
        answer = api.send([event() for _ in range(500)])

    assert answer.json()["accepted"] == 500
