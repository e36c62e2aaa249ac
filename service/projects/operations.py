"""Make projects and keys, and end keys."""

import hashlib
import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from service.api.problems import Problem
from service.projects.models import Key, Project, Scope

ALPHABET = string.ascii_letters + string.digits
TOKEN_LENGTH = 40  # letters and digits: 238 bits, so that a plain SHA-256 is enough to keep
PREFIX_LENGTH = len("hg_") + 8
LAST_USE_PRECISION = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStart:
    """What the first start made. The two secrets exist nowhere else in clear."""

    project: str
    username: str
    password: str
    key: str


class KeyEnded(Problem):
    """The key has a successor already, or works no more."""

    status_code = 409
    title = "The key's time is over"


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@transaction.atomic
def create_key(
    project: Project,
    scopes: Sequence[str],
    *,
    label: str = "",
    expires_at: datetime | None = None,
    reads: Iterable[Project] = (),
) -> str:
    """Make a key of ``project`` and return its token, which can't be had again.

    It sees events of the projects in ``reads`` where they are in one chain with its own, and nowhere else.
    """
    token = "hg_" + "".join(secrets.choice(ALPHABET) for _ in range(TOKEN_LENGTH))
    key = Key.objects.create(
        project=project,
        label=label,
        prefix=token[:PREFIX_LENGTH],
        digest=digest(token),
        scopes=list(scopes),
        expires_at=expires_at,
    )
    key.reads.set(reads)
    return token


@transaction.atomic
def rotate_key(key: Key, overlap: timedelta) -> str:
    """Make the successor of ``key`` and return its token, which can't be had again.

    It may do what ``key`` may, and lives as long as that was made to. ``key`` expires after ``overlap``, or when it
    would anyway. Raises `KeyEnded` for a key that was rotated before, also by another at this moment, or that works no
    more. ``key`` is then as the database has it.
    """
    key.refresh_from_db(from_queryset=Key.objects.select_for_update(no_key=True))
    refuse_ended(key)
    now = timezone.now()
    lifetime = None if key.expires_at is None else now + (key.expires_at - key.created_at)
    token = create_key(key.project, key.scopes, label=key.label, expires_at=lifetime, reads=key.reads.all())
    successor = Key.objects.get(digest=digest(token))
    successor.rate_limit = key.rate_limit
    successor.save(update_fields=["rate_limit"])
    key.successor = successor
    key.expires_at = min(now + overlap, key.expires_at or now + overlap)
    key.save(update_fields=["successor", "expires_at"])
    return token


def refuse_ended(key: Key) -> None:
    """Raise `KeyEnded` for a key that can't be rotated."""
    now = timezone.now()
    if key.revoked_at is not None and key.revoked_at <= now:
        raise KeyEnded("key_revoked", f"The key {key.prefix}… was revoked. Make a new one.")
    if key.successor is not None:
        detail = f"The key {key.prefix}… was rotated already, to {key.successor.prefix}…; rotate that one."
        raise KeyEnded("key_rotated", detail)
    if key.expires_at is not None and key.expires_at <= now:
        raise KeyEnded("key_expired", f"The key {key.prefix}… has expired. Make a new one.")


def revoke_key(key: Key) -> bool:
    """End ``key`` for good; return whether it was this that did. Others believe it within `remembered.SECONDS`.

    A revocation that was set for later happens now; one that happened keeps its time.
    """
    now = timezone.now()
    later = Q(revoked_at=None) | Q(revoked_at__gt=now)
    is_ended = bool(Key.objects.filter(later, pk=key.pk).update(revoked_at=now))
    key.refresh_from_db(fields=["revoked_at"])
    return is_ended


def note_use(key: Key) -> None:
    """Record that ``key`` was used, at most once a minute: one UPDATE then, nothing otherwise."""
    if not is_use_noted(key):
        now = timezone.now()
        unseen = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USE_PRECISION)
        Key.objects.filter(unseen, pk=key.pk).update(last_used_at=now)
        key.last_used_at = now


def is_use_noted(key: Key) -> bool:
    return key.last_used_at is not None and key.last_used_at >= timezone.now() - LAST_USE_PRECISION


@transaction.atomic
def set_up() -> FirstStart | None:
    """Make the first project, its key and an admin user; return None if there is any project or user already.

    Takes a lock that lasts until the commit, so that two services starting at once make one set-up.
    """
    user_model = get_user_model()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('heliograph.set_up'))")
    if Project.objects.exists() or user_model.objects.exists():
        return None
    project = Project.objects.create(name="default")
    password = secrets.token_urlsafe(15)
    user_model.objects.create_superuser(username="admin", password=password)
    key = create_key(project, [Scope.EVENTS_WRITE, Scope.EVENTS_READ], label="made by the first start")
    return FirstStart(project=project.name, username="admin", password=password, key=key)
