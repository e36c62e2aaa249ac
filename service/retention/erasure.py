"""Erase an object or an actor: remove its events, redact those of others that name it, and keep them from coming again.

See docs/why/erased-and-remembered.md for what goes, what stays, and why.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import reduce
from itertools import groupby
from operator import attrgetter, or_
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import BooleanField, F, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Least
from django.utils import timezone

from service.events import ids, objects, operations, partitions, queries, records, removal
from service.events.models import HAS_SUBJECT, NAMED_ONE, NAMES_OBJECTS, Erasure, Event
from service.events.objects_told import Ref, refs_of
from service.events.records import Record
from service.retention.pace import BATCH, Pace, in_turns
from service.retention.questions import Wanted
from service.stats import operations as stats

FENCED = 5.0  # seconds that a run waits for what is being stored
FIRST = UUID(int=0)
ERASURE = "heliograph.Erasure"
MET = "event_where_keys(data) @> ARRAY[%s]"

KEY = """
    INSERT INTO event_erasure_key (project_id, key, asked_at)
    VALUES (%(project)s, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), now())
    ON CONFLICT (project_id) DO UPDATE SET asked_at = GREATEST(event_erasure_key.asked_at, EXCLUDED.asked_at)
"""
ASK = """
    INSERT INTO event_erasure (project_id, id, kind, subject, digest, asked_at, asked_by, removed, redacted)
    SELECT %(project)s, %(id)s, %(kind)s, %(subject)s, event_subject_digest(key, %(kind)s, %(subject)s),
        now(), %(asked_by)s, 0, 0
    FROM event_erasure_key
    WHERE project_id = %(project)s
"""
# By themselves, for both are of the server that stores: on a cluster, rows of a project are another's.
NEW_NUMBER = "SELECT pg_current_xact_id()::text"
OLDEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
# Those that name nobody else go; the others lose what they say of it.
SOLE = """
    SELECT id FROM event
    WHERE project_id = %(project)s AND id = ANY(%(ids)s) AND object_id IS NULL AND (extensions -> 'subject') IS NULL
        AND data ->> 'model' = %(model)s AND event_keys(data) <> '{}' AND event_keys(data) <@ %(keys)s
"""
UNNAME = """
    UPDATE event SET data = event_unnamed(data, %(keys)s)
    WHERE project_id = %(project)s AND id = ANY(%(ids)s) AND data ->> 'model' = %(model)s
        AND (event_keys(data) && %(keys)s OR event_where_keys(data) && %(keys)s)
    RETURNING id
"""
UNSIGN = """
    UPDATE event SET
        actor = NULL, data = event_unsigned(data), extensions = coalesce(extensions, '{}') || '{"erased": "actor"}'
    WHERE project_id = %(project)s AND id = ANY(%(ids)s)
    RETURNING id
"""
FORGET_QUESTION = """
    UPDATE event SET data = event_unasked(data, %(kind)s)
    WHERE project_id = %(project)s AND id = ANY(%(ids)s)
    RETURNING id
"""

logger = logging.getLogger(__name__)

Treatment = Callable[[int, Sequence[UUID]], tuple[int, int]]  # how many were removed, how many redacted


def ask(project_id: int, kind: Erasure.Kind, subject: str, asked_by: str) -> Erasure:
    """Have the events of an object (``shop.Customer/42``) or of an actor erased that occurred up to now.

    From the commit on, none of them is stored. What is stored goes by `work`, which the worker calls.
    """
    erasure_id = ids.mapped(timezone.now(), "/heliograph", secrets.token_hex(16))
    with transaction.atomic():
        run(KEY, project=project_id)
        run(ASK, project=project_id, id=erasure_id, kind=kind, subject=subject, asked_by=asked_by)
    return Erasure.objects.get(project_id=project_id, id=erasure_id)


@transaction.atomic
def ask_and_record(project_id: int, kind: Erasure.Kind, subject: str, asked_by: str) -> Erasure:
    """`ask`, and record among the events of the project who did."""
    asked = ask(project_id, kind, subject, asked_by)
    told = records.row(Record.ERASED, asked_by, {"kind": kind}, sender=ERASURE, object_id=str(asked.id))
    operations.store(project_id, [told])
    return asked


class Unsettled(Exception):  # noqa: N818  # nothing went wrong
    """A month is on its way out: what it has isn't found, and may come back."""


