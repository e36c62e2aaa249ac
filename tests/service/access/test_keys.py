"""``keys/``: made, labelled, rotated and revoked by who has the scope ``admin``, in the own project."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.access import documents
from service.access import operations as access
from service.api import limits
from service.api.body import Malformed
from service.api.inspection import RefusedError
from service.events.models import Event
from service.projects import operations
from service.projects.models import Key, Membership, Project, Role, Scope
from service.projects.permissions import Forbidden
from service.projects.seats import Seat
from tests.service.cast import Api, event, problem

KEYS = "/api/v1/keys/"
TOKEN = re.compile(r"hg_[A-Za-z0-9]{40}")


def post(api: Api, address: str, content: object) -> Any:
    return api.call("POST", address, json.dumps(content).encode(), "application/json")


def make(api: Api, *scopes: str, label: str = "web", **members: object) -> Any:
    return post(api, KEYS, {"label": label, "scopes": scopes or [Scope.EVENTS_WRITE], **members})


def rotate(api: Api, key_id: object, overlap: int = 60) -> Any:
    return post(api, f"{KEYS}{key_id}/rotate/", {"overlap": overlap})


def relabel(api: Api, key_id: object, label: str) -> Any:
    return api.call("PATCH", f"{KEYS}{key_id}/", json.dumps({"label": label}).encode(), "application/json")


def revoke(api: Api, key_id: object) -> Any:
    return api.call("DELETE", f"{KEYS}{key_id}/")


def made(api: Api, *scopes: str, **members: Any) -> dict[str, Any]:
    answer = make(api, *scopes, **members)
    assert answer.status_code == 201, answer.content
    told: dict[str, Any] = answer.json()
    return told


def own(api: Api) -> Key:
    return Key.objects.get(digest=operations.digest(str(api.key)))


def owner(project: Project, role: Role = Role.OWNER) -> Api:
    """Return somebody who is logged in."""
    user = User.objects.create_user(f"{role} of {project}")
    Membership.objects.create(project=project, user=user, role=role)
    api = Api(key=None, project=project.name)
    api.client.force_login(user)
    return api


def recorded(project: Project) -> list[tuple[str, str | None, str | None]]:
    found = Event.objects.filter(project_id=project.pk, type__startswith="heliograph.").order_by("occurred_at")
    return [(each.type.removeprefix("heliograph."), each.actor, each.object_id) for each in found]


def test_a_key_that_was_made_does_what_was_asked(admin: Api) -> None:
    expires = timezone.now() + timedelta(days=1)
    answer = make(admin, Scope.EVENTS_WRITE, expires=expires.isoformat())
    told = answer.json()

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    writer = Api(key=told["token"])
    assert (writer.send(event()).status_code, writer.list().status_code) == (201, 403)
    key = Key.objects.get(pk=told["id"])
    assert (key.label, key.scopes, key.expires_at) == ("web", ["events:write"], expires)
    assert (told["prefix"], told["scopes"], told["successor"]) == (key.prefix, ["events:write"], None)


def test_the_keys_of_the_project_are_listed_newest_first(admin: Api, neighbour: Project) -> None:
    operations.create_key(neighbour, Scope.values)
    ids = [made(admin, label=str(number))["id"] for number in range(4)]

    found: list[int] = []
    page: str | None = f"{KEYS}?page_size=2"
    while page:
        answer = admin.get(page).json()
        found += [each["id"] for each in answer["results"]]
        page = answer["next"]

    assert found == [*reversed(ids), own(admin).pk]


def test_a_key_is_read_and_labelled_anew(admin: Api) -> None:
    key_id = made(admin)["id"]

    answer = relabel(admin, key_id, "shop")

    assert (answer.status_code, answer.json()["label"]) == (200, "shop")
    assert admin.get(f"{KEYS}{key_id}/").json() == answer.json()
    assert relabel(admin, key_id, "shop").status_code == 200


def test_a_rotated_key_and_its_successor_work_side_by_side(admin: Api) -> None:
    old = made(admin, Scope.EVENTS_WRITE, Scope.EVENTS_READ)

    answer = rotate(admin, old["id"], 3600)

    new = answer.json()
    assert answer.status_code == 201
    assert [Api(key=each["token"]).list().status_code for each in (old, new)] == [200, 200]
    assert (new["label"], new["scopes"]) == (old["label"], old["scopes"])
    shown = admin.get(f"{KEYS}{old['id']}/").json()
    assert shown["successor"] == new["id"]
    left = timezone.now() + timedelta(hours=1) - Key.objects.get(pk=old["id"]).expires_at  # type: ignore[operator]
    assert abs(left) < timedelta(minutes=1)


def test_a_revoked_key_is_refused_and_stays_in_the_list(admin: Api) -> None:
    key = made(admin, Scope.EVENTS_READ)

    answers = [revoke(admin, key["id"]) for _ in range(2)]

    assert [(each.status_code, each.content) for each in answers] == [(204, b"")] * 2
    problem(Api(key=key["token"]).list(), 401, "key_revoked")
    assert admin.get(f"{KEYS}{key['id']}/").json()["revoked"] is not None


@pytest.mark.parametrize("offset", ["-23:59", "+16:00", "-00:00"])
def test_any_offset_of_an_expiry_is_taken(offset: str, admin: Api) -> None:
    expires = (timezone.now() + timedelta(days=3)).replace(tzinfo=None).isoformat() + offset

    key = made(admin, expires=expires)

    assert datetime.fromisoformat(key["expires"]) == datetime.fromisoformat(expires)


def test_an_owner_does_what_an_admin_key_does(project: Project) -> None:
    person = owner(project)

    key = made(person, *Scope.values)
    new = rotate(person, key["id"]).json()

    assert relabel(person, new["id"], "shop").status_code == 200
    assert [revoke(person, each["id"]).status_code for each in (key, new)] == [204, 204]
    assert {actor for _, actor, _ in recorded(project)} == {f"heliograph.User/{User.objects.get().pk}"}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
def test_who_is_no_owner_has_nothing_to_do_with_keys(role: Role, project: Project, admin: Api) -> None:
    person, key_id = owner(project, role), made(admin)["id"]

    answers = [person.get(KEYS), make(person), rotate(person, key_id), relabel(person, key_id, "x")]

    for answer in [*answers, revoke(person, key_id)]:
        problem(answer, 403, "scope_missing")


@pytest.mark.parametrize("scope", [Scope.EVENTS_READ, Scope.EVENTS_WRITE, Scope.SUBSCRIPTIONS])
def test_a_key_gives_no_scope_that_it_has_not(scope: Scope, project: Project) -> None:
    lesser = Api(key=operations.create_key(project, [each for each in Scope if each != scope]))

    document = problem(make(lesser, scope, Scope.ADMIN), 403, "scope_missing")

    assert scope in document["detail"]
    assert Key.objects.count() == 1


def test_a_key_gets_no_scope_by_rotating_one_that_has_it(project: Project) -> None:
    lesser = Api(key=operations.create_key(project, [Scope.ADMIN]))
    operations.create_key(project, [Scope.EVENTS_READ, Scope.ADMIN])

    problem(rotate(lesser, Key.objects.latest("pk").pk), 403, "scope_missing")

    assert Key.objects.count() == 2
    assert not Key.objects.exclude(expires_at=None).exists()


def test_a_key_gets_no_projects_to_read_by_rotating_one_that_has_them(
    project: Project, neighbour: Project, admin: Api
) -> None:
    operations.create_key(project, [Scope.EVENTS_READ], reads=[neighbour])
    key_id = Key.objects.latest("pk").pk
    problem(rotate(admin, key_id), 403, "reads_missing")

    own(admin).reads.add(neighbour)

    assert rotate(admin, key_id).status_code == 201


def test_a_key_of_another_project_is_none(admin: Api, neighbour: Project) -> None:
    operations.create_key(neighbour, [Scope.ADMIN], label="theirs")
    theirs = Key.objects.latest("pk")
    key_id = theirs.pk

    answers = [admin.get(f"{KEYS}{key_id}/"), rotate(admin, key_id), relabel(admin, key_id, "x"), revoke(admin, key_id)]

    for answer in answers:
        problem(answer, 404, "not_found")
    nobodys = problem(revoke(admin, 10**15), 404, "not_found")
    assert problem(answers[3], 404, "not_found")["detail"].replace(str(key_id), str(10**15)) == nobodys["detail"]
    theirs.refresh_from_db()
    assert (theirs.label, theirs.revoked_at, theirs.expires_at) == ("theirs", None, None)
    assert recorded(neighbour) == []


@pytest.mark.parametrize("key_id", ["0", "9" * 30, "9" * 5000])
def test_a_number_that_no_key_can_have_is_none(key_id: str, admin: Api) -> None:
    assert admin.get(f"{KEYS}{key_id}/").status_code == 404


def test_the_same_sent_again_makes_no_second_key(admin: Api) -> None:
    first = made(admin)

    document = problem(make(admin), 409, "label_taken")

    assert str(first["id"]) in document["detail"]
    assert Key.objects.filter(label="web").count() == 1
    revoke(admin, first["id"])
    assert make(admin).status_code == 201


def test_a_rotation_that_is_sent_again_makes_no_third_key(admin: Api) -> None:
    key = made(admin)
    new = rotate(admin, key["id"]).json()

    document = problem(rotate(admin, key["id"]), 409, "key_rotated")

    assert new["prefix"] in document["detail"]
    assert Key.objects.filter(label="web").count() == 2
    assert rotate(admin, new["id"]).status_code == 201


def test_no_key_takes_the_label_of_another(admin: Api) -> None:
    made(admin, label="web")
    key_id = made(admin, label="worker")["id"]

    problem(relabel(admin, key_id, "web"), 409, "label_taken")

    assert Key.objects.get(pk=key_id).label == "worker"


def test_a_project_has_no_more_usable_keys_than_it_may(admin: Api, project: Project, neighbour: Project) -> None:
    for each in (project, neighbour):
        for _ in range(limits.KEYS - 2):
            operations.create_key(each, [])
    last = made(admin)

    problem(make(admin, label="one more"), 409, "too_many_keys")

    revoke(admin, last["id"])
    assert make(admin, label="one more").status_code == 201


def test_a_key_does_not_revoke_itself(admin: Api) -> None:
    problem(revoke(admin, own(admin).pk), 409, "own_key")

    assert admin.get(KEYS).status_code == 200


def test_a_key_rotates_itself(admin: Api) -> None:
    new = Api(key=rotate(admin, own(admin).pk).json()["token"])

    assert (admin.get(KEYS).status_code, revoke(new, own(admin).pk).status_code) == (200, 204)


@pytest.mark.parametrize(
    ("column", "code"), [("revoked_at", "key_revoked"), ("expires_at", "key_expired")], ids=["revoked", "expired"]
)
def test_a_key_that_is_remembered_changes_nothing_once_it_is_over(column: str, code: str, admin: Api) -> None:
    """Though it reads for seconds more."""
    other = made(admin)
    assert admin.get(KEYS).status_code == 200
    Key.objects.filter(pk=own(admin).pk).update(**{column: timezone.now()})
    before = [*Key.objects.order_by("pk").values()]

    for answer in (make(admin, label="x"), rotate(admin, other["id"]), revoke(admin, other["id"])):
        problem(answer, 401, code)

    assert [*Key.objects.order_by("pk").values()] == before


def test_two_keys_that_revoke_each_other_leave_one(transactional_db: None) -> None:
    project = Project.objects.create(name="shop")
    for _ in range(5):
        one, other = (Api(key=operations.create_key(project, [Scope.ADMIN])) for _ in range(2))
        ids = [own(each).pk for each in (one, other)]
        for each in (one, other):
            each.get(KEYS)  # so that both are remembered
        statuses = at_once([partial(revoke, one, ids[1]), partial(revoke, other, ids[0])])

        assert sorted(statuses) == [204, 401]
        assert Key.objects.filter(pk__in=ids, revoked_at=None).count() == 1


def test_of_many_who_make_a_key_with_one_label_one_does(transactional_db: None) -> None:
    project = Project.objects.create(name="shop")
    admin = Api(key=operations.create_key(project, Scope.values))

    statuses = at_once([lambda: make(Api(key=admin.key))] * 5)

    assert sorted(statuses) == [201, 409, 409, 409, 409]
    assert Key.objects.filter(label="web").count() == 1


def test_of_many_rotations_at_once_one_makes_a_key(transactional_db: None) -> None:
    project = Project.objects.create(name="shop")
    admin = Api(key=operations.create_key(project, Scope.values))
    key_id = made(admin)["id"]

    statuses = at_once([lambda: rotate(Api(key=admin.key), key_id)] * 5)

    assert sorted(statuses) == [201, 409, 409, 409, 409]
    assert Key.objects.filter(label="web").count() == 2


def at_once(calls: list[Any]) -> list[int]:
    """Return the statuses of what is answered to calls in as many threads."""
    statuses: list[int] = []
    begin = threading.Barrier(len(calls))

    def run(call: Any) -> None:
        begin.wait(10)
        try:
            statuses.append(call().status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return statuses


BAD = [
    ("{", 400, "malformed_json", "body"),
    ("[]", 422, "invalid", ""),
    ("{}", 422, "required", "label"),
    ('{"label": "web"}', 422, "required", "scopes"),
    ('{"label": "web", "scopes": []}', 422, "invalid", "scopes"),
    ('{"label": "web", "scopes": ["all"]}', 422, "invalid", "scopes[0]"),
    ('{"label": "web", "scopes": "admin"}', 422, "invalid", "scopes"),
    ('{"label": "", "scopes": ["admin"]}', 422, "invalid", "label"),
    ('{"label": "  ", "scopes": ["admin"]}', 422, "invalid", "label"),
    (json.dumps({"label": "x" * 101, "scopes": ["admin"]}), 422, "invalid", "label"),
    ('{"label": "a\\u0000b", "scopes": ["admin"]}', 422, "nul_character", "label"),
    ('{"label": "a\\ud800b", "scopes": ["admin"]}', 422, "lone_surrogate", "label"),
    ('{"label": "web", "scopes": ["admin"], "expires": "soon"}', 422, "invalid", "expires"),
    ('{"label": "web", "scopes": ["admin"], "expires": "2100-01-01T00:00:00"}', 422, "invalid", "expires"),
    ('{"label": "web", "scopes": ["admin"], "expires": "2020-01-01T00:00:00Z"}', 422, "invalid", "expires"),
    ('{"label": "web", "scopes": ["admin"], "expires": "9999-12-31T23:59:59-23:59"}', 422, "invalid", "expires"),
    ('{"label": "web", "scopes": ["admin"], "expires": "0001-01-01T00:00:00+23:59"}', 422, "invalid", "expires"),
    ('{"label": "web", "scopes": ["admin"], "rate_limit": 0}', 422, "invalid", ""),
]


@pytest.mark.parametrize(("body", "status", "code", "named"), BAD, ids=[each[0][:60] for each in BAD])
def test_what_is_no_key_makes_none(body: str, status: int, code: str, named: str, admin: Api) -> None:
    answer = admin.call("POST", KEYS, body.encode(), "application/json")

    problem(answer, status, code, named)
    assert Key.objects.count() == 1


@pytest.mark.parametrize("overlap", [-1, limits.OVERLAP + 1, 1.5, "60", None, True])
def test_an_overlap_that_is_none_rotates_nothing(overlap: object, admin: Api) -> None:
    problem(post(admin, f"{KEYS}{own(admin).pk}/rotate/", {"overlap": overlap}), 422, "invalid", "overlap")

    assert Key.objects.count() == 1


@given(body=st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for decoder in (documents.NEW_KEY, documents.NEW_LABEL, documents.ROTATION):
        with pytest.raises((Malformed, RefusedError)):
            documents.read(body, decoder)  # type: ignore[misc]  # of whichever type


def test_whatever_is_done_to_keys_is_recorded_once_and_what_is_refused_is_not(admin: Api, project: Project) -> None:
    key = made(admin)
    make(admin)
    new = rotate(admin, key["id"]).json()
    rotate(admin, key["id"])
    relabel(admin, new["id"], "shop")
    relabel(admin, new["id"], "shop")
    revoke(admin, key["id"])
    revoke(admin, key["id"])
    revoke(admin, own(admin).pk)
    admin.get(KEYS)

    actor = f"heliograph.Key/{own(admin).pk}"
    assert recorded(project) == [
        ("key_made", actor, str(key["id"])),
        ("key_rotated", actor, str(key["id"])),
        ("key_changed", actor, str(new["id"])),
        ("key_revoked", actor, str(key["id"])),
    ]
    assert Event.objects.get(type="heliograph.key_rotated").data["successor"] == new["id"]
    assert Event.objects.get(type="heliograph.key_changed").data["changes"] == {"label": ["web", "shop"]}


def test_what_cant_be_recorded_is_not_done(admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    key = made(admin)
    before = [*Key.objects.order_by("pk").values()]

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("service.events.operations.store", fail)
    answers = [
        make(admin, label="x"),
        rotate(admin, key["id"]),
        relabel(admin, key["id"], "x"),
        revoke(admin, key["id"]),
    ]

    assert [each.status_code for each in answers] == [500] * 4
    assert [*Key.objects.order_by("pk").values()] == before


def test_a_token_is_in_the_one_answer_and_nowhere_else(
    admin: Api, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = made(admin)
    rotated = rotate(admin, key["id"])
    secrets = [*secrets_of(str(admin.key)), *secrets_of(key["token"]), *secrets_of(rotated.json()["token"])]
    label = f"{key['token']} {operations.digest(key['token']).hex()}"  # somebody pastes them
    answers = [
        make(admin, label="web"),
        rotate(admin, key["id"]),
        admin.get(KEYS),
        admin.get(f"{KEYS}{key['id']}/"),
        admin.get("/api/v1/projects/"),
        admin.call("OPTIONS", KEYS),
        revoke(admin, own(admin).pk),
        relabel(admin, key["id"], label[:80]),
        relabel(admin, key["id"], "web, old"),
        make(admin, label=label[:99]),
        admin.list(),
    ]
    echoes = [answers[7].content, answers[9].content]  # to who wrote it

    said = [each.content for each in answers if each.content not in echoes]
    texts = [*(each.decode(errors="replace") for each in said), caplog.text]
    texts += [f"{each.data} {each.extensions} {each.actor}" for each in Event.objects.all()]
    assert [(secret, text) for text in texts for secret in secrets if secret in text] == []


def secrets_of(token: str) -> Iterator[str]:
    yield token
    yield token[11:]
    yield operations.digest(token).hex()


def test_who_was_removed_while_he_waited_for_the_lock_makes_no_key(project: Project) -> None:
    person = User.objects.create_user("ada")
    seat = Seat(user_id=person.pk, project_id=project.pk, role=Role.OWNER, reads=Project.objects.none())

    with pytest.raises(Forbidden):
        access.make_key(seat, documents.NewKey(label="later", scopes=[Scope.ADMIN]))

    assert not Key.objects.filter(label="later").exists()
