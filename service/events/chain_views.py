"""``GET events/{id}/chain/``."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core import signing
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.api import limits
from service.api.parameters import BadParameter, check_parameters
from service.api.schema import problems
from service.events import chain, examples, queries
from service.events.chain import Node, Rest
from service.events.serializers import EventSerializer, represent
from service.projects import queries as projects
from service.projects.authentication import caller_of, read_in
from service.projects.models import Scope


class NodeSerializer(serializers.Serializer[Any]):
    depth = serializers.IntegerField(help_text="0 is the event that was asked for, -1 its cause, 1 its effects.")
    project = serializers.CharField(help_text="Whose event it is.")
    truncated = serializers.BooleanField(help_text="Whether effects of it, or causes of the first, aren't here.")
    event = EventSerializer()


class ChainSerializer(serializers.Serializer[Any]):
    """Causes and effects as one list: the first cause first, each event followed by its effects."""

    truncated = serializers.BooleanField(help_text="Whether there are more than one answer holds.")
    continue_at = serializers.ListField(
        child=serializers.CharField(),
        help_text="The addresses of the rest: of the causes of the first, and of the effects of others, in this order.",
    )
    events = NodeSerializer(many=True)


CURSOR = OpenApiParameter("cursor", str, description="What of the chain: follow `continue_at` rather than writing it.")
EXAMPLE = OpenApiExample(
    "A payment that nothing caused, and that caused nothing",
    value={
        "truncated": False,
        "continue_at": [],
        "events": [
            {
                "depth": 0,
                "project": "default",
                "truncated": False,
                "event": {**examples.PAID, "recordedtime": examples.RECORDED_TIME},
            }
        ],
    },
    response_only=True,
    status_codes=["200"],
)


def described(nodes: list[Node], names: dict[int, str]) -> dict[str, Any]:
    rests = [address(rest, next(iter(names))) for node in nodes for rest in node.rests]
    return {
        "truncated": bool(rests),
        "continue_at": rests,
        "events": [
            {
                "depth": node.depth,
                "project": names[node.project_id],
                "truncated": bool(node.rests),
                "event": represent(node.event),
            }
            for node in nodes
            if node.event is not None
        ],
    }


def address(rest: Rest, asking: int) -> str:
    """Return where to ask for ``rest``: signed, since it may be of another project, in which it was come upon.

    Only for the project that asks now.
    """
    after = None if rest.after is None else {str(each): str(event_id) for each, event_id in rest.after.items()}
    cursor = signer(asking, rest.id).sign_object([rest.project_id, after], compress=True)
    return f"{reverse('chain', kwargs={'id': rest.id})}?{urlencode({'cursor': cursor})}"


def rest_at(cursor: str, asking: int, event_id: UUID) -> Rest:
    try:
        project_id, after = signer(asking, event_id).unsign_object(cursor)
    except signing.BadSignature as error:
        raise BadParameter(
            "cursor", "This cursor was not made here for this event. Follow 'continue_at', or leave it out."
        ) from error
    return Rest(project_id, event_id, after and {int(each): UUID(last) for each, last in after.items()})


def signer(asking: int, event_id: UUID) -> signing.Signer:
    """Return what makes the same cursor each time: who follows a circle finds an address that was followed."""
    return signing.Signer(salt=f"heliograph.chain.{asking}.{event_id}")


class ChainView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="events_chain",
        summary="Read what caused an event, and what it caused",
        description=(
            "Its causes up to the first one, and all its effects, in all processes of the project, and in the further "
            f"projects that the key may read in chains, or the person is in. {chain.DEPTH} levels either way, "
            f"{chain.NODES} effects and {limits.PAGE_BYTES // 2**20} MiB at the most: `continue_at` has the addresses "
            "of the rest."
        ),
        tags=["events"],
        parameters=[examples.ID_IN_PATH, CURSOR],
        examples=[EXAMPLE],
        responses={200: ChainSerializer, **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002  # the path's name for it
        check_parameters(request.query_params, {CURSOR.name})
        names = projects.read_by(caller_of(request))
        cursor = request.query_params.get(CURSOR.name)
        rest = None if cursor is None else rest_at(cursor, next(iter(names)), id)
        with queries.bounded("Ask for it level by level, with GET events/?causationid= and the id of an event."):
            nodes = chain.chain(list(names), id) if rest is None else chain.rest_of(list(names), rest)
        if not nodes:
            raise NotFound(f"This project has no event {id}, nor any in its chain.")
        read_in(request, {node.project_id for node in nodes if node.event is not None})
        return Response(described(nodes, names))
