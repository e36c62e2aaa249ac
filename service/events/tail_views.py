"""``GET events/tail/``."""

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from service.api.parameters import BadParameter
from service.api.schema import problems
from service.events import examples, grammar, tail
from service.events.arrivals import Place
from service.projects.authentication import lasting, project_of
from service.projects.models import Scope

HEADER = "Last-Event-ID"
PLACE = "1042-01a1f873c8a07c3ea1b25f0e6d3c9a41-1"


class TailView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="events_tail",
        summary="Follow events as they come",
        description=(
            "Server-sent events from now on, in the order in which they were stored: each has an event as `data` and a "
            "place as `id`. Send the last place as `Last-Event-ID` to go on from there, within an hour. An event "
            '`dropped` says how many more came than a tail shows or looks at, as `{"count": 12}`, with null for an '
            "unknown number: read those with `GET events/`. `end` says that the key may not read any more. Silence is "
            "broken by a comment every 15 seconds. The filters are those of `GET events/`.\n\nThe answer has no end, "
            "so a page that shows whole answers can't show it. Ask in a terminal:\n\n"
            "    curl -N -H 'Authorization: Bearer hg_…' https://…/api/v1/events/tail/"
        ),
        tags=["events"],
        parameters=[
            *grammar.documented(),
            OpenApiParameter(
                HEADER,
                str,
                OpenApiParameter.HEADER,
                description="The `id` that was read last.",
                examples=examples.one_or_none(PLACE),
            ),
        ],
        responses={
            (200, tail.MEDIA_TYPE): OpenApiResponse(OpenApiTypes.STR, "The events, without end"),
            **problems(400, 401, 403, 503),
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        events = tail.begin(
            project_of(request),
            grammar.criteria_of(request.query_params),
            after=place_of(request),
            may_go_on=lasting(request, Scope.EVENTS_READ),
        )
        # A proxy that waits for more before it passes something on would hold back everything.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(events, content_type=tail.MEDIA_TYPE, headers=headers)


def place_of(request: Request) -> Place | None:
    text = request.headers.get(HEADER)
    if not text:
        return None
    place = Place.read(text)
    if place is None:
        raise BadParameter(HEADER, f"{HEADER} is not an id of this tail. Leave it out to begin now.")
    return place
