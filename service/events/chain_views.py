"""``GET events/{id}/chain/``."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.api import limits
from service.api.parameters import check_parameters
from service.api.schema import problems
from service.events import chain, examples, queries
from service.events.chain import Node
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
        child=serializers.UUIDField(),
        help_text="Whose chains, or whose effects by `causationid`, have the rest; in one project all of it.",
    )
    events = NodeSerializer(many=True)


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
    rest = [str(node.id) for node in nodes if node.has_more]
    return {
        "truncated": bool(rest),
        "continue_at": rest,
        "events": [
            {
                "depth": node.depth,
                "project": names[node.project_id],
                "truncated": node.has_more,
                "event": represent(node.event),
            }
            for node in nodes
            if node.event is not None
        ],
    }


class ChainView(APIView):
    scopes = {"GET": Scope.EVENTS_READ}

    @extend_schema(
        operation_id="events_chain",
        summary="Read what caused an event, and what it caused",
        description=(
            "Its causes up to the first one, and all its effects, in all processes of the project, and in the further "
            f"projects that the key may read in chains, or the person is in. {chain.DEPTH} levels either way, "
            f"{chain.NODES} effects and {limits.PAGE_BYTES // 2**20} MiB at the most: `continue_at` names the events "
            "whose chains have the rest, though not all of it where the chain is of several projects."
        ),
        tags=["events"],
        parameters=[examples.ID_IN_PATH],
        examples=[EXAMPLE],
        responses={200: ChainSerializer, **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002  # the path's name for it
        check_parameters(request.query_params, ())
        names = projects.read_by(caller_of(request))
        with queries.bounded("Ask for it level by level, with GET events/?causationid= and the id of an event."):
            nodes = chain.chain(list(names), id)
        if not nodes:
            raise NotFound(f"This project has no event {id}, nor any in its chain.")
        read_in(request, {node.project_id for node in nodes if node.event is not None})
        return Response(described(nodes, names))
