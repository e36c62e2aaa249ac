"""``GET stats/histogram/``, ``GET stats/top/`` and ``GET signals/``."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.api.pagination import CursorPagination
from service.api.parameters import check_parameters, choice, whole_number
from service.api.schema import problems
from service.events import grammar
from service.events.queries import bounded
from service.projects.authentication import project_of
from service.projects.models import Scope
from service.stats import examples, parameters, queries, serializers
from service.stats.dimensions import ALL, GROUP_BY, TOP_BY
from service.stats.models import Signal
from service.stats.parameters import Asked
from service.stats.queries import Question
from service.stats.spans import BACK, Span


class HistogramView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="stats_histogram",
        summary="Count events by time",
        description=(
            "How many events occurred in each interval, by their `time`, in UTC; an event counts from the moment that "
            "it is acknowledged. Any filter of `GET events/` can be given."
        ),
        tags=["stats"],
        parameters=[
            *grammar.documented(),
            parameters.choice("interval", "What one bucket lasts. A week begins on Monday.", BACK, "day"),
            parameters.choice("group_by", "Count each value by itself, the most frequent ones.", GROUP_BY),
            parameters.LIMIT,
        ],
        examples=[examples.HISTOGRAM],
        responses={200: serializers.HistogramSerializer, **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        given = request.query_params
        asked = Asked.read(given, ["interval", "group_by", "limit"])
        interval = choice(given, "interval", BACK, "day")
        by = choice(given, "group_by", GROUP_BY, "")
        limit = whole_number(given, "limit", 1, parameters.VALUES, parameters.LISTED)
        span = asked.span(interval, timezone.now())
        starts = parameters.starts(span, interval)
        question = Question(
            project_id=project_of(request),
            span=span,
            condition=asked.rest.q(),
            columns=asked.columns,
            by=GROUP_BY[by] if by else ALL,
            interval=interval,
        )
        groups = queries.histogram(question, limit if by else 0)
        return Response(serializers.histogram(span, interval, by or None, starts, groups))


class TopView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="stats_top",
        summary="Count events by value",
        description=(
            "The most frequent values among the events of some time, by default 30 days. Any filter of `GET events/` "
            "can be given. By `actor` and by `object`, and with filters on what else isn't counted as events come, the "
            "events themselves are read: bring the bounds closer if that takes long."
        ),
        tags=["stats"],
        parameters=[
            *grammar.documented(),
            parameters.choice("by", "What to tell apart. An `object` is its sender, a slash, its key.", TOP_BY, "type"),
            parameters.LIMIT,
        ],
        examples=[examples.TOP],
        responses={200: serializers.TopSerializer, **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        given = request.query_params
        asked = Asked.read(given, ["by", "limit"])
        by = choice(given, "by", TOP_BY, "type")
        limit = whole_number(given, "limit", 1, parameters.VALUES, parameters.LISTED)
        span = asked.span("day", timezone.now())
        question = Question(
            project_id=project_of(request),
            span=span,
            condition=asked.rest.q(),
            columns=asked.columns,
            by=TOP_BY[by],
        )
        return Response(serializers.top(span, by, queries.top(question, limit)))


SIGNAL_FILTERS = ("type", "type__in", "type__startswith", "sender", "sender__in")


class SignalPagination(CursorPagination):
    order = ("last_seen", "type", "place")
    rows_are = "signals"


class SignalListView(ListAPIView[Signal]):
    scopes = {"GET": Scope.EVENTS_READ}
    serializer_class = serializers.SignalSerializer
    pagination_class = SignalPagination
    queryset = Signal.objects.none()  # for the schema; each request reads its own project

    def get_queryset(self) -> QuerySet[Signal]:
        given = self.request.query_params
        check_parameters(given, {*SIGNAL_FILTERS, *SignalPagination.parameters})
        return queries.signals(project_of(self.request), grammar.criteria_of(given, SignalPagination.parameters))

    def get_serializer_context(self) -> dict[str, Any]:
        now, project = timezone.now(), project_of(self.request)
        hour, day = (queries.rates(project, Span(now - timedelta(hours=hours), now)) for hours in (1, 24))
        return {**super().get_serializer_context(), "hour": hour, "day": day}

    @extend_schema(
        operation_id="signals_list",
        summary="List signals, newest seen first",
        description=(
            "Each type of event with each of its senders. A signal that is heard of while you read pages moves to the "
            "front of the first."
        ),
        tags=["stats"],
        parameters=[each for each in grammar.documented() if each.name in SIGNAL_FILTERS],
        examples=[examples.SIGNAL],
        responses={200: serializers.SignalSerializer(many=True), **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        with bounded(f"Ask for fewer of them with {', '.join(SIGNAL_FILTERS)}."):
            return super().get(request)
