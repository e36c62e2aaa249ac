"""What a person may do in one project: to a request what its key is otherwise."""

from dataclasses import dataclass

from django.db.models import QuerySet

from service.projects.models import Project, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A person in a project. ``reads`` are the projects whose events he sees in chains: all that he is in."""

    user_id: int
    project_id: int
    role: Role
    reads: QuerySet[Project]

    @property
    def scopes(self) -> frozenset[str]:
        return self.role.scopes
