"""Authenticate a request by its key: ``Authorization: Bearer hg_…``."""

import time
from collections.abc import Callable, Collection
from datetime import datetime

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from service.api import calls
from service.api.problems import Problem
from service.projects import operations, ratelimit, remembered, sessions
from service.projects.models import Key, Scope
from service.projects.seats import Seat

_keys: remembered.Memory[Key] = remembered.Memory(10_000)
# Apart, so that guessing tokens drives no good key out.
_strangers: remembered.Memory[bool] = remembered.Memory(10_000)


class Unauthorized(Problem):
    status_code = 401
    title = "The key was not accepted"
    headers = {"WWW-Authenticate": 'Bearer realm="heliograph"'}


class KeyAuthentication(BaseAuthentication):
    """Set ``request.auth`` to the key. ``request.user`` stays None: a key is no person."""

    def authenticate(self, request: Request) -> tuple[None, Key] | None:
        """Return None without an Authorization header; raise `Unauthorized` for one that isn't good.

        Counts the request, here and not in a throttle of DRF's, which those whose key lacks a scope don't reach. Raises
        `RateLimited`. Runs a query every other second for each key, and an UPDATE at most once a minute.
        """
        token = token_of(request)
        if token is None:
            return None
        key = usable_key(token)
        calls.note_key(key.project_id, key.prefix)
        operations.note_use(key)
        ratelimit.count(request._request, key)
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="heliograph"'


def token_of(request: Request) -> str | None:
    return token_in(get_authorization_header(request))


def token_in(header: bytes) -> str | None:
    """Return the token in an Authorization header; None for an empty one. Raises `Unauthorized` for another form."""
    words = header.decode("latin-1").split()
    if not words:
        return None
    if words[0].lower() != "bearer" or len(words) != 2:
        raise Unauthorized("key_malformed", "Send the key as 'Authorization: Bearer hg_…'.")
    return words[1]


def project_of(request: Request) -> int:
    """Return the id of the one project that ``request`` may see. Raises `Unauthorized` without a key or a seat."""
    return caller_of(request).project_id


def caller_of(request: Request) -> Key | Seat:
    """Return who asks, a program or a person; both have ``project_id``, ``scopes`` and ``reads``."""
    caller: object = request.auth
    if not isinstance(caller, Key | Seat):
        raise Unauthorized("key_missing", "Send a key as 'Authorization: Bearer hg_…'.")
    return caller


def read_in(request: Request, projects: Collection[int]) -> None:
    """Note that the answer has events of these projects, where they aren't all the caller's own."""
    request._request.read_in = projects  # type: ignore[attr-defined]  # which `access.reads` records


def usable_key(token: str) -> Key:
    """Return the key that ``token`` stands for, or raise `Unauthorized` saying why it can't be used."""
    key = known_key(operations.digest(token))
    if key is None:
        raise Unauthorized("key_unknown", "No key is like this one. Check it for a missing or extra character.")
    refuse_ended(key)
    return key


def refuse_ended(key: Key) -> None:
    """Raise `Unauthorized` for a key that was revoked or has expired."""
    if has_passed(key.revoked_at):
        raise Unauthorized("key_revoked", f"The key {key.prefix}… was revoked. Use another, or make a new one.")
    if has_passed(key.expires_at):
        raise Unauthorized("key_expired", f"The key {key.prefix}… expired at {key.expires_at:%Y-%m-%dT%H:%M:%SZ}.")


def remembered_key(token: str) -> Key | None:
    """Return the key that ``token`` stands for, without asking Postgres; None if that isn't remembered to be good."""
    key = _keys.get(operations.digest(token))
    return key if key is not None and not (has_passed(key.revoked_at) or has_passed(key.expires_at)) else None


def has_passed(moment: datetime | None) -> bool:
    return moment is not None and moment <= timezone.now()


def known_key(digest: bytes) -> Key | None:
    """Return the key with this digest as it is now, or was up to `remembered.SECONDS` ago; None if there is none."""
    key = _keys.get(digest)
    if key is None and not _strangers.get(digest):
        read_at = time.monotonic()
        key = Key.objects.filter(digest=digest).first()
        if key is None:
            _strangers.put(digest, True, read_at)
        else:
            _keys.put(digest, key, read_at)
    return key


def lasting(request: Request, scope: Scope) -> Callable[[], bool]:
    """Return what tells whether who sent ``request`` still has ``scope``, for an answer that takes long."""
    if isinstance(request.auth, Seat):
        return sessions.lasting(request, scope)
    token = token_of(request)

    def may_go_on() -> bool:
        try:
            return token is not None and scope in usable_key(token).scopes
        except Unauthorized:
            return False

    return may_go_on


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # spectacular's base is untyped
    target_class = KeyAuthentication
    name = "key"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A key of a project: `hg_…`."}