def work(pace: Pace) -> None:
    """Go on with all erasures as long as ``pace`` does, and no month is on its way out: projects in turn.

    One process at a time; others don't wait.
    """
    with partitions.alone(removal.LOCK) as is_alone:
        asked = list(waiting()) if is_alone else []
        if not asked:
            return
        ended = ended_before(set_fences(asked))
        ready = groupby((each for each in asked if each.fence <= ended), key=attrgetter("project_id"))
        try:
            in_turns([of_project(list(theirs)) for _, theirs in ready], pace)
        except Unsettled:
            logger.info("Erasures go on once the month is gone that is on its way out")


def waiting() -> Iterator[Erasure]:
    """Yield what is to be erased, by one project after the other, of each the oldest first."""
    undone = Erasure.objects.filter(done_at=None)
    for project_id in undone.order_by().values_list("project_id", flat=True).distinct():
        yield from undone.filter(project_id=project_id).order_by("asked_at")


def set_fences(asked: Sequence[Erasure]) -> int:
    """Note a transaction that began after each of ``asked`` could be seen; return it.

    Again where it is one of another server, which a dump was taken of: this one counts its transactions anew.
    """
    number = int(run(NEW_NUMBER).fetchone()[0])
    for erasure in asked:
        if erasure.fence is None or erasure.fence > number:
            erasure.fence = number
            own(erasure).update(fence=number)
    return number


def ended_before(fence: int) -> int:
    """Return a transaction before which all have ended; wait until that is ``fence``, `FENCED` at the longest."""
    deadline = time.monotonic() + FENCED
    while True:
        ended = int(run(OLDEST).fetchone()[0])
        if ended >= fence or time.monotonic() > deadline:
            return ended
        time.sleep(0.05)


def of_project(asked: Sequence[Erasure]) -> Iterator[int]:
    """Go on with the erasures of a project; yield after each batch. One that fails is left to the next run."""
    for erasure in asked:
        if erasure.looked_to is None:
            try:
                yield from go_on(erasure)
            except DatabaseError:
                logger.exception("The erasure %s failed; the next run tries it again", erasure.id)
    treated = [each for each in asked if each.looked_to is not None]
    begun = [each for each in treated if each.looked_to != FIRST]
    for group in (begun, [each for each in treated if each not in begun]):  # so that no newer one sends them back
        if group:
            yield from forget_questions(group)


def go_on(erasure: Erasure) -> Iterator[int]:
    """Treat what is of the erased or names it, but for records of reads."""
    for found, treat in steps(erasure):
        for batch in batches(found):
            event_ids = [event_id for (event_id,) in batch]
            with transaction.atomic():
                removed, redacted = treat(erasure.project_id, event_ids)
                own(erasure).update(removed=F("removed") + removed, redacted=F("redacted") + redacted)
            yield len(batch)
    erasure.looked_to = FIRST
    own(erasure).update(looked_to=FIRST)
    yield 0


def forget_questions(asked: Sequence[Erasure]) -> Iterator[int]:
    """Have the records of reads forget whom they ask for, in one pass for all of ``asked``, and be done with these."""
    project_id, looked_to = asked[0].project_id, asked[0].looked_to or FIRST
    wanted = Wanted(asked)
    group = Erasure.objects.filter(project_id=project_id, id__in=[each.id for each in asked])
    reads = queries.of_project(project_id).filter(type=Record.READ)
    for batch in batches(reads, "data", Least("occurred_at", "received_at"), after=looked_to):
        with transaction.atomic():
            for erasure, event_ids in naming(wanted, batch).items():
                values = {"project": project_id, "ids": event_ids, "kind": erasure.kind}
                redacted = len(run(FORGET_QUESTION, **values).fetchall())
                own(erasure).update(redacted=F("redacted") + redacted)
            group.update(looked_to=batch[-1][0])
        yield len(batch)
    stats.fold(project_id)
    group.update(subject=None, done_at=timezone.now())


