"""What isn't seen for as long as events are kept goes away, with all that is known of it."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from service.events.models import Tally
from service.projects.models import Project
from service.telemetry import operations
from service.telemetry.models import Emitter
from tests.service.cast import Api, numbered


def emitter_seen(project: Project, days: float) -> UUID:
    emitter = uuid4()
    moment = timezone.now() - timedelta(days=days)
    operations.add(project.pk, [operations.Seen(emitter_id=emitter, source="/a", sequences="{[1,3]}", seen=moment)])
    return emitter


def left() -> set[UUID]:
    return set(Emitter.objects.values_list("id", flat=True))


def test_an_emitter_goes_when_its_last_event_does(project: Project, neighbour: Project, settings: Any) -> None:
    settings.RETENTION_DAYS = 30
    kept = {emitter_seen(project, 29.9), emitter_seen(neighbour, 1)}
    gone = {emitter_seen(project, 30.1), emitter_seen(neighbour, 400)}

    operations.forget(timezone.now())

    assert left() == kept
    assert not left() & gone


def test_an_emitter_stays_when_an_event_of_it_is_still_to_be_added(project: Project, api: Api) -> None:
    emitter = emitter_seen(project, 400)
    api.send(numbered(emitter, 4))

    operations.forget(timezone.now())

    assert api.emitter(emitter)["stored"] == 4


def test_what_is_older_than_the_retention_leaves_nothing_behind(project: Project, settings: Any) -> None:
    """Whichever table of ours is added: a row that names an emitter has to go with it."""
    settings.RETENTION_DAYS = 30
    emitter = emitter_seen(project, 31)
    Tally.objects.create(
        project_id=project.pk,
        id=uuid4(),
        emitter_id=emitter,
        source="/a",
        sequences="{[4,5]}",
        stored_at=timezone.now() - timedelta(days=31),
    )

    operations.forget(timezone.now())

    assert rows_that_name(emitter) == {}


def rows_that_name(emitter: UUID) -> dict[str, int]:
    """Return the tables with a row in which the id stands anywhere."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT count(*) FROM "{table}" AS entry WHERE entry::text LIKE %s', [f"%{emitter}%"])
            if count := cursor.fetchone()[0]:
                found[table] = count
    return found
