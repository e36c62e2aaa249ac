"""``projects/``: a key sees its own, a person those that he is in."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from service.events.models import Event
from service.projects import operations
from service.projects.models import Membership, Project, Role, Scope
from tests.service.cast import Api, problem

PROJECTS = "/api/v1/projects/"


def person(user: User, project: Project) -> Api:
    api = Api(key=None, project=project.name)
    api.client.force_login(user)
    return api


def names(api: Api) -> list[str]:
    return [each["name"] for each in api.get(PROJECTS).json()["results"]]


def test_a_key_sees_its_own_project_and_what_it_may_do_there(reader: Api, project: Project, neighbour: Project) -> None:
    (shown,) = reader.get(PROJECTS).json()["results"]

    assert (shown["name"], shown["role"], shown["scopes"]) == ("shop", None, ["events:read"])
    assert reader.get(f"{PROJECTS}shop/").json() == shown


def test_a_key_that_reads_another_project_in_chains_does_not_see_it(project: Project, neighbour: Project) -> None:
    api = Api(key=operations.create_key(project, Scope.values, reads=[neighbour]))

    assert names(api) == ["shop"]
    problem(api.get(f"{PROJECTS}neighbour/"), 404, "not_found")


def test_a_person_sees_the_projects_that_he_is_in_with_his_role_in_each(project: Project, neighbour: Project) -> None:
    Project.objects.create(name="third")
    user = User.objects.create_user("alice")
    Membership.objects.create(user=user, project=project, role=Role.VIEWER)
    Membership.objects.create(user=user, project=neighbour, role=Role.OWNER)
    api = person(user, project)

    shown = {each["name"]: (each["role"], each["scopes"]) for each in api.get(PROJECTS).json()["results"]}

    everything = ["events:write", "events:read", "subscriptions", "admin"]
    assert shown == {"shop": ("viewer", ["events:read"]), "neighbour": ("owner", everything)}
    assert api.get(f"{PROJECTS}neighbour/").json()["role"] == "owner"


def test_a_project_that_one_may_not_see_is_as_one_that_does_not_exist(api: Api, neighbour: Project) -> None:
    theirs = problem(api.get(f"{PROJECTS}neighbour/"), 404, "not_found")["detail"]
    nobodys = problem(api.get(f"{PROJECTS}nobody/"), 404, "not_found")["detail"]

    assert theirs.replace("neighbour", "nobody") == nobodys


def test_a_superuser_sees_all_projects_in_pages(project: Project, neighbour: Project, admin_user: User) -> None:
    api = person(admin_user, project)

    first = api.get(f"{PROJECTS}?page_size=1").json()
    second = api.get(first["next"]).json()

    assert [(each["name"], each["role"]) for each in first["results"] + second["results"]] == [
        ("neighbour", "owner"),
        ("shop", "owner"),
    ]
    assert second["next"] is None
    assert names(api) == ["neighbour", "shop"]


def patch(api: Api, name: str, content: object) -> Any:
    return api.call("PATCH", f"{PROJECTS}{name}/", json.dumps(content).encode(), "application/json")


def test_an_admin_says_for_how_long_the_project_keeps_its_events(admin: Api, project: Project, settings: Any) -> None:
    for days, kept in ((30, 30), (settings.RETENTION_DAYS, settings.RETENTION_DAYS), (None, settings.RETENTION_DAYS)):
        answer = patch(admin, "shop", {"retention_days": days})
        assert (answer.status_code, answer.json()["retention_days"]) == (200, kept)
        project.refresh_from_db()
        assert project.retention_days == days
    patch(admin, "shop", {"retention_days": None})

    found = Event.objects.filter(type="heliograph.retention_changed").order_by("received_at")
    assert [each.data["changes"]["retention_days"] for each in found] == [
        [None, 30],
        [30, settings.RETENTION_DAYS],
        [settings.RETENTION_DAYS, None],
    ]
    assert {each.sender for each in found} == {"heliograph.Project"}


@pytest.mark.parametrize("days", [0, -1, 366, 10**30, 1.5, "30", True, ...])
def test_what_is_no_number_of_days_changes_nothing(days: object, admin: Api, project: Project) -> None:
    answer = patch(admin, "shop", {} if days is ... else {"retention_days": days})

    assert answer.status_code == 422
    project.refresh_from_db()
    assert project.retention_days is None


def test_nobody_changes_another_project_nor_without_the_scope(
    api: Api, admin: Api, project: Project, neighbour: Project
) -> None:
    user = User.objects.create_user("alice")
    Membership.objects.create(user=user, project=project, role=Role.VIEWER)
    Membership.objects.create(user=user, project=neighbour, role=Role.OWNER)

    problem(patch(api, "shop", {"retention_days": 1}), 403, "scope_missing")
    problem(patch(person(user, project), "shop", {"retention_days": 1}), 403, "scope_missing")
    problem(patch(admin, "neighbour", {"retention_days": 1}), 404, "not_found")
    problem(patch(person(user, neighbour), "shop", {"retention_days": 1}), 404, "not_found")

    assert not Project.objects.exclude(retention_days=None).exists()
    assert patch(person(user, neighbour), "neighbour", {"retention_days": 9}).status_code == 200
