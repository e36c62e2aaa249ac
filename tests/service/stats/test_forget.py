"""What the retention takes from the table goes from the counts too."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from service.events import operations as events
from service.events import partitions, removal
from service.events.models import Event
from service.events.operations import Row
from service.projects.models import Project
from service.stats import operations
from service.stats.models import Count, Series, Signal
from tests.service.cast import uuid7


def store(project: Project, days: float, kind: str) -> None:
    """Store an event that occurred so many days after the second partition begins."""
    moment = (partitions.oldest() + timedelta(days=32)).replace(day=1) + timedelta(days=days)
    events.store(project.pk, [Row(id=str(uuid7(moment)), type=kind, source="/a", occurred_at=moment)])


def drop_the_oldest_month() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE "{min(partitions.existing())}"')


def test_what_is_counted_of_a_month_goes_with_it(project: Project, neighbour: Project) -> None:
    for days in (-20, -3, 3.5, 3, 40):
        store(project, days, "stays")
        operations.fold_all()
    store(project, -9, "goes")
    store(neighbour, -9, "goes")
    operations.fold_all()

    drop_the_oldest_month()
    list(operations.forget())

    (signal,) = Signal.objects.all()
    assert (signal.project_id, signal.type, signal.count) == (project.pk, "stays", 3)
    assert signal.first_seen == partitions.oldest() + timedelta(days=3)
    assert all(each.count == 3 for each in Series.objects.all())
    assert all(each.moment >= partitions.oldest() for each in Count.objects.all())
    assert {each.project_id for each in Count.objects.all()} == {project.pk}


def test_nothing_goes_that_an_event_in_the_table_may_be_of(project: Project) -> None:
    """An event's time may be a day before that of its id."""
    start = partitions.oldest()
    late = Row(id=str(uuid7(start)), type="late", source="/a", occurred_at=start - timedelta(hours=23))
    events.store(project.pk, [late, Row(id=str(uuid7(timezone.now())), type="b", source="/a", occurred_at=start)])
    operations.fold(project.pk)
    before = list(Count.objects.order_by("pk").values())

    list(operations.forget())
    operations.fold(project.pk)

    assert list(Count.objects.order_by("pk").values()) == before
    assert Signal.objects.count() == 2


def test_what_was_removed_of_a_month_is_taken_from_it_once(project: Project) -> None:
    """However folds and what forgets take turns."""
    for days in (-20, -20, -9, 40):
        store(project, days, "a")
    operations.fold_all()
    gone = Event.objects.filter(project_id=project.pk).order_by("id")[:3:2]
    removal.remove(project.pk, [each.id for each in gone])

    drop_the_oldest_month()
    for _ in operations.forget():
        operations.fold_all()
        assert all(each.count > 0 for each in Count.objects.all())

    assert {each.count for each in Series.objects.all()} == {1}
    assert {each.moment for each in Count.objects.all()} == {
        each.replace(hour=hour, minute=0, second=0, microsecond=0)
        for each in Event.objects.values_list("occurred_at", flat=True)
        for hour in (0, each.hour)
    }
