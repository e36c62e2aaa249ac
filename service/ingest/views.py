"""``POST events/``: one event, or many."""

from http import HTTPStatus
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from service.api import metrics
from service.api.body import TooLarge
from service.api.inspection import Fault
from service.api.parameters import check_parameters, is_set
from service.api.problems import Problem, refusal
from service.api.schema import problems
from service.events import examples
from service.events.serializers import EventSerializer
from service.events.views import EventListView
from service.ingest import document, operations
from service.ingest.operations import Error, Receipt
from service.ingest.serializers import ReceiptSerializer
from service.ingest.wire import Window
from service.projects import retention
from service.projects.authentication import caller_of
from service.projects.models import Scope

ONE_OR_MANY: dict[str, Any] = {
    "oneOf": [
        {"$ref": "#/components/schemas/EventRequest"},
        {"type": "array", "items": {"$ref": "#/components/schemas/EventRequest"}},
    ]
}


DRY_RUN = OpenApiParameter(
    "dry_run",
    bool,
    default=False,
    description="`true` answers what would become of the events now, and stores nothing.",
)


class EventsView(EventListView):
    """The collection of events: read as `EventListView` does, and written to here."""

    scopes = {**EventListView.scopes, "POST": Scope.EVENTS_WRITE}

    @extend_schema(
        operation_id="events_create",
        summary="Send one event, or many",
        description=(
            "One event is answered with 201 when it is stored, 200 when it was there already, 422 when it is refused. "
            "Many are answered with 200, or with 207 when any was refused; the others are stored. What is answered "
            "with 200, 201 or 207 is committed. Send the same again whenever you are unsure: nothing is stored twice. "
            "CloudEvents' binary mode is taken too: attributes as `ce-` headers, data as the body, of any type. "
            "`Content-Encoding: gzip` or `zstd` is welcome."
        ),
        tags=["events"],
        parameters=[DRY_RUN],
        request={
            document.EITHER: ONE_OR_MANY,
            document.ONE: EventSerializer,
            document.MANY: EventSerializer(many=True),
            document.LINES: {"type": "string", "description": "An event on each line; blank lines are skipped."},
        },
        examples=[examples.REQUEST, examples.ONE, examples.BATCH, examples.LINES, examples.RECEIPT],
        responses={
            200: ReceiptSerializer,
            201: OpenApiResponse(ReceiptSerializer, "Stored"),
            207: OpenApiResponse(ReceiptSerializer, "Some were refused"),
            **problems(400, 401, 403, 413, 415, 422, 503),
        },
    )
    def post(self, request: Request) -> Response:
        check_parameters(request.query_params, (DRY_RUN.name,))
        dry_run = is_set(request.query_params, DRY_RUN.name)
        posted = document.read(request._request)
        caller = caller_of(request)
        project_id = caller.project_id
        window = Window.at(timezone.now(), retention.days_of(project_id), caller.scopes)
        receipt = operations.store(project_id, operations.read(posted.events, window), dry_run=dry_run)
        if not dry_run:
            metrics.count_events(receipt.accepted, receipt.duplicates, receipt.rejected)
        return Response(receipt, status=status_of(receipt, is_batch=posted.is_batch))


def status_of(receipt: Receipt, *, is_batch: bool) -> HTTPStatus:
    """Return the status that tells of ``receipt``; raise the problem of one event that was refused."""
    return batch_status(receipt) if is_batch else single_status(receipt)


def batch_status(receipt: Receipt) -> HTTPStatus:
    return HTTPStatus.MULTI_STATUS if receipt.rejected else HTTPStatus.OK


def single_status(receipt: Receipt) -> HTTPStatus:
    if receipt.errors:
        raise refused(receipt.errors[0])
    return HTTPStatus.CREATED if receipt.accepted else HTTPStatus.OK


def refused(error: Error) -> Problem:
    if error.code == "event_too_large":
        return TooLarge(error.code, error.detail)
    return refusal(Fault(error.field, error.code, error.detail))