def naming(wanted: Wanted, batch: Sequence[tuple[UUID, Any, datetime]]) -> dict[Erasure, list[UUID]]:
    """Return the records of ``batch`` that ask for one of the erased, by the first of these that was not yet."""
    found: dict[Erasure, list[UUID]] = {}
    for event_id, data, moment in batch:
        erasure = next((each for each in wanted.asked_for(data) if moment < each.asked_at), None)
        if erasure:
            found.setdefault(erasure, []).append(event_id)
    return found


def steps(erasure: Erasure) -> list[tuple[QuerySet[Event], Treatment]]:
    """Return which events are to be treated, and how. What was treated is found by none of them again."""
    earlier = Q(occurred_at__lt=erasure.asked_at) | Q(received_at__lt=erasure.asked_at)
    events = queries.of_project(erasure.project_id).filter(earlier)
    subject = str(erasure.subject)
    if erasure.kind == Erasure.Kind.ACTOR:
        return [(events.filter(actor=subject), unsign(subject))]
    naming = [
        (each.filter(earlier), unname(ref))
        for ref in refs_of(subject)
        for each in calls_naming(erasure.project_id, ref)
    ]
    return [*((events.filter(each), remove) for each in about(subject)), *naming]


def about(subject: str) -> list[Q]:
    """Return which events are about what is told as ``subject``, with its sender or alone."""
    own = [Q(sender=ref.sender, object_id=ref.object_id) for ref in refs_of(subject)]
    return [*own, HAS_SUBJECT & Q(extensions__subject=subject)]


def calls_naming(project_id: int, ref: Ref) -> Iterator[QuerySet[Event]]:
    """Yield the calls on many rows, and changes of relations, that name an object: by its number, or in a condition.

    The latter are those that were told no keys, and those that met no row.
    """
    yield from objects.about(project_id, ref).sources[1:]
    events = queries.of_project(project_id)
    unnumbered = [
        events.alias(one=NAMED_ONE).filter(objects.unnamed(project_id, ref)),
        events.filter(NAMES_OBJECTS, sender=ref.sender, object_id=None),
    ]
    for each in unnumbered:
        yield each.alias(met=RawSQL(MET, [ref.object_id], BooleanField())).filter(met=True)  # noqa: S611  # a constant


def remove(project_id: int, batch: Sequence[UUID]) -> tuple[int, int]:
    return removal.remove(project_id, batch), 0


def unsign(subject: str) -> Treatment:
    """Remove what an actor did that is about no object, or about itself; have the rest be nobody's.

    Told apart in each batch: Postgres takes the former for few, and would read all of an actor's for each batch.
    """
    of_none = Q(object_id=None, data__model__isnull=True) & ~HAS_SUBJECT
    personal = reduce(or_, about(subject), of_none)

    def unsign(project_id: int, batch: Sequence[UUID]) -> tuple[int, int]:
        found = queries.of_project(project_id).filter(personal, id__in=batch)
        removed = removal.remove(project_id, list(found.values_list("id", flat=True)))
        return removed, len(run(UNSIGN, project=project_id, ids=list(batch)).fetchall())

    return unsign


def unname(ref: Ref) -> Treatment:
    def unname(project_id: int, batch: Sequence[UUID]) -> tuple[int, int]:
        values = {"project": project_id, "ids": list(batch), "model": ref.sender, "keys": [ref.object_id]}
        sole = [event_id for (event_id,) in run(SOLE, **values).fetchall()]
        return removal.remove(project_id, sole), len(run(UNNAME, **values).fetchall())

    return unname


def run(statement: str, **values: Any) -> CursorWrapper:
    cursor = connection.cursor()
    cursor.execute(statement, values)
    return cursor


def batches(found: QuerySet[Event], *values: Any, after: UUID = FIRST) -> Iterator[list[tuple[Any, ...]]]:
    """Yield ids, and ``values``, of what is found ``after`` one. Raises `Unsettled` where something may be missing."""
    while True:
        batch = list(found.filter(id__gt=after).order_by("id").values_list("id", *values)[:BATCH])
        if not partitions.are_settled():
            raise Unsettled
        if batch:
            yield batch
            after = batch[-1][0]
        if len(batch) < BATCH:
            return


def own(erasure: Erasure) -> QuerySet[Erasure]:
    return Erasure.objects.filter(project_id=erasure.project_id, id=erasure.id)
