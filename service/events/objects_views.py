"""``GET objects/{sender}/{object_id}/history/`` and ``…/state/``."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import QueryDict
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.api.pagination import ORDERING
from service.api.parameters import BadParameter, check_parameters, is_set
from service.api.schema import problems
from service.events import examples, grammar, ids, objects, queries
from service.events.conditions import Condition, Is, Not, bounded
from service.events.models import Event
from service.events.objects import AsOf
from service.events.objects_serializers import EntrySerializer, StateSerializer, represent
from service.events.objects_state import DETAILS, Reason
from service.events.objects_told import Ref
from service.events.pages import EventPagination
from service.events.search import UnusableError
from service.projects.authentication import project_of
from service.projects.models import Scope

OF_OBJECT = [
    OpenApiParameter(
        "sender",
        str,
        "path",
        description="The model's label, as its events have it.",
        examples=[OpenApiExample("The model of the example", value="shop.Order")],
    ),
    OpenApiParameter(
        "object_id",
        str,
        "path",
        description="The primary key as text: what follows the sender in `subject`. It may hold slashes.",
        examples=[OpenApiExample("The object of the example", value="42")],
    ),
]


POSSIBLE = OpenApiParameter(
    "possible",
    bool,
    default=False,
    description=(
        "With `true`, also bulk calls on the model that don't name all rows they wrote, and so may have been about "
        "this object: as `certain` says."
    ),
)
AS_OF = OpenApiParameter(
    "as_of",
    str,
    description=(
        "A moment (RFC 3339), with all that had happened by then, or the id of an event: just after that. "
        "Without it, now."
    ),
    examples=[
        OpenApiExample("At a moment", value=examples.TIME),
        OpenApiExample("After an event", value=examples.ID),
    ],
)
UUID_LIKE = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

EXAMPLE_OF_HISTORY = OpenApiExample(
    "An order was paid",
    value={
        "certain": True,
        **{name: examples.PAID[name] for name in ("id", "time", "type", "action", "actor", "correlationid", "outcome")},
        "diff_source": "loaded",
        "changes": {"status": ["new", "paid"]},
    },
    response_only=True,
    status_codes=["200"],
)
EXAMPLE_OF_STATE = OpenApiExample(
    "All that is known of an order whose creation isn't",
    value={
        "sender": "shop.Order",
        "object_id": "42",
        "exists": True,
        "deleted_by": None,
        "last_event": examples.ID,
        "last_time": examples.TIME,
        "complete": False,
        "reasons": [
            {
                "code": Reason.STARTS_LATE,
                "detail": DETAILS[Reason.STARTS_LATE],
                "field": None,
                "event": None,
            }
        ],
        "fields": {"status": "paid"},
        "unknown": [],
        "relations": [],
    },
    response_only=True,
    status_codes=["200"],
)


class KeyConverter:
    """Takes a key from a path: any text that isn't empty, slashes and line ends included."""

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


def ref_of(captured: Mapping[str, str]) -> Ref:
    if "\0" in captured["sender"] + captured["object_id"]:
        raise NotFound("No object has a NUL character in its key.")
    return Ref(captured["sender"], captured["object_id"])


def as_of(parameters: QueryDict) -> AsOf:
    text = parameters.get(AS_OF.name)
    if text is None:
        return AsOf()
    if ids.is_canonical(text.lower()):
        return AsOf(event_id=UUID(text))
    if UUID_LIKE.fullmatch(text):
        raise BadParameter(AS_OF.name, f"{text!r} is no event's id: that is a UUIDv7, else it has a `recordedid`.")
    try:
        return AsOf(time=bounded(grammar.moment(text)))
    except UnusableError as error:
        raise BadParameter(AS_OF.name, f"as_of can't be used: {error} It may also be an event's id.") from error


def is_of_outcome(condition: Condition) -> bool:
    asked = condition.condition if isinstance(condition, Not) else condition
    return isinstance(asked, Is) and asked.column == "outcome"


class HistoryView(ListAPIView[Event]):
    scopes = {"GET": Scope.EVENTS_READ}
    serializer_class = EntrySerializer
    pagination_class = EventPagination
    filter_backends = []
    queryset = Event.objects.none()  # for the schema; each request reads its own project

    @property
    def ref(self) -> Ref:
        return ref_of(self.kwargs)

    def get_queryset(self) -> Any:
        parameters = self.request.query_params
        criteria = grammar.criteria_of(parameters, besides=self.pagination_class.parameters | {POSSIBLE.name})
        possible = is_set(parameters, POSSIBLE.name)
        found = objects.about(project_of(self.request), self.ref, possible=possible).filter(criteria.q())
        return found if any(map(is_of_outcome, criteria.conditions)) else found.filter(objects.NOT_ROLLED_BACK)

    @extend_schema(
        operation_id="objects_history",
        summary="Read what happened to one object",
        description=(
            "Its own events, changes of relations from either side, and the bulk calls that name it. What was rolled "
            "back never happened: `outcome=rolledback` shows it. Filters are those of `GET events/`."
        ),
        tags=["objects"],
        parameters=[*OF_OBJECT, POSSIBLE, *grammar.documented(), ORDERING],
        examples=[EXAMPLE_OF_HISTORY],
        responses={200: EntrySerializer(many=True), **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, sender: str, object_id: str) -> Response:
        with queries.bounded("Narrow the range with time__gte and time__lt."):
            return super().get(request)


class StateView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="objects_state",
        summary="Read one object as it was at a moment",
        description=(
            "Rebuilt from its events in the order of their ids. Values are as they were told: masked ones stay masked. "
            "`complete` is false where history starts late, or something may have happened that isn't known in full; "
            "`reasons` says what."
        ),
        tags=["objects"],
        parameters=[*OF_OBJECT, AS_OF],
        examples=[EXAMPLE_OF_STATE],
        responses={200: StateSerializer, **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, sender: str, object_id: str) -> Response:
        check_parameters(request.query_params, {AS_OF.name})
        with queries.bounded("Ask for its history/ instead, which has pages and takes time__gte and time__lt."):
            state = objects.state(project_of(request), ref_of(self.kwargs), as_of(request.query_params))
        if state is None:
            raise NotFound(f"No event of this project tells what {sender}/{object_id} was.")
        return Response(represent(state))
