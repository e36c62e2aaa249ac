"""Take in events: check each, store the good ones, tell of the others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.api import inspection, limits
from service.api.inspection import Fault, RefusedError, printable
from service.events import operations as events
from service.events.operations import Row
from service.ingest import wire


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Why the event at ``index`` of a batch was refused."""

    index: int
    id: str | None
    field: str
    code: str
    detail: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: accepted + duplicates + rejected is its length."""

    accepted: int
    duplicates: int
    rejected: int
    errors: list[Error]


def accept(project_id: int, documents: Sequence[bytes], now: datetime) -> Receipt:
    """Store the events in ``documents`` that are good; committed on return.

    One statement for all of them, in one commit. Those already stored count as duplicates.
    """
    window = wire.Window.at(now)
    rows: dict[int, Row] = {}
    errors: list[Error] = []
    for index, raw in enumerate(documents):
        try:
            rows[index] = wire.row(raw, window)
        except RefusedError as refusal:
            errors.append(error(index, raw, refusal.fault))
    stored, unstorable = events.store_each(project_id, list(rows.values()))
    errors += [
        error(index, documents[index], Fault("", "unstorable", "Postgres can't hold this event."))
        for index, row in rows.items()
        if row in unstorable
    ]
    return Receipt(
        accepted=len(stored),
        duplicates=len(documents) - len(stored) - len(errors),
        rejected=len(errors),
        errors=sorted(errors, key=lambda each: each.index),
    )


def error(index: int, raw: bytes, fault: Fault) -> Error:
    return Error(
        index=index,
        id=claimed_id(raw),
        field=printable(fault.field),
        code=fault.code,
        detail=printable(fault.detail),
    )


def claimed_id(raw: bytes) -> str | None:
    """Return the id that a refused event gives itself; None too for an event too large to look into."""
    if len(raw) > limits.EVENT_BYTES:
        return None
    try:
        event: Any = inspection.decode(raw)
    except RecursionError:
        return None
    claimed = event.get("id") if isinstance(event, dict) else None
    return printable(claimed)[:255] if isinstance(claimed, str) else None
