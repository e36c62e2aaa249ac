"""A project of the live service, as its clients know it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import urllib3

from service.projects import operations
from service.projects.models import Project, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    url: str
    id: int
    key: str
    write_key: str
    read_key: str

    def events(self, **filters: str) -> list[dict[str, Any]]:
        """Return the project's events, newest first, by as many requests to the API as it has pages of 50."""
        found: list[dict[str, Any]] = []
        fields: dict[str, str] | None = {"page_size": "50", **filters}
        page: str | None = f"{self.url}/api/v1/events/"
        with urllib3.PoolManager(retries=False, timeout=10) as http:
            while page:
                answer = http.request("GET", page, fields=fields, headers={"Authorization": f"Bearer {self.read_key}"})
                assert answer.status == 200, answer.data
                found += answer.json()["results"]
                following = answer.json()["next"]
                page, fields = following and urljoin(self.url, following), None
        return found


def make(url: str, name: str = "contract") -> Tenant:
    """Make a project, a key to write, one to read and one for both; the live service knows them once committed."""
    project = Project.objects.create(name=name)
    return Tenant(
        url=url,
        id=project.pk,
        key=operations.create_key(project, [Scope.EVENTS_WRITE, Scope.EVENTS_READ]),
        write_key=operations.create_key(project, [Scope.EVENTS_WRITE]),
        read_key=operations.create_key(project, [Scope.EVENTS_READ]),
    )
