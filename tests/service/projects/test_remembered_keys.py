"""Keys are remembered for seconds: a change is effective within five, and nobody gets another's."""

import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from service.projects import authentication, operations, remembered
from service.projects.models import Key, Project, Scope
from tests.service.cast import Api, event, problem

Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Let seconds go by."""
    clock = time.monotonic
    ahead = 0.0

    def go_by(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead)
    return go_by


def test_a_key_is_read_once_for_many_requests(api: Api, django_assert_num_queries: Any) -> None:
    api.list()

    with django_assert_num_queries(5):  # the pages
        for _ in range(5):
            assert api.list().status_code == 200


def test_a_key_is_read_again_within_five_seconds(api: Api, later: Later) -> None:
    api.list()
    Key.objects.update(revoked_at=timezone.now())

    later(5)

    problem(api.list(), 401, "key_revoked")


def test_a_scope_that_is_taken_away_or_given_counts_within_five_seconds(reader: Api, later: Later) -> None:
    assert reader.list().status_code == 200
    Key.objects.update(scopes=[Scope.EVENTS_WRITE])

    later(5)

    assert (reader.list().status_code, reader.send(event()).status_code) == (403, 201)


def test_a_key_that_is_deleted_is_unknown_within_five_seconds(api: Api, later: Later) -> None:
    api.list()
    Key.objects.all().delete()

    later(5)

    problem(api.list(), 401, "key_unknown")


def test_a_key_that_expires_is_refused_from_that_moment(api: Api) -> None:
    Key.objects.update(expires_at=timezone.now() + timedelta(seconds=0.5))
    assert api.list().status_code == 200

    while timezone.now() < Key.objects.get().expires_at:  # type: ignore[operator]  # it has one
        pass

    problem(api.list(), 401, "key_expired")


def test_what_was_remembered_late_is_not_kept_longer_for_being_used(api: Api, later: Later) -> None:
    api.list()
    Key.objects.update(revoked_at=timezone.now())

    statuses = []
    for _ in range(10):
        later(0.5)
        statuses.append(api.list().status_code)

    assert statuses[-1] == 401
    assert sorted(statuses) == statuses


def test_an_unknown_key_is_looked_up_once_and_found_within_five_seconds_of_its_making(
    project: Project, later: Later, django_assert_num_queries: Any
) -> None:
    api = Api(key="hg_" + secrets.token_hex(20))
    problem(api.list(), 401, "key_unknown")
    with django_assert_num_queries(0):
        problem(api.list(), 401, "key_unknown")
    made = operations.create_key(project, [Scope.EVENTS_READ])
    Key.objects.filter(digest=operations.digest(made)).update(digest=operations.digest(str(api.key)))

    later(5)

    assert api.list().status_code == 200


def test_each_key_is_remembered_with_its_own_project(api: Api, neighbours_api: Api, later: Later) -> None:
    mine, theirs = event(), event()
    api.send(mine)
    neighbours_api.send(theirs)

    for _ in range(6):
        assert api.listed() == [mine["id"]]
        assert neighbours_api.listed() == [theirs["id"]]
        later(0.7)


def test_a_use_is_noted_once_a_minute_however_often_a_key_is_read_again(api: Api, later: Later) -> None:
    api.list()
    noted = Key.objects.get().last_used_at
    for _ in range(3):
        later(5)
        api.list()

    assert Key.objects.get().last_used_at == noted


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    memory: remembered.Memory[int] = remembered.Memory(3)
    for number in range(10):
        memory.put(bytes([number]), number + 1, time.monotonic())

    assert [memory.get(bytes([number])) for number in range(10)] == [None] * 7 + [8, 9, 10]
    assert len(memory.values) == 3


def test_guessing_drives_no_good_key_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "_strangers", remembered.Memory(5))
    api.list()
    known = len(authentication._keys.values)

    for number in range(20):
        problem(Api(key=f"hg_{number}").list(), 401, "key_unknown")

    assert len(authentication._keys.values) == known
    assert len(authentication._strangers.values) == 5


def test_no_token_is_kept_in_memory(api: Api, key: str) -> None:
    api.list()

    assert key not in repr(authentication._keys.values)
