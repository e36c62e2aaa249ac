"""Write what emitters report, and add up which of their sequence numbers are stored."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from django.db import connection, transaction

from service.api import limits
from service.api.inspection import Fault, RefusedError
from service.events import partitions
from service.events.models import Tally
from service.telemetry.models import Emitter
from service.telemetry.reports import Report

CHUNK = 5_000  # tallies folded in one transaction, about 100 ms
LOCK = "heliograph.emitters"

TAKE = """
    DELETE FROM event_tally
    WHERE project_id = %s AND id IN (SELECT id FROM event_tally WHERE project_id = %s ORDER BY id LIMIT %s)
    RETURNING emitter_id, source, sequences, stored_at
"""
# In the order of ids, though nobody else locks more than one: `report` has its own row only, others hold the LOCK.
ADD = """
    INSERT INTO emitter (project_id, id, source, first_seen, last_seen, sequences)
    SELECT %s, emitter_id, min(source), min(seen), max(seen), range_agg(sequences)
    FROM jsonb_to_recordset(%s::jsonb)
        AS row (emitter_id uuid, source text, sequences int8multirange, seen timestamptz)
    GROUP BY emitter_id
    ORDER BY emitter_id
    ON CONFLICT (project_id, id) DO UPDATE SET
        first_seen = LEAST(emitter.first_seen, EXCLUDED.first_seen),
        last_seen = GREATEST(emitter.last_seen, EXCLUDED.last_seen),
        sequences = emitter.sequences + EXCLUDED.sequences
"""
COUNT = """
    UPDATE emitter SET
        stored = (SELECT coalesce(sum(upper(stretch) - lower(stretch)), 0) FROM unnest(sequences) AS stretch),
        captured = GREATEST(captured, upper(sequences) - 1)
    WHERE project_id = %s AND id = ANY(%s::uuid[])
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An emitter was heard of at ``seen``, with these numbers; ``sequences`` is a multirange as Postgres writes it."""

    emitter_id: UUID | str
    source: str
    sequences: str
    seen: datetime


class TooManyReasonsError(RefusedError):
    """Counters are never forgotten, so an emitter that always names new ones would grow without end."""

    def __init__(self, field: str) -> None:
        super().__init__(
            Fault(field, "too_many_reasons", f"An emitter may count for {limits.REASONS} reasons in all its reports.")
        )


def fold(project_id: int) -> None:
    """Add to the emitters of a project what was committed of it before the call. One query when that is nothing.

    Safe at any moment and from many processes: a tally goes where it is added, in one transaction, under a lock that
    those who write tallies never ask for.
    """
    if Tally.objects.filter(project_id=project_id).exists():
        while fold_some(project_id) == CHUNK:
            continue


def fold_some(project_id: int) -> int:
    """Fold `CHUNK` tallies at the most; return how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock(project_id)
        cursor.execute(TAKE, [project_id, project_id, CHUNK])
        tallies = [
            Seen(emitter_id=emitter_id, source=source, sequences=str(sequences), seen=stored_at)
            for emitter_id, source, sequences, stored_at in cursor.fetchall()
        ]
        add(project_id, tallies)
        cursor.execute(COUNT, [project_id, list({str(each.emitter_id) for each in tallies})])
    return len(tallies)


def fold_all() -> None:
    """Fold the tallies of every project."""
    for project_id in Tally.objects.order_by().values_list("project_id", flat=True).distinct():
        fold(project_id)


def lock(project_id: int) -> None:
    """Wait until nobody else changes many emitters of the project, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", [LOCK, project_id])


def add(project_id: int, seen: Sequence[Seen]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(ADD, [project_id, msgspec.json.encode(seen).decode()])


@transaction.atomic
def report(project_id: int, told: Report, now: datetime) -> None:
    """Keep what an emitter told at ``now``; in any order, and as often as it likes.

    Of several reports, the one with the latest ``time`` describes the emitter. Counters keep the greatest that was
    ever told, and who ended stays so, whichever report came last.
    """
    add(project_id, [Seen(emitter_id=told.emitterid, source=told.source, sequences="{}", seen=now)])  # locks its row
    emitter = Emitter.objects.defer("sequences").get(project_id=project_id, id=told.emitterid)
    emitter.captured = max(emitter.captured, told.captured)
    emitter.lost = greatest("lost", emitter.lost, told.lost)
    emitter.lost_total = sum(emitter.lost.values())
    emitter.unsent = greatest("unsent", emitter.unsent, told.unsent)
    emitter.ended = emitter.ended or told.ended
    if emitter.reported_at is None or emitter.reported_at <= told.time:
        describe(emitter, told, now)
    emitter.save(update_fields=REPORTED)


REPORTED = [
    *("captured", "lost", "lost_total", "unsent", "ended", "queued", "spooled"),
    *("source", "versions", "host", "process_id", "delivery", "started_at", "reported_at", "clock_skew"),
]


def describe(emitter: Emitter, told: Report, now: datetime) -> None:
    emitter.source = told.source
    emitter.versions = told.versions
    emitter.host = told.host
    emitter.process_id = told.pid
    emitter.delivery = told.delivery
    # Postgres knows no offset beyond 15:59.
    emitter.started_at = told.started.astimezone(UTC)
    emitter.reported_at = told.time.astimezone(UTC)
    emitter.clock_skew = (now - told.time).total_seconds()
    emitter.queued = told.queued
    emitter.spooled = told.spooled


def greatest(field: str, known: Mapping[str, int], told: Mapping[str, int]) -> dict[str, int]:
    """Return each counter at its greatest. Raises `TooManyReasonsError`."""
    counters = {reason: max(known.get(reason, 0), told.get(reason, 0)) for reason in known.keys() | told.keys()}
    if len(counters) > limits.REASONS:
        raise TooManyReasonsError(field)
    return dict(sorted(counters.items()))


def forget(now: datetime) -> None:
    """Delete the emitters that were last seen before the oldest event that is kept, of any project."""
    fold_all()
    old = Emitter.objects.filter(last_seen__lt=partitions.horizon(now)).order_by()
    for project_id in old.values_list("project_id", flat=True).distinct():
        forget_before(project_id, partitions.horizon(now))


def forget_before(project_id: int, moment: datetime) -> None:
    """Delete the emitters of a project that were last seen before ``moment``."""
    with transaction.atomic():
        lock(project_id)
        Emitter.objects.filter(project_id=project_id, last_seen__lt=moment).delete()
