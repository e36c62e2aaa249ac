"""Pages by cursor over columns that are unique together: stable while rows arrive, and never a COUNT."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from django.core import signing
from django.db.models import Q
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from service.api import limits
from service.api.parameters import BadParameter

SALT = "heliograph.cursor"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows, and which way to read from it: ``lt`` and ``lte`` towards older rows.

    ``position`` holds a value for each column of ``order``.
    """

    lookup: Literal["lt", "lte", "gt", "gte"]
    order: tuple[str, ...]
    position: tuple[str, ...]

    @property
    def backward(self) -> bool:
        return self.lookup.startswith("gt")

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
    def read(cls, text: str, order: tuple[str, ...]) -> Self:
        try:
            lookup, position = signing.loads(text, salt=salt(order))
        except signing.BadSignature as error:
            raise BadParameter(
                "cursor", "This cursor was not made here. Follow 'next' or 'previous', or leave it out."
            ) from error
        return cls(lookup, order, tuple(position))

    def __str__(self) -> str:
        return signing.dumps([self.lookup, self.position], salt=salt(self.order))


def salt(order: tuple[str, ...]) -> str:
    """Return what a cursor is signed with, so that one of another order is refused."""
    return ".".join([SALT, *order])


class CursorPagination(BasePagination):
    """Newest first by the columns of ``order``, unique together among the rows that are read.

    A cursor is opaque and signed: a made-up one is refused rather than read.
    """

    parameters = frozenset({"cursor", "page_size"})
    order: ClassVar[tuple[str, ...]]
    rows_are: ClassVar[str]  # what a page holds, in the words of its documentation

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        size = page_size(request)
        self.url = request.build_absolute_uri()
        text = request.query_params.get("cursor")
        self.cursor = None if text is None else Cursor.read(text, self.order)
        if self.cursor is not None:
            queryset = queryset.filter(self.cursor.beyond)
        backward = self.cursor is not None and self.cursor.backward
        rows = list(queryset.order_by(*[column if backward else f"-{column}" for column in self.order])[: size + 1])
        self.more = len(rows) > size
        self.rows = rows[:size][::-1] if backward else rows[:size]
        return self.rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next_link(), "previous": self.previous_link(), "results": data})

    def next_link(self) -> str | None:
        """Return the address of the older rows, if there are any."""
        cursor = self.cursor
        if cursor is not None and cursor.backward and not self.rows:
            return self.link("lte", cursor.position)
        if self.more or (cursor is not None and cursor.backward):
            return self.link("lt", self.position_of(self.rows[-1]))
        return None

    def previous_link(self) -> str | None:
        """Return the address of the newer rows, if the page isn't known to be the newest."""
        cursor = self.cursor
        if cursor is None or (cursor.backward and not self.more):
            return None
        if not self.rows:
            return self.link("gte", cursor.position)
        return self.link("gt", self.position_of(self.rows[0]))

    def position_of(self, row: Any) -> tuple[str, ...]:
        return tuple(str(getattr(row, column)) for column in self.order)

    def link(self, lookup: Literal["lt", "lte", "gt", "gte"], position: tuple[str, ...]) -> str:
        cursor = Cursor(lookup, self.order, position)
        return replace_query_param(remove_query_param(self.url, "cursor"), "cursor", str(cursor))

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True, "example": None}
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
    """Events, which are in order of their ids."""

    order = ("id",)
    rows_are = "events"


def page_size(request: Request) -> int:
    text = request.query_params.get("page_size", str(limits.PAGE_SIZE))
    if text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= limits.MAX_PAGE_SIZE:
        return int(text)
    raise BadParameter("page_size", f"page_size must be a whole number from 1 to {limits.MAX_PAGE_SIZE}.")
