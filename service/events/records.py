"""What the service records of itself: events in the log of the project that they are about.

They are stored as all events are, and found, followed, exported and kept as those. Their source is `SOURCE`; the types,
senders and actors begin with ``heliograph.``, so that the service's users aren't taken for those of a client system.
"""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone

from service.api import calls, limits
from service.api.inspection import printable
from service.events import ids, operations
from service.events.operations import Row
from service.projects.models import Key
from service.projects.seats import Seat

SOURCE = "/heliograph"
OWN = "heliograph."
KEY = "heliograph.Key"
USER = "heliograph.User"
PROJECT = "heliograph.Project"
SECRET = re.compile(r"([A-Za-z0-9]{8})[A-Za-z0-9]{32,}")  # what follows hg_ in a token, and any digest


class Record(StrEnum):
    READ = "heliograph.read"
    KEY_MADE = "heliograph.key_made"
    KEY_CHANGED = "heliograph.key_changed"
    KEY_ROTATED = "heliograph.key_rotated"
    KEY_REVOKED = "heliograph.key_revoked"
    READS_GRANTED = "heliograph.reads_granted"
    READS_ENDED = "heliograph.reads_ended"
    MEMBER_ADDED = "heliograph.member_added"
    MEMBER_CHANGED = "heliograph.member_changed"
    MEMBER_REMOVED = "heliograph.member_removed"
    USER_CHANGED = "heliograph.user_changed"
    PROJECT_MADE = "heliograph.project_made"
    PROJECT_RENAMED = "heliograph.project_renamed"
    RETENTION_CHANGED = "heliograph.retention_changed"
    ERASED = "heliograph.erased"


def is_own(name: str | None) -> bool:
    """Tell whether a sender, an object or an actor is the service's, and no client system's."""
    return name is not None and name.startswith(OWN)


def record(
    project_id: int,
    kind: Record,
    actor: Key | Seat | User | None,
    *,
    about: tuple[str, object],
    data: Mapping[str, object],
) -> None:
    """Store that ``actor`` did something to the object ``about``, a sender and a key; None where nobody asked for it.

    In the caller's transaction: what was done and its record are there together, or neither is.
    """
    sender, key = about
    operations.store(
        project_id,
        [row(kind, None if actor is None else name_of(actor), data, sender=sender, object_id=str(key))],
    )


def row(
    kind: Record,
    actor: str | None,
    data: Mapping[str, object],
    *,
    sender: str | None = None,
    object_id: str | None = None,
    identity: tuple[datetime, str] | None = None,
) -> Row:
    """Return an event of the service's own; those of one ``identity``, a moment and a text, are one event."""
    now = timezone.now()
    moment, original = identity or (now, secrets.token_hex(16))
    call = calls.current()
    return Row(
        id=str(ids.mapped(moment, SOURCE, original)),
        type=kind,
        source=SOURCE,
        occurred_at=now,
        sender=sender,
        object_id=object_id,
        actor=actor,
        correlation_id=None if call is None else call.request_id,
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


def name_of(actor: Key | Seat | User) -> str:
    match actor:
        case Key():
            return f"{KEY}/{actor.pk}"
        case Seat():
            return f"{USER}/{actor.user_id}"
    return f"{USER}/{actor.pk}"


def told(text: str) -> str:
    """Return ``text`` as a record may have it: what Postgres can hold, at most `limits.VALUE` characters, no secret."""
    clean = SECRET.sub(r"\1…", printable(text).replace("\0", "\ufffd"))
    return clean if len(clean) <= limits.VALUE else clean[: limits.VALUE - 1] + "…"
