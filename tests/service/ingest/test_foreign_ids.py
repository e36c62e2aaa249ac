"""Events of other CloudEvents producers: any id, any extension, binary data."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from service.events.models import Event
from tests.service.cast import Api, event, uuid7

MOMENT = timezone.now().replace(microsecond=123456)


def foreign(**attributes: object) -> dict[str, object]:
    return event(**{"id": "order-1", "time": MOMENT.isoformat()} | attributes)


def only_event(api: Api) -> dict[str, object]:
    (found,) = api.list().json()["results"]
    return dict(found)


@pytest.mark.parametrize(
    "own",
    [
        "order-1",
        "x",
        "é" * 255,
        "9b0e5e0c-5a0f-4c55-8a39-7a6f0f2a7a10",
        "{01a1f873-c8a0-7c3e-a1b2-5f0e6d3c9a41}",
        "01a1f873c8a07c3ea1b25f0e6d3c9a41",
        "01a1f873-c8a0-7c3e-01b2-5f0e6d3c9a41",  # version 7, and a variant that is not RFC 9562's
    ],
)
def test_an_event_with_a_foreign_id_is_found_by_its_recorded_one(own: str, api: Api) -> None:
    api.send(foreign(id=own))

    found = only_event(api)

    assert found["id"] == own
    assert found["recordedid"] != own
    assert api.read(found["recordedid"]).json() == found


def test_an_event_with_its_own_uuid7_has_no_recorded_id(api: Api) -> None:
    api.send(event())

    assert "recordedid" not in only_event(api)


def test_an_event_with_a_foreign_id_is_a_duplicate_when_sent_again(api: Api) -> None:
    answers = [api.send(foreign()), api.send(foreign(data={"other": True})), api.send([foreign(), foreign()])]

    assert [(answer.status_code, answer.json()["duplicates"]) for answer in answers] == [(201, 0), (200, 1), (200, 2)]
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    "other",
    [{"id": "order-2"}, {"source": "/shop/batch"}, {"time": (MOMENT + timedelta(seconds=1)).isoformat()}],
    ids=["id", "source", "time"],
)
def test_a_foreign_event_of_another_id_source_or_time_is_another_event(other: dict[str, object], api: Api) -> None:
    api.send(foreign())

    answer = api.send(foreign() | other)

    assert answer.status_code == 201
    assert Event.objects.count() == 2


def test_source_and_id_are_not_run_together(api: Api) -> None:
    answer = api.send([foreign(source="/a", id="b1"), foreign(source="/ab", id="1"), foreign(source="/", id="ab1")])

    assert answer.json()["accepted"] == 3


def test_one_moment_in_two_offsets_is_one_event(api: Api) -> None:
    east = MOMENT.astimezone(timezone.get_fixed_timezone(330))

    answer = api.send([foreign(), foreign(time=east.isoformat())])

    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (1, 1)


def test_a_foreign_event_stands_in_the_order_of_its_time(api: Api) -> None:
    minutes = [timezone.now() - timedelta(minutes=number) for number in range(5)]
    api.send([foreign(id=f"{number}", time=minutes[number].isoformat()) for number in (3, 0, 4)])
    api.send([event(id=str(uuid7(minutes[number])), subject=f"{number}") for number in (2, 1)])

    found = api.list().json()["results"]

    assert [each.get("subject", each["id"]) for each in found] == ["0", "1", "2", "3", "4"]


def test_unknown_extensions_are_kept_and_returned(api: Api) -> None:
    extensions = {"region": "north", "retries": 3, "urgent": True, "calm": False, "nothing": "", "x" * 64: "long"}
    sent = event(**extensions, dataschema="https://example.org/order", datacontenttype="application/json")

    answer = api.send(sent)

    assert answer.status_code == 201
    assert {name: value for name, value in only_event(api).items() if name not in {"time", "recordedtime"}} == sent


def test_an_attribute_that_is_null_is_absent(api: Api) -> None:
    absent = {"region": None, "sender": None, "subject": None, "time": None, "data": None, "data_base64": None}

    answer = api.send({**event(), **absent})

    assert answer.status_code == 201
    assert not absent.keys() - {"time"} & only_event(api).keys()


@pytest.mark.parametrize("said", ["2001-01-01T00:00:00Z", {"not": "even text"}, 7])
def test_what_a_client_says_of_the_services_own_attributes_is_dropped(said: object, api: Api) -> None:
    answer = api.send(event(recordedtime=said, recordedid=said))

    found = only_event(api)
    assert answer.status_code == 201
    assert "recordedid" not in found
    assert timezone.now() - datetime.fromisoformat(str(found["recordedtime"])) < timedelta(minutes=1)


def test_binary_data_comes_back_as_it_was_sent(api: Api) -> None:
    sent = event(data_base64="AAECAwQF/+8=", datacontenttype="image/png")

    answer = api.send(sent)

    found = only_event(api)
    assert answer.status_code == 201
    assert found["data_base64"] == "AAECAwQF/+8="
    assert found["datacontenttype"] == "image/png"
    assert "data" not in found


@pytest.mark.parametrize(
    ("sender", "subject", "object_id"),
    [
        ("shop.Order", "shop.Order/42", "42"),
        ("shop.Order", "shop.Order/a/b", "a/b"),
        ("a/b", "a/b/c", "c"),
        ("shop.Order", "shop.Order/", None),
        ("shop.Order", "shop.Order", None),
        ("shop.Order", "shop.OrderLine/42", None),
        ("shop.Order", "x shop.Order/42", None),
        (None, "shop.Order/42", None),
        (None, "None/42", None),
        ("shop.Order", None, None),
    ],
)
def test_the_object_is_read_from_sender_and_subject(
    sender: str | None, subject: str | None, object_id: str | None, api: Api
) -> None:
    api.send(event(sender=sender, subject=subject))

    assert Event.objects.get().object_id == object_id
    assert only_event(api).get("subject") == subject


def test_the_trace_id_is_kept_beside_the_traceparent(api: Api) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    api.send(event(traceparent=traceparent))

    assert only_event(api)["traceparent"] == traceparent
    assert Event.objects.get().trace_id.hex == "0af7651916cd43dd8448eb211c80319c"
