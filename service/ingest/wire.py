"""CloudEvents 1.0 JSON, from bytes to rows (CloudEvents spec §3, JSON format §§2-4).

The usual event is decoded by one compiled msgspec decoder, its ``data`` passing through untouched. Whatever that
decoder doesn't take as it is goes a slower way, which explains or, for unknown extensions, sorts them out.
"""

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from service.api import inspection, limits
from service.api.inspection import Fault, RefusedError
from service.events import ids, partitions, records
from service.events.operations import Row
from service.ingest import extensions
from service.projects import retention
from service.projects.models import Scope

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Counter = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,18})\Z")]
TraceParent = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")]


class Attributes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The known attributes, as they stand on the wire. Null is as good as absent (JSON format §2.2)."""

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Name
    subject: Name | None = None
    time: Annotated[datetime, Meta(tz=True)] | None = None
    data: Raw | UnsetType = UNSET
    sender: Name | None = None
    action: Word | None = None
    actor: Name | None = None
    correlationid: Name | None = None
    causationid: Name | None = None
    emitterid: UUID | None = None
    sequence: Counter | None = None
    outcome: Literal["committed", "rolledback", "autocommit"] | None = None
    traceparent: TraceParent | None = None
    datacontenttype: Name | None = None
    dataschema: Name | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What is accepted at one moment: the ids, where events are kept for so many days, and whether the service's own.

    Those are records of who did what here. Only who may do it all may bring them along, from an archive.
    """

    lowest: str
    highest: str
    days: int
    has_records: bool

    @classmethod
    def at(cls, now: datetime, days: int, scopes: Container[str]) -> Self:
        lowest, highest = ids.floor(retention.horizon(days, now)), ids.floor(now + partitions.FUTURE)
        return cls(str(lowest), str(highest), days, Scope.ADMIN in scopes)

    def holds(self, event_id: str) -> bool:
        return self.lowest <= event_id < self.highest


DECODER = msgspec.json.Decoder(Attributes)
KINDS = frozenset(map(str, records.Record))
MEMBERS = msgspec.json.Decoder(dict[str, Raw])
NULL = b"null"


def row(raw: bytes, window: Window) -> Row:
    """Return the row that one event in JSON becomes; raise `RefusedError` saying what is wrong with it."""
    if len(raw) > limits.EVENT_BYTES:
        raise RefusedError(Fault("", "event_too_large", f"An event may hold {limits.EVENT_BYTES} bytes at the most."))
    try:
        if not inspection.is_plain(raw):
            inspection.refuse_faulty(raw)
        attributes, kept = read(raw)
    except ValueError as error:  # of any decoder: `document` reads leniently, and lines not at all
        raise RefusedError(malformed(raw, error)) from error
    return build(attributes, kept, data_of(attributes, raw), window)


def malformed(raw: bytes, error: ValueError) -> Fault:
    """Return what Python's json finds at fault, which reads what JSON forbids, or else ``error``."""
    try:
        fault = inspection.first_fault(raw)
    except ValueError:
        fault = None
    return fault or Fault("", "malformed_json", f"{error}.")


def read(raw: bytes) -> tuple[Attributes, dict[str, object]]:
    """Return the known attributes of an event, and its extensions. Raises DecodeError for what isn't JSON."""
    try:
        return DECODER.decode(raw), {}
    except msgspec.ValidationError:
        return sorted_out(raw)


def data_of(attributes: Attributes, raw: bytes) -> Raw | None:
    """Return the data, undecoded; raise `RefusedError` for a number in it that can't be kept."""
    if attributes.data is UNSET:
        return None
    data = bytes(attributes.data)
    if not inspection.has_plain_numbers(data):
        inspection.refuse_faulty(raw)
    return None if data == NULL else attributes.data


def sorted_out(raw: bytes) -> tuple[Attributes, dict[str, object]]:
    """Part the known attributes of an event from its extensions."""
    try:
        members = MEMBERS.decode(raw)
        known = {name: members.pop(name) for name in Attributes.__struct_fields__ if name in members}
        return DECODER.decode(msgspec.json.encode(known)), extensions.read(members, "data" in known)
    except msgspec.ValidationError as error:
        raise RefusedError(explain(str(error))) from error


