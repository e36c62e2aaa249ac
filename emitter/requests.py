"""What is told of a request: the ids that it brings, the address of who asks, and its path without secrets."""

import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.http import HttpRequest

from emitter import privacy, selection
from emitter.conf import conf

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,255}")
# https://www.w3.org/TR/trace-context/#traceparent-header: no version ff, and neither id all zeros
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def of_scope(scope: dict[str, Any]) -> dict[str, str]:
    """Return an ASGI scope's headers by lower-case name; what stands in several lines is joined, as Django does."""
    found: dict[str, str] = {}
    for name, value in scope.get("headers", ()):
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def correlation_id(text: str | None) -> str | None:
    """Return ``text`` if it can be an id: up to 255 visible ASCII characters that don't look like a secret."""
    return text if text and REQUEST_ID.fullmatch(text) and not has_secret(unquote(text)) else None


def has_secret(text: str) -> bool:
    return privacy.scrub(text, names=selection.is_secret_name) != text


def traceparent(text: str | None) -> str | None:
    return text if text and TRACEPARENT.fullmatch(text) else None


def client_address(forwarded_for: str | None, address: str | None) -> str | None:
    """Return who asked: the address before as many proxies as are trusted; what others wrote there is not believed."""
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    proxies = conf.trusted_proxies
    return ip_of(hops[-proxies] if 0 < proxies <= len(hops) else address)


def ip_of(address: str | None) -> str | None:
    """Return an IP address without the port that some proxies add; None for what is none, such as a socket's path."""
    if not address:
        return None
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    try:
        return str(ip_address(address))
    except ValueError:
        return None


def path_of(request: HttpRequest) -> str | None:
    """Return the path, in which what the route names as secret is masked; None where that can't be known.

    That is where no route was found: a path that lacks its last slash holds the same token as the one that has it.
    """
    match = request.resolver_match
    if match is None:
        return None
    given: dict[str, Any] = match.extra_kwargs or {}  # type: ignore[attr-defined]  # unknown to the stubs
    secret = [value for name, value in match.kwargs.items() if name not in given and selection.is_secret_name(name)]
    if not all(type(value) in {str, int, UUID} and str(value) in request.path for value in secret):
        return None  # what a converter made of it is not how it was written
    texts = sorted({re.escape(str(value)) for value in secret if value != ""}, key=len, reverse=True)
    return re.sub("|".join(texts), masked, request.path) if texts else request.path


def masked(found: re.Match[str]) -> str:
    return privacy.mask(found[0], conf.mask_secret)
