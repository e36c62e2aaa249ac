"""The usual post answered in the event loop: a small one, all good, of a key that is remembered.

It costs a third of a way through Django, and while it waits for the commit that it shares with others it holds no
thread and no connection. All else is left to `EventsView`: whatever would have to be refused, explained or asked of
Postgres. Where this answers, both say the same, to which tests/service/ingest/test_quick.py holds them.
"""

from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils import timezone

from service.api import calls, metrics
from service.api.body import ENCODINGS, JSON, BodyProblem, inflate
from service.api.renderers import encoder
from service.events import shared_commits
from service.front import answers
from service.front.answers import Answer
from service.front.environ import Scope
from service.ingest import document, operations, views
from service.ingest.operations import Batch
from service.ingest.wire import Window
from service.projects import authentication, ratelimit, retention
from service.projects.authentication import Unauthorized
from service.projects.models import Key
from service.projects.models import Scope as KeyScope
from service.projects.operations import is_use_noted

PATH = "/api/v1/events/"
ROUTE = PATH.removeprefix("/")
SMALL = 64 * 1024  # bytes that are checked while everybody waits, well under a millisecond
FORMS = {JSON, document.MANY, document.ONE}
# What may be said beside; any other header could change what the request means.
READ = {b"host", b"authorization", b"content-type", b"content-encoding"}
MEANINGLESS = {
    *(b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"connection", b"content-length"),
    *(b"cookie", b"expect", b"pragma", b"traceparent", b"tracestate", b"transfer-encoding", b"user-agent"),
    *(b"x-request-id", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"forwarded"),
}
SAFE = {"Content-Type": JSON, "X-Content-Type-Options": "nosniff"}


class Post(NamedTuple):
    key: Key
    batch: Batch
    is_batch: bool


async def answer(scope: Scope, content: bytes) -> Answer | None:
    """Store what is posted and say so; None where this is the view's to do, and nothing is stored."""
    if scope["path"] != PATH or scope["method"] != "POST" or scope["query_string"]:
        return None
    post = read(scope, content)
    if post is None or (headers := allowed(post.key)) is None:
        return None
    calls.note_key(post.key.project_id, post.key.prefix)
    calls.note_route(ROUTE)
    stored = await shared_commits.submit(post.key.project_id, [*post.batch.rows.values()])
    if stored is None:
        return None
    receipt = post.batch.receipt(stored)
    metrics.count_events(receipt.accepted, receipt.duplicates, receipt.rejected)
    status = views.status_of(receipt, is_batch=post.is_batch)
    return answers.of(status, {**SAFE, **headers}, encoder.encode(receipt))


def read(scope: Scope, content: bytes) -> Post | None:
    """Return what is posted, if it is all good."""
    headers = headers_of(scope)
    if headers is None or not is_host(headers.get(b"host", b"")):
        return None
    key = key_of(headers.get(b"authorization", b""))
    form = headers.get(b"content-type", b"").decode("latin-1")
    days = None if key is None else retention.remembered_days(key.project_id)
    if key is None or days is None or form not in FORMS:
        return None
    try:
        text = plain(content, headers.get(b"content-encoding"))
        if text is None:
            return None
        is_batch = document.is_array(form, text)
        events = document.bounded(document.items(text)) if is_batch else [document.json_of(text)]
    except BodyProblem:
        return None
    batch = operations.read(events, Window.at(timezone.now(), days, key.scopes))
    return Post(key, batch, is_batch) if batch.rows and not batch.errors else None


def headers_of(scope: Scope) -> dict[bytes, bytes] | None:
    """Return the headers that say what the request is; None if one is unknown, or said twice."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in READ:
            if name in found:
                return None
            found[name] = value
        elif name not in MEANINGLESS:
            return None
    return found


@lru_cache(maxsize=64)
def is_known_host(host: bytes) -> bool:
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def is_host(host: bytes) -> bool:
    return len(host) < 256 and is_known_host(host)


def key_of(authorization: bytes) -> Key | None:
    """Return the key that may write, unless its use has to be noted."""
    try:
        token = authentication.token_in(authorization)
    except Unauthorized:
        return None
    key = None if token is None else authentication.remembered_key(token)
    return key if key is not None and KeyScope.EVENTS_WRITE in key.scopes and is_use_noted(key) else None


def plain(content: bytes, encoding: bytes | None) -> bytes | None:
    """Return the body that was sent; None if it is large, or of another encoding. Raises `BodyProblem`."""
    if len(content) > SMALL:
        return None
    if encoding is None:
        return content
    name = encoding.decode("latin-1")
    return inflate(content, name, SMALL) if name in ENCODINGS else None


def allowed(key: Key) -> dict[str, str] | None:
    """Count the request and return the headers that tell so; None if that has to be asked, or isn't allowed."""
    quota = ratelimit.quota_of(key)
    if not quota:
        return {}
    told = ratelimit.allow_at_once(key.pk, quota)
    return told.headers() if told is not None and told.is_granted else None
