"""``POST erasures/`` and ``GET erasures/``."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from service.api import body, limits
from service.api.pagination import CursorPagination
from service.api.parameters import check_parameters
from service.api.schema import problems
from service.events import records
from service.events.models import Erasure
from service.projects.authentication import caller_of, project_of
from service.projects.models import Scope
from service.retention import erasure, requests, serializers
from service.retention.serializers import ErasureRequestSerializer, ErasureSerializer, represent


class ErasurePagination(CursorPagination):
    order = ("id",)
    rows_are = "erasures"


class ErasureListView(ListAPIView[Erasure]):
    scopes = {"GET": Scope.ADMIN, "POST": Scope.ADMIN}
    serializer_class = ErasureSerializer
    pagination_class = ErasurePagination
    queryset = Erasure.objects.none()  # for the schema; each request reads its own project

    def get_queryset(self) -> QuerySet[Erasure]:
        check_parameters(self.request.query_params, ErasurePagination.parameters)
        return Erasure.objects.filter(project_id=project_of(self.request))

    @extend_schema(
        operation_id="erasures_list",
        summary="List erasures, newest first",
        description="What was erased isn't told: nothing knows it any more.",
        tags=["erasures"],
        examples=[serializers.DONE],
        responses={200: ErasureSerializer(many=True), **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        return super().get(request)

    @extend_schema(
        operation_id="erasures_create",
        summary="Erase an object or an actor",
        description=(
            "For good. From the answer on, nothing is stored of it that occurred before; what is stored is removed, or "
            "redacted where it is about others, by and by."
        ),
        tags=["erasures"],
        request={body.JSON: ErasureRequestSerializer},
        examples=[serializers.OBJECT, serializers.ASKED],
        responses={202: OpenApiResponse(ErasureSerializer, "Begun"), **problems(400, 401, 403, 413, 415, 422, 503)},
    )
    def post(self, request: Request) -> Response:
        check_parameters(request.query_params, ())
        subject = requests.read(body.read_json(request._request, limits.REPORT_BYTES))
        asked = erasure.ask_and_record(project_of(request), *subject, asked_by=records.name_of(caller_of(request)))
        return Response(represent(asked), status=202)