def build(attributes: Attributes, kept: dict[str, object], data: Raw | None, window: Window) -> Row:
    if not window.has_records:
        refuse_records(attributes)
    event_id = identify(attributes, kept, window)
    if not window.holds(event_id):
        field = "id" if event_id == attributes.id.lower() else "time"
        raise RefusedError(out_of_range(field, ids.time_of(event_id), window))
    minted = ids.time_of(event_id)
    if attributes.time is not None and abs(attributes.time - minted) > ids.SKEW:
        raise RefusedError(Fault("time", "time_mismatch", f"It is over 24 h from the id's own time, {minted:%FT%TZ}."))
    return Row(
        id=event_id,
        type=attributes.type,
        source=attributes.source,
        occurred_at=(attributes.time or minted).astimezone(UTC),  # Postgres knows no offset beyond 15:59
        sender=attributes.sender,
        object_id=object_id(attributes, kept),
        action=attributes.action,
        actor=attributes.actor,
        correlation_id=attributes.correlationid,
        causation_id=attributes.causationid,
        trace_id=trace_id(attributes, kept),
        emitter_id=attributes.emitterid,
        sequence=sequence(attributes),
        outcome=attributes.outcome,
        data=data,
        extensions=media(attributes, kept) or None,
    )


def refuse_records(attributes: Attributes) -> None:
    """Raise `RefusedError` for what could be taken for a record of the service's own."""
    for field, is_reserved in (
        ("source", attributes.source == records.SOURCE),
        ("type", attributes.type in KINDS),
        ("sender", records.is_own(attributes.sender)),
        ("actor", records.is_own(attributes.actor)),
    ):
        if is_reserved:
            detail = "It stands for a record that the service makes itself: a key needs the scope 'admin' to send it."
            raise RefusedError(Fault(field, "reserved", detail))


def identify(attributes: Attributes, kept: dict[str, object], window: Window) -> str:
    """Return the UUIDv7 of the event: its own, or the one that stands for a foreign id, which is kept then."""
    if ids.is_canonical(attributes.id):
        return attributes.id
    kept["id"] = attributes.id
    if ids.is_canonical(attributes.id.lower()):
        return attributes.id.lower()
    if attributes.time is None:
        raise RefusedError(Fault("time", "required", "An event whose id is not a UUIDv7 needs a time."))
    if attributes.time < ids.EPOCH:
        raise RefusedError(out_of_range("time", attributes.time, window))
    return str(ids.mapped(attributes.time, attributes.source, attributes.id))


def object_id(attributes: Attributes, kept: dict[str, object]) -> str | None:
    """Return what follows the sender in the subject. A subject of another form is kept as it is."""
    if attributes.subject is None:
        return None
    sender, slash, key = attributes.subject.partition(f"{attributes.sender}/")
    if attributes.sender is not None and not sender and slash and key:
        return key
    kept["subject"] = attributes.subject
    return None


def trace_id(attributes: Attributes, kept: dict[str, object]) -> UUID | None:
    if attributes.traceparent is None:
        return None
    kept["traceparent"] = attributes.traceparent
    return UUID(attributes.traceparent[3:35])


def sequence(attributes: Attributes) -> int | None:
    if attributes.sequence is None:
        return None
    number = int(attributes.sequence)
    if number not in inspection.INT64:
        raise RefusedError(Fault("sequence", "number_out_of_range", "The number is beyond 64 bits."))
    return number


def media(attributes: Attributes, kept: dict[str, object]) -> dict[str, object]:
    if attributes.datacontenttype is not None:
        kept["datacontenttype"] = attributes.datacontenttype
    if attributes.dataschema is not None:
        kept["dataschema"] = attributes.dataschema
    return kept


def out_of_range(field: str, when: datetime, window: Window) -> Fault:
    return Fault(
        field,
        "id_out_of_range",
        f"It is of {when:%Y-%m-%d}; of this project the last {window.days} days are taken, and the next 24 h.",
    )


# What is expected of the attributes that msgspec would explain less well.
FORMS = {
    "specversion": "This service speaks CloudEvents 1.0: specversion must be '1.0'.",
    "sequence": "Expected a whole number as a string, without leading zeros.",
    "traceparent": "Expected a W3C trace context: version-trace-parent-flags, in lower-case hex.",
}


def explain(message: str) -> Fault:
    fault = inspection.explain(message)
    if fault.code == "required" or fault.field not in FORMS:
        return fault
    if fault.field == "specversion":
        return Fault(fault.field, "unknown_specversion", FORMS[fault.field])
    return Fault(fault.field, fault.code, FORMS[fault.field])
