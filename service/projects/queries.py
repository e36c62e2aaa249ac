"""Read projects and keys."""

from django.db.models import Q

from service.projects.models import Key, Project


def read_by(key: Key) -> dict[int, str]:
    """Return the projects whose events a key may read in chains, by id: the name of each, its own first. One query."""
    own = Q(pk=key.project_id)
    found = Project.objects.filter(own | Q(pk__in=key.reads.values("pk"))).order_by("pk").values_list("pk", "name")
    return dict(sorted(found, key=lambda project: project[0] != key.project_id))
