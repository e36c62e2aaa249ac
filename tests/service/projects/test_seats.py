"""People call the API: by their session and a project that they name, with what their role there allows."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from service.events.export import KeyEnded
from service.events.models import Event
from service.projects import operations, ratelimit
from service.projects.models import Key, Membership, Project, Role, Scope
from tests.service.cast import EVENTS, Api, event, problem

EXPORT = f"{EVENTS}export/"
Later = Callable[[float], None]


def logged_in(user: User, project: Project, *, checks_csrf: bool = False) -> Api:
    client = Client(enforce_csrf_checks=checks_csrf, raise_request_exception=False)
    client.force_login(user)
    return Api(key=None, project=project.name, client=client)


@pytest.fixture
def person(project: Project) -> User:
    user = User.objects.create_user("ada")
    Membership.objects.create(project=project, user=user, role=Role.VIEWER)
    return user


@pytest.fixture
def viewer(person: User, project: Project) -> Api:
    return logged_in(person, project)


@pytest.fixture
def owner(person: User, project: Project) -> Api:
    Membership.objects.update(role=Role.OWNER)
    return logged_in(person, project)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Let seconds go by."""
    clock, ahead = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + sum(ahead))
    return ahead.append


def test_a_viewer_reads_the_events_of_the_project_and_no_others(viewer: Api, writer: Api, neighbours_api: Api) -> None:
    sent = event()
    writer.send(sent)
    neighbours_api.send(event())

    assert viewer.listed() == [sent["id"]]
    assert viewer.read(sent["id"]).status_code == 200
    assert "viewer" in problem(viewer.send(event()), 403, "scope_missing")["detail"]


def test_an_owner_sends_events_to_the_project(owner: Api, project: Project) -> None:
    assert owner.send(event()).status_code == 201
    assert Event.objects.get().project_id == project.pk


def test_a_superuser_is_an_owner_of_each_project(admin_user: User, project: Project) -> None:
    api = logged_in(admin_user, project)

    assert (api.send(event()).status_code, len(api.listed())) == (201, 1)


def test_what_changes_something_needs_the_csrf_token(owner: Api, person: User, project: Project) -> None:
    careful = logged_in(person, project, checks_csrf=True)
    token = "a" * 32
    careful.client.cookies["csrftoken"] = token

    problem(careful.send(event()), 403, "csrf_failed")
    problem(careful.send(event(), X_CSRFToken="b" * 32), 403, "csrf_failed")
    assert Event.objects.count() == 0
    assert careful.send(event(), X_CSRFToken=token).status_code == 201
    assert careful.list().status_code == 200


def test_a_key_needs_no_csrf_token_and_goes_before_a_session(
    person: User, neighbour: Project, writer: Api, project: Project
) -> None:
    client = logged_in(person, neighbour, checks_csrf=True).client
    api = Api(key=writer.key, project=neighbour.name, client=client)

    assert api.send(event()).status_code == 201
    assert Event.objects.get().project_id == project.pk
    problem(api.list(), 403, "scope_missing")


@pytest.mark.parametrize("name", ["no-such", "neighbour", "", " ", "SHOP", "größe", "sh\0op", "x" * 10_000])
def test_a_project_of_others_is_answered_as_one_that_does_not_exist(name: str, viewer: Api, neighbour: Project) -> None:
    other = Api(key=None, project=name, client=viewer.client)
    missing = Api(key=None, project="there-is-none", client=viewer.client)

    problem(other.list(), 403, "project_unknown")
    assert other.list().content == missing.list().content


def test_who_is_not_logged_in_is_told_what_all_are_without_a_key(project: Project, stranger: Api) -> None:
    nobody = Api(key=None, project=project.name)

    assert problem(nobody.list(), 401, "key_missing") == problem(stranger.list(), 401, "key_missing")


def test_without_the_header_a_session_is_nobodys_and_is_not_looked_at(
    viewer: Api, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        problem(Api(key=None, client=viewer.client).list(), 401, "key_missing")


def test_a_key_costs_no_query_for_the_session_that_comes_with_it(
    viewer: Api, reader: Api, django_assert_num_queries: Any
) -> None:
    both = Api(key=reader.key, project=viewer.project, client=viewer.client)
    both.list()

    with django_assert_num_queries(1):  # the page
        assert both.list().status_code == 200


def removed(user: User) -> None:
    Membership.objects.filter(user=user).delete()


def demoted(user: User) -> None:
    Membership.objects.filter(user=user).update(role=Role.VIEWER)


def deactivated(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def given_a_password(user: User) -> None:
    user.set_password("another")
    user.save()


def logged_out(user: User) -> None:
    Session.objects.all().delete()


@pytest.mark.parametrize("end", [removed, deactivated, given_a_password, logged_out])
def test_who_is_out_is_out_with_the_next_request(end: Callable[[User], None], owner: Api, person: User) -> None:
    assert owner.list().status_code == 200

    end(person)

    assert owner.list().status_code in {401, 403}
    assert owner.send(event()).status_code in {401, 403}


def test_a_role_that_is_taken_away_counts_with_the_next_request(owner: Api, person: User) -> None:
    assert owner.send(event()).status_code == 201

    demoted(person)

    assert (owner.send(event()).status_code, owner.list().status_code) == (403, 200)


@pytest.mark.parametrize("end", [removed, deactivated, given_a_password, logged_out])
def test_an_export_ends_within_five_seconds_of_its_readers_membership(
    end: Callable[[User], None], owner: Api, person: User, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.events.export.PAGE", 1)
    for _ in range(4):
        owner.send(event())
    lines = iter(owner.get(EXPORT).streaming_content)
    assert next(lines)
    assert next(lines)

    end(person)
    later(5)

    with pytest.raises(KeyEnded):
        list(lines)


def test_an_export_whose_reader_stays_is_whole(
    owner: Api, later: Later, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr("service.events.export.PAGE", 1)
    owner.send([event() for _ in range(8)])

    with django_assert_max_num_queries(24):  # a page each, and the seat once before and once in all of them
        lines = [*owner.get(EXPORT).streaming_content]

    assert len(lines) == 8


def test_a_chain_goes_on_in_the_projects_that_a_person_is_in(
    viewer: Api, person: User, writer: Api, neighbours_api: Api, neighbour: Project
) -> None:
    cause = event()
    effect = event(causationid=cause["id"])
    writer.send(cause)
    neighbours_api.send(effect)

    def chain() -> list[str]:
        answer = viewer.get(f"{EVENTS}{cause['id']}/chain/").json()
        return [each["event"]["id"] for each in answer["events"]]

    assert chain() == [cause["id"]]
    Membership.objects.create(project=neighbour, user=person, role=Role.VIEWER)
    assert chain() == [cause["id"], effect["id"]]


def test_a_person_has_a_quota_apart_from_the_keys(viewer: Api, project: Project, person: User, settings: Any) -> None:
    settings.RATE_LIMIT = 3
    ratelimit._leases.clear()
    operations.create_key(project, [Scope.EVENTS_READ])
    Key.objects.update(rate_limit=0)

    answers = [viewer.list() for _ in range(8)]

    assert {answer.status_code for answer in answers} == {200, 429}
    assert sum(answer.status_code == 200 for answer in answers) in {3, 4, 5, 6}  # of two minutes at the most


def test_a_persons_answer_says_that_it_depends_on_the_cookie(viewer: Api, reader: Api) -> None:
    assert "Cookie" in viewer.list().headers.get("Vary", "")
    assert "Cookie" not in reader.list().headers.get("Vary", "")
