"""Pages by cursor over a unique, ordered column: stable while rows arrive, and never a COUNT."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from django.core import signing
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
    """A place between two rows, and which way to read from it: ``lt`` and ``lte`` towards older rows."""

    lookup: Literal["lt", "lte", "gt", "gte"]
    position: str

    @property
    def backward(self) -> bool:
        return self.lookup.startswith("gt")

    @classmethod
    def read(cls, text: str) -> Self:
        try:
            lookup, position = signing.loads(text, salt=SALT)
        except signing.BadSignature as error:
            raise BadParameter(
                "cursor", "This cursor was not made here. Follow 'next' or 'previous', or leave it out."
            ) from error
        return cls(lookup, position)

    def __str__(self) -> str:
        return signing.dumps([self.lookup, self.position], salt=SALT)


class IdPagination(BasePagination):
    """Newest first by ``id``, unique among the rows that are read, so that none is skipped or shown twice.

    A cursor is opaque and signed: a made-up one is refused rather than read.
    """

    parameters = frozenset({"cursor", "page_size"})

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        size = page_size(request)
        self.url = request.build_absolute_uri()
        self.cursor = Cursor.read(request.query_params["cursor"]) if "cursor" in request.query_params else None
        if self.cursor is not None:
            queryset = queryset.filter(**{f"id__{self.cursor.lookup}": self.cursor.position})
        backward = self.cursor is not None and self.cursor.backward
        rows = list(queryset.order_by("id" if backward else "-id")[: size + 1])
        self.more = len(rows) > size
        self.rows = rows[:size][::-1] if backward else rows[:size]
        return self.rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next_link(), "previous": self.previous_link(), "results": data})

    def next_link(self) -> str | None:
        """Return the address of the older rows, if there are any."""
        cursor = self.cursor
        if cursor is not None and cursor.backward and not self.rows:
            return self.link(Cursor("lte", cursor.position))
        if self.more or (cursor is not None and cursor.backward):
            return self.link(Cursor("lt", str(self.rows[-1].id)))
        return None

    def previous_link(self) -> str | None:
        """Return the address of the newer rows, if the page isn't known to be the newest."""
        cursor = self.cursor
        if cursor is None or (cursor.backward and not self.more):
            return None
        if not self.rows:
            return self.link(Cursor("gte", cursor.position))
        return self.link(Cursor("gt", str(self.rows[0].id)))

    def link(self, cursor: Cursor) -> str:
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
                "description": "How many events a page holds.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": limits.MAX_PAGE_SIZE,
                    "default": limits.PAGE_SIZE,
                },
            },
        ]


def page_size(request: Request) -> int:
    text = request.query_params.get("page_size", str(limits.PAGE_SIZE))
    if text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= limits.MAX_PAGE_SIZE:
        return int(text)
    raise BadParameter("page_size", f"page_size must be a whole number from 1 to {limits.MAX_PAGE_SIZE}.")
