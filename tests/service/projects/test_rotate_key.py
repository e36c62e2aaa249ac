"""`rotate_key` and `revoke_key`: a new key takes over, and what is over is refused, wherever it is remembered."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from service.ingest import quick
from service.projects import operations
from service.projects.models import Key, Project, Scope
from service.projects.operations import KeyEnded
from tests.service.cast import Api, event, problem

HOUR = timedelta(hours=1)
NEAR = timedelta(minutes=1)
BOTH = [Scope.EVENTS_WRITE, Scope.EVENTS_READ]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let seconds go by, by the clock of what is remembered."""
    clock = time.monotonic
    ahead = 0.0

    def go_by(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead)
    return go_by


def key_of(token: str) -> Key:
    return Key.objects.get(digest=operations.digest(token))


def is_taken_quickly(token: str) -> bool:
    return quick.key_of(f"Bearer {token}".encode()) is not None


def test_a_successor_may_do_what_the_key_may(project: Project, neighbour: Project) -> None:
    old = key_of(operations.create_key(project, BOTH, label="web", reads=[neighbour]))
    Key.objects.update(rate_limit=77)

    new = key_of(operations.rotate_key(old, HOUR))

    assert (new.project, new.label, new.scopes, new.rate_limit) == (project, "web", BOTH, 77)
    assert [*new.reads.all()] == [neighbour]
    assert (new.expires_at, new.revoked_at, new.successor) == (None, None, None)
    assert key_of_id(old.pk).successor == new


def key_of_id(pk: int) -> Key:
    return Key.objects.get(pk=pk)


def test_both_keys_work_until_the_overlap_is_over(project: Project) -> None:
    old = operations.create_key(project, BOTH)
    new = operations.rotate_key(key_of(old), HOUR)

    assert [Api(key=token).list().status_code for token in (old, new)] == [200, 200]
    assert abs(key_of(old).expires_at - timezone.now() - HOUR) < NEAR  # type: ignore[operator]  # it has one
    Key.objects.filter(digest=operations.digest(old)).update(expires_at=timezone.now())

    assert Api(key=new).list().status_code == 200


def test_a_key_that_was_used_is_refused_within_five_seconds_of_its_rotation(
    project: Project, later: Callable[[float], None]
) -> None:
    old = operations.create_key(project, BOTH)
    assert Api(key=old).send(event()).status_code == 201
    assert is_taken_quickly(old)
    new = operations.rotate_key(key_of(old), timedelta(0))

    later(5)

    assert not is_taken_quickly(old)
    problem(Api(key=old).send(event()), 401, "key_expired")
    assert Api(key=new).send(event()).status_code == 201


def test_a_key_that_was_used_is_refused_within_five_seconds_of_its_revocation(
    key: str, api: Api, later: Callable[[float], None]
) -> None:
    assert api.send(event()).status_code == 201
    assert is_taken_quickly(key)
    assert operations.revoke_key(key_of(key))

    later(5)

    assert not is_taken_quickly(key)
    problem(api.send(event()), 401, "key_revoked")


def test_a_remembered_key_is_taken_quickly_until_the_moment_that_it_expires(key: str, api: Api) -> None:
    Key.objects.update(expires_at=timezone.now() + timedelta(seconds=0.5))
    api.send(event())
    taken = is_taken_quickly(key)
    expires_at = key_of(key).expires_at

    while timezone.now() < expires_at:  # type: ignore[operator]  # it has one
        pass

    assert (taken, is_taken_quickly(key)) == (True, False)


@pytest.mark.parametrize(("left", "expected"), [(HOUR, HOUR), (HOUR / 2, HOUR / 2), (None, HOUR)])
def test_no_overlap_makes_a_key_live_longer(left: timedelta | None, expected: timedelta, project: Project) -> None:
    expires_at = left and timezone.now() + left
    old = key_of(operations.create_key(project, BOTH, expires_at=expires_at))

    operations.rotate_key(old, HOUR)

    assert abs(old.expires_at - timezone.now() - expected) < NEAR  # type: ignore[operator]  # it has one
    assert key_of_id(old.pk).expires_at == old.expires_at


def test_a_successor_lives_as_long_as_the_key_was_made_to(project: Project) -> None:
    old = key_of(operations.create_key(project, BOTH, expires_at=timezone.now() + 90 * HOUR))
    Key.objects.update(created_at=old.created_at - 80 * HOUR, expires_at=timezone.now() + 10 * HOUR)

    new = key_of(operations.rotate_key(old, HOUR))

    assert abs(new.expires_at - timezone.now() - 90 * HOUR) < NEAR  # type: ignore[operator]  # it has one


@pytest.mark.parametrize(
    ("column", "code"), [("revoked_at", "key_revoked"), ("expires_at", "key_expired")], ids=["revoked", "expired"]
)
def test_a_key_that_works_no_more_has_no_successor(column: str, code: str, key: str) -> None:
    before = key_of(key)
    Key.objects.update(**{column: timezone.now()})

    with pytest.raises(KeyEnded) as refusal:
        operations.rotate_key(before, HOUR)  # as it was read before that

    assert refusal.value.code == code
    assert Key.objects.count() == 1


def test_a_key_is_rotated_once(key: str) -> None:
    operations.rotate_key(key_of(key), HOUR)
    expires_at = key_of(key).expires_at

    with pytest.raises(KeyEnded) as refusal:
        operations.rotate_key(key_of(key), 2 * HOUR)

    assert refusal.value.code == "key_rotated"
    assert Key.objects.count() == 2
    assert key_of(key).expires_at == expires_at


def test_a_revocation_keeps_its_time(key: str) -> None:
    first = operations.revoke_key(key_of(key))
    revoked_at = key_of(key).revoked_at

    assert (first, operations.revoke_key(key_of(key))) == (True, False)
    assert key_of(key).revoked_at == revoked_at


def test_a_revocation_that_was_set_for_later_happens_now(key: str) -> None:
    Key.objects.update(revoked_at=timezone.now() + HOUR)

    assert operations.revoke_key(key_of(key))

    assert key_of(key).revoked_at <= timezone.now()  # type: ignore[operator]  # it has one


def test_of_many_who_rotate_a_key_at_once_one_does(transactional_db: None) -> None:
    project = Project.objects.create(name="shop")
    key = key_of(operations.create_key(project, BOTH))
    tokens, codes = at_once(lambda: operations.rotate_key(key_of_id(key.pk), HOUR), 6)

    assert len(tokens) == 1
    assert codes == ["key_rotated"] * 5
    assert {each.pk for each in Key.objects.all()} == {key.pk, key_of(tokens[0]).pk}


def test_a_key_that_is_revoked_while_it_is_rotated_is_revoked(transactional_db: None) -> None:
    project = Project.objects.create(name="shop")
    for _ in range(5):
        key = key_of(operations.create_key(project, BOTH))
        both = [
            lambda key=key: operations.rotate_key(key_of_id(key.pk), HOUR),
            lambda key=key: operations.revoke_key(key),
        ]
        at_once(lambda both=both: both.pop()(), 2)

        assert key_of_id(key.pk).revoked_at is not None


def at_once(call: Callable[[], Any], times: int) -> tuple[list[Any], list[str]]:
    """Call in as many threads; return what they returned, and the codes of what refused the others."""
    results: list[Any] = []
    codes: list[str] = []
    begin = threading.Barrier(times)

    def run() -> None:
        begin.wait(10)
        try:
            results.append(call())
        except KeyEnded as refusal:
            codes.append(refusal.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results, codes
