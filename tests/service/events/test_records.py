"""What the service records of itself is an event of the project, and there if what it tells of is."""

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import example, given
from hypothesis import strategies as st

from service.api import limits
from service.events import records
from service.events.models import Event
from service.events.records import Record
from service.projects import operations
from service.projects.models import Key, Project, Role
from service.projects.seats import Seat
from tests.service.cast import Api


def test_a_record_is_an_event_of_the_project(project: Project, key: str, api: Api, neighbours_api: Api) -> None:
    made = Key.objects.get(project=project)

    records.record(project.pk, Record.KEY_MADE, made, about=(records.KEY, 7), data={"label": "web"})

    (event,) = api.list().json()["results"]
    assert event["type"] == "heliograph.key_made"
    assert (event["source"], event["actor"]) == ("/heliograph", f"heliograph.Key/{made.pk}")
    assert (event["subject"], event["data"]) == ("heliograph.Key/7", {"label": "web"})
    assert api.get("/api/v1/objects/heliograph.Key/7/history/").json()["results"][0]["id"] == event["id"]
    assert neighbours_api.listed() == []


def test_each_record_is_an_event_of_its_own(project: Project) -> None:
    for _ in range(3):
        records.record(project.pk, Record.ERASED, None, about=(records.PROJECT, project.pk), data={})

    assert Event.objects.filter(actor=None).count() == 3


def test_a_record_of_what_was_undone_is_undone(project: Project) -> None:
    with transaction.atomic():
        records.record(project.pk, Record.KEY_MADE, None, about=(records.KEY, 7), data={})
        transaction.set_rollback(True)

    assert not Event.objects.exists()


def test_people_are_named_alike_however_they_came(project: Project) -> None:
    user = User.objects.create_user("alice")
    seat = Seat(user_id=user.pk, project_id=project.pk, role=Role.OWNER, reads=Project.objects.none())

    assert records.name_of(user) == records.name_of(seat) == f"heliograph.User/{user.pk}"


@given(text=st.text(), token=st.text(operations.ALPHABET, min_size=40, max_size=40).map("hg_{}".format))
@example(text="hg_ABCDEFG", token="hg_" + "x" * 40)
def test_whatever_is_told_can_be_kept_and_holds_no_token(text: str, token: str) -> None:
    told = records.told(f"{text}{token}{text}" * 3)

    told.encode()
    assert "\0" not in told
    assert len(told) <= limits.VALUE
    assert token not in told
    assert token[11:] not in told


@pytest.mark.parametrize("text", ["", "shop.Order/42", "größe", "hg_", "hg_short"])
def test_what_is_short_and_no_token_is_told_as_it_is(text: str) -> None:
    assert records.told(text) == text


def test_the_token_of_a_key_is_told_as_its_beginning(project: Project) -> None:
    token = operations.create_key(project, [])

    assert records.told(f"a {token}.") == f"a {Key.objects.get().prefix}…."
