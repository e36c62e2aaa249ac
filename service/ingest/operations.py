"""Take in events: check each, store the good ones, tell of the others."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from service.api import inspection, limits
from service.api.inspection import Fault, RefusedError, printable
from service.events import operations as events
from service.events import shared_commits
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


SMALL = 64 * 1024  # bytes of events that share a commit with others'; of more, a commit is no great part


def accept(project_id: int, documents: Sequence[bytes], now: datetime, *, dry_run: bool = False) -> Receipt:
    """Store the events in ``documents`` that are good; committed on return.

    One statement for all of them, in one commit. Those already stored count as duplicates. With ``dry_run``, tell
    what would become of them now, and store nothing.
    """
    window = wire.Window.at(now)
    rows: dict[int, Row] = {}
    errors: list[Error] = []
    for index, raw in enumerate(documents):
        try:
            rows[index] = wire.row(raw, window)
        except RefusedError as refusal:
            errors.append(error(index, raw, refusal.fault))
    stored, unstorable = writer(documents, dry_run)(project_id, list(rows.values()))
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


def writer(documents: Sequence[bytes], dry_run: bool) -> Callable[[int, Sequence[Row]], tuple[set[str], set[Row]]]:
    if dry_run:
        return partial(events.store_each, store=events.would_store)
    return shared_commits.store if sum(map(len, documents)) <= SMALL else events.store_each


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
