"""Read emitters. Every read starts from one project; what `operations.fold` hasn't added yet isn't in it."""

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, QuerySet
from django.db.models.expressions import RawSQL

from service.telemetry.models import Emitter

GAPS = """
    ARRAY(
        SELECT ARRAY[lower(gap), upper(gap) - 1]
        FROM unnest(int8multirange(int8range(1, emitter.captured + 1)) - emitter.sequences) AS gap
        LIMIT 100
    )
"""


def of_project(project_id: int) -> QuerySet[Emitter]:
    """Return the emitters, each with ``gaps``: its first hundred ranges of numbers that aren't stored."""
    gaps = RawSQL(GAPS, [], ArrayField(ArrayField(BigIntegerField())))  # noqa: S611  # a constant
    return Emitter.objects.filter(project_id=project_id).defer("sequences").annotate(gaps=gaps)


def by_id(project_id: int, emitter_id: UUID) -> Emitter | None:
    return of_project(project_id).filter(id=emitter_id).first()
