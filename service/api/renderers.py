"""Write JSON with msgspec: an order of magnitude faster than ``json`` on a page of events."""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.functional import Promise
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


def plain(value: object) -> object:
    """Turn what msgspec doesn't know into what it does: lazy translations, DRF's ErrorDetail and its like."""
    if isinstance(value, Promise | str):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


encoder = msgspec.json.Encoder(enc_hook=plain, decimal_format="number")


class AlwaysJSON(DefaultContentNegotiation):
    """Answer in JSON whatever ``Accept`` says: clients name media types of the request there, and 406 helps none."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else encoder.encode(data)
