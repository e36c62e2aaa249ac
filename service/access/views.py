"""``keys/`` and ``projects/``: who may ask, and about what."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.access import documents, examples, operations, queries
from service.access.documents import NEW_LABEL, ROTATION, read
from service.access.serializers import (
    KeySerializer,
    MadeKeySerializer,
    NewKeySerializer,
    NewLabelSerializer,
    ProjectChangeSerializer,
    ProjectSerializer,
    RotationSerializer,
    represent,
    represent_made,
    represent_project,
)
from service.api import body, limits
from service.api.pagination import CursorPagination
from service.api.parameters import check_parameters
from service.api.schema import problems
from service.projects.authentication import caller_of, project_of
from service.projects.models import Key, Project, Scope
from service.projects.permissions import HasKey, HasScope

KEY_ID = OpenApiParameter("key_id", int, "path", description="As the list of keys has it.", examples=[examples.ID])
PROJECT_NAME = OpenApiParameter("name", str, "path", description="Its name.", examples=[examples.NAME])
# A token is for who asked, and for no cache between.
UNCACHED = {"Cache-Control": "no-store"}


class KeyPagination(CursorPagination):
    order = ("id",)
    rows_are = "keys"


class ProjectPagination(CursorPagination):
    order = ("id",)
    rows_are = "projects"


class KeyListView(ListAPIView[Key]):
    scopes = {"GET": Scope.ADMIN, "POST": Scope.ADMIN}
    serializer_class = KeySerializer
    pagination_class = KeyPagination
    queryset = Key.objects.none()  # for the schema; each request reads its own project

    @extend_schema(
        operation_id="keys_list",
        summary="List the keys of the project, newest first",
        description="Those that were revoked or have expired, too. No token, and no digest of one, is ever answered.",
        tags=["keys"],
        examples=[examples.KEY],
        responses={200: KeySerializer(many=True), **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        check_parameters(request.query_params, KeyPagination.parameters)
        page = self.paginate_queryset(queries.of_project(project_of(request)))
        return self.get_paginated_response([represent(key) for key in page or ()])

    @extend_schema(
        operation_id="keys_create",
        summary="Make a key",
        description=(
            "The answer has its token, which can't be had again. It may do what the caller may at the most. A label "
            "that a usable key has is refused, so that the same sent again makes no second key: revoke the first, "
            "whose token was lost with its answer. A project may have 100 usable keys."
        ),
        tags=["keys"],
        request={body.JSON: NewKeySerializer},
        examples=[examples.NEW, examples.MADE],
        responses={
            201: OpenApiResponse(MadeKeySerializer, "Made"),
            **problems(400, 401, 403, 409, 413, 415, 422, 503),
        },
    )
    def post(self, request: Request) -> Response:
        check_parameters(request.query_params, ())
        new = documents.read_new_key(body_of(request), timezone.now())
        key, token = operations.make_key(caller_of(request), new)
        return Response(represent_made(key, token), status=201, headers=UNCACHED)


class KeyView(APIView):
    scopes = {"GET": Scope.ADMIN, "PATCH": Scope.ADMIN, "DELETE": Scope.ADMIN}

    @extend_schema(
        operation_id="keys_retrieve",
        summary="Read one key",
        tags=["keys"],
        parameters=[KEY_ID],
        examples=[examples.KEY],
        responses={200: KeySerializer, **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, key_id: int) -> Response:
        check_parameters(request.query_params, ())
        key = queries.of_project(project_of(request)).filter(pk=key_id).first()
        if key is None:
            raise NotFound(f"This project has no key {key_id}.")
        return Response(represent(key))

    @extend_schema(
        operation_id="keys_update",
        summary="Label a key anew",
        description="What it may do can't be changed: make another.",
        tags=["keys"],
        parameters=[KEY_ID],
        request={body.JSON: NewLabelSerializer},
        examples=[examples.LABEL, examples.KEY],
        responses={200: KeySerializer, **problems(400, 401, 403, 404, 409, 413, 415, 422, 503)},
    )
    def patch(self, request: Request, key_id: int) -> Response:
        check_parameters(request.query_params, ())
        label = read(body_of(request), NEW_LABEL).label
        return Response(represent(operations.relabel_key(caller_of(request), key_id, label)))

    @extend_schema(
        operation_id="keys_destroy",
        summary="Revoke a key",
        description=(
            "For good, and within two seconds everywhere. It stays in the list. A key can't revoke itself, so that "
            "the last one with `admin` isn't revoked by accident."
        ),
        tags=["keys"],
        parameters=[KEY_ID],
        responses={204: OpenApiResponse(None, "Revoked, now or before"), **problems(400, 401, 403, 404, 409, 503)},
    )
    def delete(self, request: Request, key_id: int) -> Response:
        check_parameters(request.query_params, ())
        operations.revoke_key(caller_of(request), key_id)
        return Response(status=204)


class KeyRotationView(APIView):
    scopes = {"POST": Scope.ADMIN}

    @extend_schema(
        operation_id="keys_rotate",
        summary="Rotate a key",
        description=(
            "Makes a key that may do the same and lives as long as this one was made to; this one works for `overlap` "
            "seconds more. The answer has the new token, which can't be had again. A key is rotated once, so the same "
            "sent again makes no third key: rotate the `successor`, whose token was lost with its answer. The caller "
            "has to have all that the key may do."
        ),
        tags=["keys"],
        parameters=[KEY_ID],
        request={body.JSON: RotationSerializer},
        examples=[examples.ROTATION, examples.MADE],
        responses={
            201: OpenApiResponse(MadeKeySerializer, "The new key"),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 503),
        },
    )
    def post(self, request: Request, key_id: int) -> Response:
        check_parameters(request.query_params, ())
        overlap = timedelta(seconds=read(body_of(request), ROTATION).overlap)
        key, token = operations.rotate_key(caller_of(request), key_id, overlap)
        return Response(represent_made(key, token), status=201, headers=UNCACHED)


class ProjectListView(ListAPIView[Project]):
    permission_classes = [HasKey]
    serializer_class = ProjectSerializer
    pagination_class = ProjectPagination
    queryset = Project.objects.none()  # for the schema; each request reads what its caller may see

    @extend_schema(
        operation_id="projects_list",
        summary="List the projects that the caller may see, newest first",
        description="A key sees its own. A person sees all that he is in, whichever of them the request names.",
        tags=["projects"],
        examples=[examples.PROJECT],
        responses={200: ProjectSerializer(many=True), **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> Response:
        check_parameters(request.query_params, ProjectPagination.parameters)
        page = self.paginate_queryset(queries.seen_by(caller_of(request)))
        return self.get_paginated_response(represented(request, page or []))


class ProjectView(APIView):
    scopes = {"PATCH": Scope.ADMIN}

    def get_permissions(self) -> list[BasePermission]:
        return [HasScope() if self.request.method == "PATCH" else HasKey()]

    @extend_schema(
        operation_id="projects_retrieve",
        summary="Read one project",
        description="One that the caller may not see is answered as one that doesn't exist.",
        tags=["projects"],
        parameters=[PROJECT_NAME],
        examples=[examples.PROJECT],
        responses={200: ProjectSerializer, **problems(400, 401, 403, 404, 503)},
    )
    def get(self, request: Request, name: str) -> Response:
        check_parameters(request.query_params, ())
        project = queries.seen_by(caller_of(request)).filter(name=name).first()
        if project is None:
            raise NotFound(f"There is no project {name!r} that you may see.")
        return Response(represented(request, [project])[0])

    @extend_schema(
        operation_id="projects_update",
        summary="Change a project",
        description=(
            "For how many days its events are kept. What is older is deleted within the hour. Only the project of the "
            "key, or the one that the session's request names, can be changed."
        ),
        tags=["projects"],
        parameters=[PROJECT_NAME],
        request={body.JSON: ProjectChangeSerializer},
        examples=[examples.RETENTION, examples.PROJECT],
        responses={200: ProjectSerializer, **problems(400, 401, 403, 404, 413, 415, 422, 503)},
    )
    def patch(self, request: Request, name: str) -> Response:
        check_parameters(request.query_params, ())
        change = documents.read_project_change(body_of(request))
        project = operations.change_project(caller_of(request), name, change)
        return Response(represented(request, [project])[0])


def body_of(request: Request) -> bytes:
    return body.read_json(request._request, limits.KEY_BYTES)


def represented(request: Request, projects: list[Project]) -> list[dict[str, Any]]:
    """Return ``projects``, each with what the caller may do in it."""
    caller = caller_of(request)
    if isinstance(caller, Key):
        return [represent_project(project, None, frozenset(caller.scopes)) for project in projects]
    roles = queries.roles_in(caller.user_id, projects)
    # Who was removed from one a moment ago sees it no more.
    return [
        represent_project(project, role, role.scopes)
        for project in projects
        if (role := roles.get(project.pk)) is not None
    ]
