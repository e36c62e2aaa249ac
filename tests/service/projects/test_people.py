"""Who is in which project, with which role."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError

from service.projects import queries
from service.projects.models import Membership, Project, Role, Scope


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_user("ada")


def place(person: User, name: str) -> tuple[int, Role] | None:
    seat = queries.seat_in(person, name)
    return seat and (seat.project_id, seat.role)


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.VIEWER, {Scope.EVENTS_READ}),
        (Role.MEMBER, {Scope.EVENTS_READ, Scope.SUBSCRIPTIONS}),
        (Role.OWNER, set(Scope)),
    ],
)
def test_a_role_has_the_scopes_of_a_key(role: Role, scopes: set[str]) -> None:
    assert role.scopes == scopes


def test_every_role_has_scopes_and_each_more_than_the_one_before() -> None:
    viewer, member, owner = (role.scopes for role in Role)

    assert viewer < member < owner


def test_a_person_has_one_role_in_a_project(project: Project, neighbour: Project, person: User) -> None:
    Membership.objects.create(project=project, user=person, role=Role.VIEWER)
    Membership.objects.create(project=neighbour, user=person, role=Role.VIEWER)

    with pytest.raises(IntegrityError):
        Membership.objects.create(project=project, user=person, role=Role.OWNER)


@pytest.mark.parametrize("role", Role)
def test_a_role_is_of_one_person_in_one_project(role: Role, project: Project, neighbour: Project, person: User) -> None:
    Membership.objects.create(project=project, user=person, role=role)
    other = User.objects.create_user("grace")

    assert place(person, project.name) == (project.pk, role)
    assert place(person, neighbour.name) is None
    assert place(person, "no-such") is None
    assert place(other, project.name) is None


def test_a_superuser_is_an_owner_of_what_there_is(project: Project, person: User) -> None:
    person.is_superuser = True
    Membership.objects.create(project=project, user=person, role=Role.VIEWER)

    assert place(person, project.name) == (project.pk, Role.OWNER)
    assert place(person, "no-such") is None


def test_the_projects_of_a_person_are_those_of_the_roles_that_are_asked_for(
    project: Project, neighbour: Project, person: User
) -> None:
    Membership.objects.create(project=project, user=person, role=Role.OWNER)
    Membership.objects.create(project=neighbour, user=person, role=Role.VIEWER)
    Membership.objects.create(project=neighbour, user=User.objects.create_user("grace"), role=Role.OWNER)

    assert [*queries.projects_of(person, Role.OWNER)] == [project]
    assert {*queries.projects_of(person, *Role)} == {project, neighbour}
    assert not queries.projects_of(person)


def test_a_superuser_has_all_projects_and_who_may_not_log_in_has_none(
    project: Project, neighbour: Project, person: User
) -> None:
    Membership.objects.create(project=project, user=person, role=Role.OWNER)
    root = User.objects.create_superuser("root")
    gone = User.objects.create_superuser("gone", is_active=False)
    person.is_active = False

    assert {*queries.projects_of(root, Role.OWNER)} == {project, neighbour}
    assert not queries.projects_of(gone, *Role)
    assert not queries.projects_of(person, *Role)
    assert not queries.projects_of(AnonymousUser(), *Role)
