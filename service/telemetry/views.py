"""``POST telemetry/``, ``GET emitters/`` and ``GET emitters/{emitterid}/``."""

from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.api import body, limits
from service.api.filters import StrictFilterBackend
from service.api.pagination import CursorPagination
from service.api.parameters import check_parameters
from service.api.schema import problems
from service.events.queries import bounded
from service.projects.authentication import project_of
from service.projects.models import Scope
from service.telemetry import examples, operations, queries, reports
from service.telemetry.filters import EmitterFilter, documented
from service.telemetry.models import Emitter
from service.telemetry.serializers import EmitterSerializer, ReportSerializer, represent


class TelemetryView(APIView):
    scopes = {"POST": Scope.EVENTS_WRITE}

    @extend_schema(
        operation_id="telemetry_create",
        summary="Report about an emitter",
        description=(
            "Send the same again whenever you are unsure, in any order: the report with the latest `time` describes "
            "the emitter, counters keep their greatest value, and an emitter that has ended stays so."
        ),
        tags=["emitters"],
        request={body.JSON: ReportSerializer},
        examples=[examples.REPORT],
        responses={204: OpenApiResponse(None, "Kept"), **problems(400, 401, 403, 413, 415, 422, 503)},
    )
    def post(self, request: Request) -> Response:
        now = timezone.now()
        check_parameters(request.query_params, ())
        told = reports.read(body.read_json(request._request, limits.REPORT_BYTES))
        operations.report(project_of(request), told, now)
        return Response(status=204)


class EmitterPagination(CursorPagination):
    order = ("last_seen", "id")
    rows_are = "emitters"


class EmitterListView(ListAPIView[Emitter]):
    scopes = {"GET": Scope.EVENTS_READ}
    serializer_class = EmitterSerializer
    pagination_class = EmitterPagination
    filter_backends = [StrictFilterBackend]
    filterset_class = EmitterFilter
    queryset = Emitter.objects.none()  # for the schema; each request reads its own project

    def get_queryset(self) -> QuerySet[Emitter]:
        project = project_of(self.request)
        operations.fold(project)
        return queries.of_project(project)

    @extend_schema(
        operation_id="emitters_list",
        summary="List emitters, newest seen first",
        description=(
            "Each process that reported or sent numbered events, with what of it is stored, lost and missing. "
            "An emitter that is heard of while you read pages moves to the front of the first."
        ),
        tags=["emitters"],
        parameters=documented(),
        examples=[examples.EMITTER],
        responses={200: EmitterSerializer(many=True), **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        with bounded(f"Ask for fewer of them with {', '.join(EmitterFilter.base_filters)}."):
            return super().get(request)


class EmitterView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="emitters_retrieve",
        summary="Read one emitter",
        tags=["emitters"],
        parameters=[
            OpenApiParameter(
                "emitterid", UUID, "path", description="As its events and reports have it.", examples=[examples.ID]
            )
        ],
        examples=[examples.EMITTER],
        responses={200: EmitterSerializer, **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, emitterid: UUID) -> Response:
        check_parameters(request.query_params, ())
        project = project_of(request)
        with bounded("Ask again: what was added up meanwhile stays so."):
            operations.fold(project)
            emitter = queries.by_id(project, emitterid)
        if emitter is None:
            raise NotFound(f"This project has no emitter {emitterid}.")
        return Response(represent(emitter))
