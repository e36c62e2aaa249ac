"""A report of an emitter about itself, from bytes to a value. What is wrong with one is said as it is of events."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from service.api import inspection, limits
from service.api.body import Malformed
from service.api.inspection import Fault, RefusedError

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=limits.COUNT)]
Counters = Annotated[dict[Word, Count], Meta(max_length=limits.REASONS)]
Moment = Annotated[datetime, Meta(tz=True)]

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an emitter tells. Members that aren't known here are left aside: they are of a newer emitter."""

    emitterid: UUID
    source: Name
    started: Moment
    time: Moment
    captured: Count
    queued: Count = 0
    spooled: Count = 0
    lost: Counters = {}
    unsent: Counters = {}
    ended: bool = False
    versions: Annotated[dict[Word, Word], Meta(max_length=16)] = {}
    host: Name | None = None
    pid: Count | None = None
    delivery: Literal["memory", "outbox"] | None = None


DECODER = msgspec.json.Decoder(Report)
COUNT = msgspec.json.Decoder(Count)


def read(body: bytes) -> Report:
    """Return the report that ``body`` holds. Raises `Malformed` for what isn't JSON, `RefusedError` for the rest."""
    try:
        inspection.refuse_faulty(body)
        told = DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise RefusedError(named(inspection.explain(str(error)), body)) from error
    except ValueError as error:  # of either decoder
        raise Malformed("malformed_json", f"The body is not JSON: {error}.") from error
    for field, moment in (("started", told.started), ("time", told.time)):
        if not EARLIEST <= moment < LATEST:
            raise RefusedError(Fault(field, "invalid", "Expected a moment from 1970 on, and before the year 9999."))
    return told


def named(fault: Fault, body: bytes) -> Fault:
    """Put the name of the bad member into a fault of which msgspec says ``lost[...]``."""
    field, dots, _ = fault.field.partition("[...]")
    if not dots:
        return fault
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])[field]
    kind = Word if field == "versions" else Count
    for name, value in msgspec.json.decode(members, type=dict[str, msgspec.Raw]).items():
        try:
            msgspec.json.decode(value, type=kind)
        except msgspec.ValidationError as error:
            return Fault(f"{field}.{name[:64]}", fault.code, f"{error}.")
    return Fault(field, fault.code, fault.detail)
