"""Read projects, keys, and who is in which project."""

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet

from service.projects.models import Key, Membership, Project, Role
from service.projects.seats import Seat


def read_by(caller: Key | Seat) -> dict[int, str]:
    """Return the projects whose events may be read in chains, by id: the name of each, its own first. One query."""
    own = Q(pk=caller.project_id)
    found = Project.objects.filter(own | Q(pk__in=caller.reads.values("pk"))).order_by("pk").values_list("pk", "name")
    return dict(sorted(found, key=lambda project: project[0] != caller.project_id))


def seat_in(user: User, name: str) -> Seat | None:
    """Return the person's seat in the project of this name, as it is now; None if he has none. One query.

    That there is no such project and that he is no member of it are the same here, so that they are anywhere.
    """
    if "\0" in name:  # which Postgres doesn't take
        return None
    if user.is_superuser:
        found = [(pk, Role.OWNER) for pk in Project.objects.filter(name=name).values_list("pk", flat=True)]
    else:
        memberships = Membership.objects.filter(user=user, project__name=name).values_list("project_id", "role")
        found = [(project_id, Role(role)) for project_id, role in memberships]
    reads = projects_of(user, *Role)
    return Seat(user_id=user.pk, project_id=found[0][0], role=found[0][1], reads=reads) if found else None


def memberships_of(user: User) -> QuerySet[Membership]:
    """Return the person's memberships, each with its project, by the project's name."""
    return Membership.objects.filter(user=user).select_related("project").order_by("project__name")


def projects_of(user: User | AnonymousUser, *roles: Role) -> QuerySet[Project]:
    """Return the projects in which a person has one of ``roles``: all of them for a superuser."""
    if not user.is_active or user.is_anonymous:
        return Project.objects.none()
    if user.is_superuser:
        return Project.objects.all()
    # By ids, so that no join repeats a project.
    held = Membership.objects.filter(user=user, role__in=roles)
    return Project.objects.filter(pk__in=held.values("project_id"))


def may_administer(user: User | AnonymousUser) -> bool:
    """Return whether the admin is open to a person: a superuser, or an owner of any project."""
    return user.is_active and (user.is_superuser or projects_of(user, Role.OWNER).exists())
