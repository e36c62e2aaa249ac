"""The filters on emitters. To add one: a line here, a test, a line in docs/reference/http-api.md."""

from datetime import datetime

from django import forms
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter

from service.api import limits
from service.api.filters import exactly
from service.events import examples
from service.events.conditions import bounded
from service.telemetry.models import Emitter


class CountFilter(filters.NumberFilter):
    """A whole number, where django-filter would take 1.5 or 1e9."""

    field_class: type[forms.Field] = forms.IntegerField  # type: ignore[assignment]  # typed as DecimalField

    def get_max_validator(self) -> None:
        return None


def since(queryset: QuerySet[Emitter], name: str, moment: datetime) -> QuerySet[Emitter]:
    return queryset.filter(last_seen__gte=bounded(moment))


def before(queryset: QuerySet[Emitter], name: str, moment: datetime) -> QuerySet[Emitter]:
    return queryset.filter(last_seen__lt=bounded(moment))


class EmitterFilter(filters.FilterSet):
    source = exactly(help_text="The client system and component, e.g. `/shop/web`.")
    last_seen__gte = filters.IsoDateTimeFilter(
        method=since, help_text="Reported, or had an event stored, at or after this moment (RFC 3339)."
    )
    last_seen__lt = filters.IsoDateTimeFilter(method=before, help_text="Not seen since this moment (RFC 3339).")
    missing__gte = CountFilter(
        "missing",
        "gte",
        min_value=0,
        max_value=limits.COUNT,
        help_text="At least so many numbers are missing and explained by nothing, e.g. `1`.",
    )

    class Meta:
        model = Emitter
        fields: list[str] = []


EXAMPLES: dict[str, tuple[type, object]] = {
    "source": (str, "/shop/web"),
    "last_seen__gte": (datetime, examples.TIME),
    "last_seen__lt": (datetime, examples.LATER),
    "missing__gte": (int, 1),
}


def documented() -> list[OpenApiParameter]:
    """Return the filters as the OpenAPI document has them: the generator alone would give no examples."""
    return [
        OpenApiParameter(
            name,
            EXAMPLES[name][0],
            description=each.extra["help_text"],
            examples=examples.one_or_none(EXAMPLES[name][1]),
        )
        for name, each in EmitterFilter.base_filters.items()
    ]
