"""Django's handler, for which there is no request that can't be made: what a stranger sends is never a server error."""

from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters


class Request(WSGIRequest):
    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Read the Content-Type, or keep one that can't be read as it is: it is none that anybody takes.

        Unlike Django's own, this leaves the encoding alone: a query is UTF-8, whatever is said of the body.
        """
        text: str = meta.get("CONTENT_TYPE", "")
        self.content_type, self.content_params = text, {}
        try:
            self.content_type, self.content_params = parse_header_parameters(text)
        except (LookupError, ValueError):  # of a charset*= that names no charset, or isn't in it
            return


class Handler(WSGIHandler):
    request_class = Request


def make() -> Handler:
    """Set Django up and return its handler, as ``get_wsgi_application`` does."""
    django.setup(set_prefix=False)
    return Handler()
