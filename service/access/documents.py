"""What is asked about a key or a project, from bytes to a value. What is wrong with it is said as it is of events."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import msgspec
from django.conf import settings
from msgspec import Meta

from service.api import inspection, limits
from service.api.body import Malformed
from service.api.inspection import Fault, RefusedError
from service.projects.models import Scope

T = TypeVar("T")

LONGEST = timedelta(days=36_500)
Label = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]
Scopes = Annotated[list[Scope], Meta(min_length=1, max_length=len(Scope))]
Overlap = Annotated[int, Meta(ge=0, le=limits.OVERLAP)]


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: Label
    scopes: Scopes
    expires: Annotated[datetime, Meta(tz=True)] | None = None


class NewLabel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: Label


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    overlap: Overlap


class ProjectChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    retention_days: Annotated[int, Meta(ge=1)] | None


NEW_KEY = msgspec.json.Decoder(NewKey)
NEW_LABEL = msgspec.json.Decoder(NewLabel)
ROTATION = msgspec.json.Decoder(Rotation)
PROJECT_CHANGE = msgspec.json.Decoder(ProjectChange)


def read(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what ``body`` holds. Raises `Malformed` for what isn't JSON, `RefusedError` for the rest."""
    try:
        inspection.refuse_faulty(body)
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RefusedError(inspection.explain(str(error))) from error
    except ValueError as error:  # of either decoder
        raise Malformed("malformed_json", f"The body is not JSON: {error}.") from error


def read_project_change(body: bytes) -> ProjectChange:
    """Return what is to be changed of a project."""
    change = read(body, PROJECT_CHANGE)
    most = settings.RETENTION_DAYS
    if change.retention_days is not None and change.retention_days > most:
        raise RefusedError(Fault("retention_days", "invalid", f"Events are kept for {most} days at the most."))
    return change


def read_new_key(body: bytes, now: datetime) -> NewKey:
    """Return the key that is to be made at ``now``."""
    new = read(body, NEW_KEY)
    if new.expires is not None and not now < new.expires <= now + LONGEST:
        raise RefusedError(Fault("expires", "invalid", "Expected a moment to come, within a hundred years."))
    # Postgres knows offsets up to 15:59.
    return new if new.expires is None else msgspec.structs.replace(new, expires=new.expires.astimezone(UTC))
