"""Pages by cursor over columns that are unique together: stable while rows arrive, and never a COUNT."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlencode

from django.core import signing
from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from service.api import limits
from service.api.parameters import BadParameter, choice, whole_number

SALT = "heliograph.cursor"
NOT_THE_QUESTION = {"cursor", "page_size"}
DOTS = re.compile(r"(?<=/)\.{1,2}(?=/|$)")

Towards = Literal["lt", "gt"]
Lookup = Literal["lt", "lte", "gt", "gte"]
OPPOSITE: Mapping[Towards, Towards] = {"lt": "gt", "gt": "lt"}
INCLUDED: Mapping[Towards, Lookup] = {"lt": "lte", "gt": "gte"}

NEWEST_FIRST = "-id"
DIRECTIONS: Mapping[str, Towards] = {NEWEST_FIRST: "lt", "id": "gt"}
ORDERING = OpenApiParameter(
    "ordering",
    enum=list(DIRECTIONS),
    default=NEWEST_FIRST,
    description=(
        "`-id`: the newest first; `id`: the oldest first. An id has the time at which it was made, to the millisecond; "
        "the event's `time` may be up to 24 h from it."
    ),
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows, and which way to read from it: ``lt`` and ``lte`` towards smaller ones.

    ``position`` holds a value for each column of ``order``.
    """

    lookup: Lookup
    order: tuple[str, ...]
    position: tuple[str, ...]

    @property
    def beyond(self) -> Q:
        """Return what keeps the rows on this side of the place: ``(a, b) < (x, y)``, in the lookups of the ORM."""
        *leading, last = zip(self.order, self.position, strict=True)
        condition = Q((f"{last[0]}__{self.lookup}", last[1]))
        for column, value in reversed(leading):
            towards = self.lookup[:2]
            # The first bound says nothing new, and is the one that an index can be searched by.
            condition = Q((f"{column}__{towards}e", value)) & (
                Q((f"{column}__{towards}", value)) | (Q((column, value)) & condition)
            )
        return condition

    @classmethod
    def read(cls, text: str, order: tuple[str, ...], question: str) -> Self:
        try:
            lookup, position = signing.loads(text, salt=salt(order, question))
        except signing.BadSignature as error:
            raise BadParameter(
                "cursor",
                "This cursor was not made here for these parameters. Follow 'next' or 'previous', or leave it out.",
            ) from error
        return cls(lookup, order, tuple(position))

    def signed(self, question: str) -> str:
        return signing.dumps([self.lookup, self.position], salt=salt(self.order, question))


def salt(order: tuple[str, ...], question: str) -> str:
    """Return what a cursor is signed with, so that one of another order, or another question, is refused."""
    return ".".join([SALT, *order, question])


class CursorPagination(BasePagination):
    """In the order of the columns of ``order``, unique together among the rows that are read; the greatest first.

    A cursor is opaque and signed: a made-up one is refused rather than read, and so is one that was made for another
    path or other parameters, whose pages would not be those of one list. Links have no scheme and host, which behind a
    proxy would be others than the client knows, and could send its key in the clear.
    """

    parameters = frozenset({"cursor", "page_size"})
    order: ClassVar[tuple[str, ...]]
    rows_are: ClassVar[str]  # what a page holds, in the words of its documentation

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        size = page_size(request)
        self.ahead = self.direction(request)
        self.url = address(request)
        asked = sorted((name, text) for name, text in request.query_params.items() if name not in NOT_THE_QUESTION)
        self.question = f"{request.path}?{urlencode(asked)}"
        text = request.query_params.get("cursor")
        self.cursor = None if text is None else Cursor.read(text, self.order, self.question)
        self.backward = self.cursor is not None and not self.cursor.lookup.startswith(self.ahead)
        if self.cursor is not None:
            queryset = queryset.filter(self.cursor.beyond)
        towards = OPPOSITE[self.ahead] if self.backward else self.ahead
        rows, self.more = self.read(queryset, towards, size)
        self.rows = rows[::-1] if self.backward else rows
        return self.rows

    def read(self, queryset: Any, towards: Towards, size: int) -> tuple[list[Any], bool]:
        """Return the first ``size`` rows that way, and whether there are more. It may be fewer, but not none, then."""
        rows = list(queryset.order_by(*sorting(self.order, towards))[: size + 1])
        return rows[:size], len(rows) > size

    def direction(self, request: Request) -> Towards:
        return "lt"

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next_link(), "previous": self.previous_link(), "results": data})

    def next_link(self) -> str | None:
        """Return the address of the rows that follow, if there are any."""
        if self.cursor is not None and self.backward and not self.rows:
            return self.link(INCLUDED[self.ahead], self.cursor.position)
        if self.more or self.backward:
            return self.link(self.ahead, self.position_of(self.rows[-1]))
        return None

    def previous_link(self) -> str | None:
        """Return the address of the rows before, if the page isn't known to be the first."""
        behind = OPPOSITE[self.ahead]
        if self.cursor is None or (self.backward and not self.more):
            return None
        if not self.rows:
            return self.link(INCLUDED[behind], self.cursor.position)
        return self.link(behind, self.position_of(self.rows[0]))

    def position_of(self, row: Any) -> tuple[str, ...]:
        return tuple(str(getattr(row, column)) for column in self.order)

    def link(self, lookup: Lookup, position: tuple[str, ...]) -> str:
        cursor = Cursor(lookup, self.order, position).signed(self.question)
        return replace_query_param(remove_query_param(self.url, "cursor"), "cursor", cursor)

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri-reference", "nullable": True, "example": None}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Where the page starts. Follow `next` and `previous` rather than writing it.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "description": f"How many {self.rows_are} a page holds.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": limits.MAX_PAGE_SIZE,
                    "default": limits.PAGE_SIZE,
                },
            },
        ]


class IdPagination(CursorPagination):
    """Events, in the order of the ids they are kept under; the newest first unless ``ordering`` says otherwise."""

    parameters = CursorPagination.parameters | {"ordering"}
    order = ("id",)
    rows_are = "events"

    def direction(self, request: Request) -> Towards:
        return direction(request)


def address(request: Request) -> str:
    """Return path and query of ``request``, without parts that a client would take for a way upwards."""
    path, mark, query = request.get_full_path().partition("?")
    return DOTS.sub(lambda dots: "%2E" * len(dots[0]), path) + mark + query


def sorting(order: tuple[str, ...], towards: Towards) -> list[str]:
    return [column if towards == "gt" else f"-{column}" for column in order]


def direction(request: Request) -> Towards:
    """Return which way events are asked for: towards the smaller ids by default."""
    return DIRECTIONS[choice(request.query_params, ORDERING.name, DIRECTIONS, NEWEST_FIRST)]


def page_size(request: Request) -> int:
    return whole_number(request.query_params, "page_size", 1, limits.MAX_PAGE_SIZE, limits.PAGE_SIZE)
