"""Read events. Every read starts from one project, so that none can cross into another."""

from uuid import UUID

from django.db.models import QuerySet

from service.events.conditions import Criteria
from service.events.models import Event


def of_project(project_id: int) -> QuerySet[Event]:
    return Event.objects.filter(project_id=project_id)


def matching(project_id: int, criteria: Criteria) -> QuerySet[Event]:
    """Return the events of which all ``criteria`` hold."""
    return of_project(project_id).filter(criteria.q())


def by_id(project_id: int, event_id: UUID) -> Event | None:
    """Return one event, by one look-up in the primary key; None when this project has none of that id."""
    return of_project(project_id).filter(id=event_id).first()
