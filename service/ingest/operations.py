"""Take in events: check each, store the good ones, tell of the others."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.api import inspection, limits
from service.api.inspection import Fault, RefusedError, printable
from service.events import operations as events
from service.events.operations import Row
from service.ingest import wire
from service.ingest.wire import Window


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


@dataclass(frozen=True, slots=True)
class Batch:
    """Events as they were read: by their places those that may be stored, and why the others can't."""

    documents: Sequence[bytes]
    rows: dict[int, Row]
    errors: list[Error]

    def receipt(self, stored: Collection[str], unstorable: Collection[Row] = ()) -> Receipt:
        """Return what became of them, when the ids in ``stored`` were new."""
        errors = self.errors + [
            error(index, self.documents[index], Fault("", "unstorable", "Postgres can't hold this event."))
            for index, row in self.rows.items()
            if row in unstorable
        ]
        return Receipt(
            accepted=len(stored),
            duplicates=len(self.documents) - len(stored) - len(errors),
            rejected=len(errors),
            errors=sorted(errors, key=lambda each: each.index),
        )


def read(documents: Sequence[bytes], window: Window) -> Batch:
    """Check the events in ``documents``, whose ids have to be in ``window``."""
    rows: dict[int, Row] = {}
    errors: list[Error] = []
    for index, raw in enumerate(documents):
        try:
            rows[index] = wire.row(raw, window)
        except RefusedError as refusal:
            errors.append(error(index, raw, refusal.fault))
    return Batch(documents, rows, errors)


def store(project_id: int, batch: Batch, *, dry_run: bool = False) -> Receipt:
    """Store the events of ``batch`` that are good; committed on return.

    One statement for all of them, in one commit. Those already stored count as duplicates. With ``dry_run``, tell
    what would become of them now, and store nothing.
    """
    write = events.would_store if dry_run else events.store
    return batch.receipt(*events.store_each(project_id, [*batch.rows.values()], write))


def error(index: int, raw: bytes, fault: Fault) -> Error:
    return Error(
        index=index,
        id=claimed_id(raw),
        field=printable(fault.field),
        code=fault.code,
        detail=printable(fault.detail),
    )


def claimed_id(raw: bytes) -> str | None:
    """Return the id that a refused event gives itself; None too for one that can't be looked into."""
    if len(raw) > limits.EVENT_BYTES:
        return None
    try:
        event: Any = inspection.decode(raw)
    except (ValueError, RecursionError):
        return None
    claimed = event.get("id") if isinstance(event, dict) else None
    return printable(claimed)[:255] if isinstance(claimed, str) else None
