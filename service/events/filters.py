"""The filters on events. To add one: a line here, a test, a line in docs/reference/http-api.md."""

from datetime import UTC, datetime

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from service.api.filters import exactly
from service.events import ids
from service.events.models import Event

EARLIEST = ids.EPOCH + ids.SKEW
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def since(queryset: QuerySet[Event], name: str, moment: datetime) -> QuerySet[Event]:
    """Keep the events from ``moment`` on; the bound on the id lets Postgres leave out older partitions."""
    moment = bounded(moment)
    return queryset.filter(occurred_at__gte=moment, id__gte=ids.floor(moment - ids.SKEW))


def before(queryset: QuerySet[Event], name: str, moment: datetime) -> QuerySet[Event]:
    """Keep the events before ``moment``; the bound on the id lets Postgres leave out newer partitions."""
    moment = bounded(moment)
    return queryset.filter(occurred_at__lt=moment, id__lt=ids.floor(moment + ids.SKEW + ids.MILLISECOND))


def bounded(moment: datetime) -> datetime:
    """Bring ``moment`` within what ids and Postgres can tell; no event is outside."""
    return min(max(moment, EARLIEST), LATEST)


class EventFilter(filters.FilterSet):
    type = exactly(help_text="The signal's dotted path, e.g. `django.db.models.signals.post_save`.")
    sender = exactly(help_text="Model label or dotted path of the sender, e.g. `shop.Order`.")
    object_id = exactly(help_text="Primary key of the object, e.g. `42`. Goes with `sender`.")
    action = exactly(help_text="What happened: `created`, `updated`, `deleted`, …")
    actor = exactly(help_text="Who did it, e.g. `auth.User/7`.")
    correlationid = exactly("correlation_id", help_text="All events of one request, task or command.")
    time__gte = filters.IsoDateTimeFilter(method=since, help_text="At or after this moment (RFC 3339).")
    time__lt = filters.IsoDateTimeFilter(method=before, help_text="Before this moment (RFC 3339).")

    class Meta:
        model = Event
        fields: list[str] = []
