"""Read keys of a project, and the projects that a caller may see."""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.utils import timezone

from service.projects import operations
from service.projects.models import Key, Membership, Project, Role
from service.projects.seats import Seat


def of_project(project_id: int) -> QuerySet[Key]:
    return Key.objects.filter(project_id=project_id).select_related("project")


def usable(project_id: int) -> QuerySet[Key]:
    """Return the keys that are neither revoked nor expired."""
    now = timezone.now()
    return of_project(project_id).filter(
        Q(revoked_at=None) | Q(revoked_at__gt=now), Q(expires_at=None) | Q(expires_at__gt=now)
    )


def by_token(token: str) -> Key:
    return Key.objects.get(digest=operations.digest(token))


def seen_by(caller: Key | Seat) -> QuerySet[Project]:
    """Return the projects that the caller may see: a key its own, a person those that he is in."""
    return caller.reads.all() if isinstance(caller, Seat) else Project.objects.filter(pk=caller.project_id)


def roles_in(user_id: int, projects: Sequence[Project]) -> dict[int, Role]:
    """Return the role that a person has in each of ``projects``, by its id."""
    if User.objects.filter(pk=user_id, is_superuser=True).exists():
        return {project.pk: Role.OWNER for project in projects}
    held = Membership.objects.filter(user=user_id, project__in=projects).values_list("project_id", "role")
    return {project_id: Role(role) for project_id, role in held}
