"""What a caller with the scope ``admin`` does to the own project and its keys, each with its record in one transaction.

One at a time in a project: each locks the row of the project, which nothing that stores or reads events asks for.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from rest_framework.exceptions import NotFound

from service.access import queries
from service.access.documents import NewKey, ProjectChange
from service.api import limits
from service.api.problems import Problem
from service.events import records
from service.events.records import Record
from service.events.serializers import rfc3339
from service.projects import authentication
from service.projects import operations as keys
from service.projects import queries as projects
from service.projects.models import Key, Project, Scope
from service.projects.permissions import Forbidden, named
from service.projects.seats import Seat

Caller = Key | Seat


class Conflict(Problem):
    status_code = 409
    title = "That can't be done as things are"


def make_key(caller: Caller, new: NewKey) -> tuple[Key, str]:
    """Make a key of the caller's project; return it, and its token, which can't be had again.

    Raises `Forbidden` for a scope that the caller lacks, and `Conflict` where a usable key has the label, so that who
    sends the same again gets no second key, or where there are `limits.KEYS`.
    """
    scopes = list(dict.fromkeys(new.scopes))
    with acting(caller) as project:
        refuse_more_than_own(caller, scopes)
        refuse_taken_label(project, new.label)
        refuse_too_many(project)
        token = keys.create_key(project, scopes, label=new.label, expires_at=new.expires)
        key = queries.by_token(token)
        tell_made(caller, key)
    return key, token


def relabel_key(caller: Caller, key_id: int, label: str) -> Key:
    """Give a key another label. Raises NotFound, and `Conflict` where another usable key has it."""
    with acting(caller) as project:
        key = key_of(project, key_id)
        if label != key.label:
            refuse_taken_label(project, label)
            changes = {"label": [records.told(key.label), records.told(label)]}
            key.label = label
            key.save(update_fields=["label"])
            tell(caller, Record.KEY_CHANGED, key, {"changes": changes})
    return key


def rotate_key(caller: Caller, key_id: int, overlap: timedelta) -> tuple[Key, str]:
    """Make the successor of a key; return it, and its token, which can't be had again.

    Raises NotFound, `KeyEnded`, and `Forbidden` where the key may do or read what the caller may not, who would have
    that by its token.
    """
    with acting(caller) as project:
        key = key_of(project, key_id)
        refuse_more_than_own(caller, key.scopes, key)
        token = keys.rotate_key(key, overlap)
        successor = queries.by_token(token)
        told = {"successor": successor.pk, "successor_prefix": successor.prefix, "expires": moment(key.expires_at)}
        tell(caller, Record.KEY_ROTATED, key, told)
        tell_readers(caller, Record.READS_GRANTED, successor, successor.reads.all())
    return successor, token


def revoke_key(caller: Caller, key_id: int) -> None:
    """End a key for good; nothing, where it is revoked. Raises NotFound, and `Conflict` for the caller's own key.

    So whoever revokes keys has one left that can make others.
    """
    with acting(caller) as project:
        key = key_of(project, key_id)
        if isinstance(caller, Key) and caller.pk == key.pk:
            raise Conflict("own_key", "A key can't revoke itself. Use another, or rotate it with an overlap of 0.")
        if keys.revoke_key(key):
            tell(caller, Record.KEY_REVOKED, key, {})


def change_project(caller: Caller, name: str, change: ProjectChange) -> Project:
    """Change for how long the caller's own project keeps its events. Raises NotFound for any other."""
    with acting(caller) as project:
        if project.name != name:
            raise NotFound(f"There is no project {name!r} that you ask about. A key has one, a session names one.")
        before = project.retention_days
        if change.retention_days != before:
            project.retention_days = change.retention_days
            project.save(update_fields=["retention_days"])
            changes = {"retention_days": [before, project.retention_days]}
            about = (records.PROJECT, project.pk)
            records.record(project.pk, Record.RETENTION_CHANGED, caller, about=about, data={"changes": changes})
    return project


@contextmanager
def acting(caller: Caller) -> Iterator[Project]:
    """Lock the caller's project, in a transaction. Raises `Unauthorized` or `Forbidden` for who may no more.

    Since a request trusts what is remembered of a key for seconds, in which it may have been revoked, and a person may
    have been removed while he waited for the lock.
    """
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=caller.project_id)
        if isinstance(caller, Key):
            key = Key.objects.get(pk=caller.pk)
            authentication.refuse_ended(key)
            if Scope.ADMIN not in key.scopes:
                raise missing(key, [Scope.ADMIN])
        else:
            seat = projects.seat_in(User.objects.get(pk=caller.user_id), project.name)
            if seat is None or Scope.ADMIN not in seat.scopes:
                raise missing(caller, [Scope.ADMIN])
        yield project


def key_of(project: Project, key_id: int) -> Key:
    key = queries.of_project(project.pk).select_for_update(no_key=True, of=["self"]).filter(pk=key_id).first()
    if key is None:
        raise NotFound(f"This project has no key {key_id}.")
    return key


def refuse_more_than_own(caller: Caller, scopes: Collection[str], key: Key | None = None) -> None:
    """Raise `Forbidden` for what the caller can't do by itself: these scopes, and to read what ``key`` reads."""
    lacking = [scope for scope in scopes if scope not in caller.scopes]
    if lacking:
        raise missing(caller, lacking)
    if key is not None and key.reads.exclude(pk__in=caller.reads.values("pk")).exists():
        raise Forbidden("reads_missing", f"The key {key.prefix}… reads projects that {named(caller)} doesn't read.")


def missing(caller: Caller, scopes: Collection[str]) -> Forbidden:
    listed = ", ".join(f"'{scope}'" for scope in scopes)
    return Forbidden("scope_missing", f"{named(caller)} has no scope {listed}.")


def refuse_taken_label(project: Project, label: str) -> None:
    other = queries.usable(project.pk).filter(label=label, successor=None).first()
    if other is not None:
        raise Conflict("label_taken", f"The key {other.prefix}…, with the id {other.pk}, has this label.")


def refuse_too_many(project: Project) -> None:
    if queries.usable(project.pk).count() >= limits.KEYS:
        raise Conflict("too_many_keys", f"A project may have {limits.KEYS} usable keys. Revoke one first.")


def tell_made(actor: Caller | User | None, key: Key) -> None:
    """Record a new key, also in each project that it reads in chains. ``actor`` is None for who has the machine."""
    data: dict[str, object] = {"scopes": key.scopes, "expires": moment(key.expires_at)}
    if read := list(key.reads.all()):
        data["reads"] = [records.told(project.name) for project in read]
    tell(actor, Record.KEY_MADE, key, data)
    tell_readers(actor, Record.READS_GRANTED, key, read)


def tell(caller: Caller | User | None, kind: Record, key: Key, data: dict[str, object]) -> None:
    told = {"prefix": key.prefix, "label": records.told(key.label), **data}
    records.record(key.project_id, kind, caller, about=(records.KEY, key.pk), data=told)


def tell_readers(caller: Caller | User | None, kind: Record, key: Key, read: Iterable[Project]) -> None:
    """Record in other projects that a key reads them in chains, or does no more."""
    told: dict[str, object] = {
        "prefix": key.prefix,
        "label": records.told(key.label),
        "project": records.told(key.project.name),
    }
    for project in read:
        records.record(project.pk, kind, caller, about=(records.KEY, key.pk), data=told)


def moment(given: datetime | None) -> str | None:
    return None if given is None else rfc3339(given)
