"""``GET events/``, ``GET events/export/`` and ``GET events/{id}/``."""

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.api.pagination import ORDERING, direction
from service.api.parameters import check_parameters, choice
from service.api.schema import problems
from service.events import examples, export, grammar, queries
from service.events.models import Event
from service.events.pages import EventPagination
from service.events.serializers import EventSerializer, represent
from service.projects.authentication import lasting, project_of
from service.projects.models import Scope

FORMAT = OpenApiParameter(
    "format",
    enum=list(export.FORMATS),
    default="ndjson",
    description="`ndjson`: a JSON event a line; `csv`: an event a line, for a spreadsheet.",
)


class EventListView(ListAPIView[Event]):
    scopes = {"GET": Scope.EVENTS_READ}
    serializer_class = EventSerializer
    pagination_class = EventPagination
    queryset = Event.objects.none()  # for the schema; each request reads its own project

    def get_queryset(self) -> Any:  # a Union
        criteria = grammar.criteria_of(self.request.query_params, besides=EventPagination.parameters)
        return queries.matching(project_of(self.request), criteria)

    @extend_schema(
        operation_id="events_list",
        summary="List events",
        description="Filters are joined by AND. An unknown parameter is an error, never ignored.",
        tags=["events"],
        parameters=[*grammar.documented(), ORDERING],
        examples=[examples.RESPONSE],
        responses={200: EventSerializer(many=True), **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        with queries.bounded():
            return super().get(request)


class EventExportView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="events_export",
        summary="Export events",
        description=(
            "All events that are there when it begins, each once, streamed. When something fails on the way, or the "
            "key may not read any more, the connection breaks instead of ending well. In CSV, `data` and what has no "
            "column are JSON."
        ),
        tags=["events"],
        parameters=[*grammar.documented(), ORDERING, FORMAT],
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, "An event a line"),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "An event a line"),
            **problems(400, 401, 403, 503),
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        parameters = request.query_params
        criteria = grammar.criteria_of(parameters, besides={ORDERING.name, FORMAT.name})
        name = choice(parameters, FORMAT.name, export.FORMATS, "ndjson")
        form = export.FORMATS[name]
        may_go_on = lasting(request, Scope.EVENTS_READ)
        chunks = export.chunks(project_of(request), criteria, direction(request), form, may_go_on)
        disposition = {"Content-Disposition": f'attachment; filename="events.{name}"'}
        return StreamingHttpResponse(chunks, content_type=form.media_type, headers=disposition)


class EventView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="events_retrieve",
        summary="Read one event",
        tags=["events"],
        parameters=[examples.ID_IN_PATH],
        examples=[examples.RESPONSE],
        responses={200: EventSerializer, **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002  # the path's name for it
        check_parameters(request.query_params, ())
        event = queries.by_id(project_of(request), id)
        if event is None:
            raise NotFound(f"This project has no event {id}.")
        return Response(represent(event))
