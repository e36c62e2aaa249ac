"""Filters of a list. An unknown, repeated, empty or unusable parameter is an error that names it."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework.request import Request

from service.api.parameters import BadParameters, check_parameters


class StrictFilterBackend(filters.DjangoFilterBackend):
    """Filter by the view's ``filterset_class``; besides its filters, only its pagination's parameters are known."""

    def filter_queryset(  # type: ignore[override]  # DRF calls it with its own Request
        self, request: Request, queryset: QuerySet[Any], view: Any
    ) -> QuerySet[Any]:
        filters_of_view = view.filterset_class
        check_parameters(request.query_params, filters_of_view.base_filters.keys() | view.pagination_class.parameters)
        filterset = filters_of_view(request.query_params, queryset=queryset)
        if not filterset.is_valid():
            raise BadParameters(filterset.errors)
        kept: QuerySet[Any] = filterset.qs
        return kept


def exactly(column: str | None = None, *, help_text: str) -> filters.CharFilter:
    return filters.CharFilter(column, strip=False, help_text=help_text)
