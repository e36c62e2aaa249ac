"""``GET events/`` and ``GET events/{id}/``."""

from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.api.pagination import IdPagination
from service.api.parameters import check_parameters
from service.api.renderers import AlwaysJSON
from service.api.schema import problems
from service.events import examples, grammar, queries
from service.events.models import Event
from service.events.serializers import EventSerializer, represent
from service.projects.authentication import project_of
from service.projects.models import Scope


class EventListView(ListAPIView[Event]):
    scopes = {"GET": Scope.EVENTS_READ}
    content_negotiation_class = AlwaysJSON
    serializer_class = EventSerializer
    pagination_class = IdPagination
    queryset = Event.objects.none()  # for the schema; each request reads its own project

    def get_queryset(self) -> QuerySet[Event]:
        criteria = grammar.criteria_of(self.request.query_params, besides=IdPagination.parameters)
        return queries.matching(project_of(self.request), criteria)

    @extend_schema(
        operation_id="events_list",
        summary="List events, newest first",
        description="Filters are joined by AND. An unknown parameter is an error, never ignored.",
        tags=["events"],
        parameters=grammar.documented(),
        examples=[examples.RESPONSE],
        responses={200: EventSerializer(many=True), **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        return super().get(request)


class EventView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}
    content_negotiation_class = AlwaysJSON

    @extend_schema(
        operation_id="events_retrieve",
        summary="Read one event",
        tags=["events"],
        parameters=[
            OpenApiParameter(
                "id",
                UUID,
                "path",
                description="Its `recordedid` if it has one, else its `id`.",
                examples=[examples.ID_SENT],
            )
        ],
        examples=[examples.RESPONSE],
        responses={200: EventSerializer, **problems(401, 403, 404, 503)},
    )
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002  # the path's name for it
        check_parameters(request.query_params, ())
        event = queries.by_id(project_of(request), id)
        if event is None:
            raise NotFound(f"This project has no event {id}.")
        return Response(represent(event))
