"""How long each project keeps its events.

A project may keep them for less time than the service, never for more: `RETENTION_DAYS` is what whoever runs it has
promised and has disks for, and months are dropped by it.
"""

import time
from datetime import datetime, timedelta

from django.conf import settings

from service.projects import remembered
from service.projects.models import Project

_days: remembered.Memory[int] = remembered.Memory(10_000)
UNKNOWN = 0


def days_of(project_id: int) -> int:
    """Return for how many days a project keeps its events now, or did up to `remembered.SECONDS` ago."""
    days = remembered_days(project_id)
    if days is None:
        read_at = time.monotonic()
        own = Project.objects.filter(pk=project_id).values_list("retention_days", flat=True).first()
        _days.put(name(project_id), own or UNKNOWN, read_at)
        days = bounded(own)
    return days


def remembered_days(project_id: int) -> int | None:
    """Return what `days_of` does, without asking Postgres; None if that isn't remembered."""
    own = _days.get(name(project_id))
    return None if own is None else bounded(own)


def name(project_id: int) -> bytes:
    return str(project_id).encode()


def bounded(own: int | None) -> int:
    return min(own or settings.RETENTION_DAYS, settings.RETENTION_DAYS)


def horizon(days: int, now: datetime) -> datetime:
    """Return the time of the oldest id that is accepted where events are kept for so many days."""
    return now - timedelta(days=days)


def shorter() -> dict[int, int]:
    """Return the projects that keep events for less long than the service, each with its days."""
    found = Project.objects.filter(retention_days__lt=settings.RETENTION_DAYS).order_by("pk")
    return {project_id: days for project_id, days in found.values_list("pk", "retention_days") if days}
