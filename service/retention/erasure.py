"""Erase an object or an actor: remove its events, redact those of others that name it, and keep them from coming again.

See docs/why/erased-and-remembered.md for what goes, what stays, and why.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import BooleanField, F, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from service.events import ids, objects, operations, partitions, queries, records, removal
from service.events.models import HAS_SUBJECT, NAMED_ONE, NAMES_OBJECTS, Erasure, Event
from service.events.objects_told import Ref
from service.events.records import Record
from service.retention.pace import BATCH, Pace
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
IS_PAST = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %(fence)s::xid8"
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
# What was asked when its answer was read; who asked, and when, stays, and of what kind it was if that names nobody.
FORGET_QUESTION = """
    UPDATE event SET
        data = CASE WHEN data ->> 'path' ~ '/objects/' THEN data - 'path' ELSE data END - 'parameters'
            || jsonb_build_object('erased', %(kind)s)
    WHERE project_id = %(project)s AND id = ANY(%(ids)s)
    RETURNING id
"""
# As the object of a path, or as a whole word of what a parameter was set to: of any its name, of one its key alone.
ASKED_FOR = """
    right(data ->> 'path', length(%s)) = %s OR right(data ->> 'path', length(%s)) = %s OR EXISTS (
        SELECT FROM jsonb_each_text(CASE jsonb_typeof(data -> 'parameters') WHEN 'object' THEN data -> 'parameters' END)
        WHERE value ~ %s OR key || ':' || value ~ %s
    )
"""
BEFORE, AFTER = "[^[:alnum:]_./+@-]", "($|[^[:alnum:]_./+@-])"


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


def work(pace: Pace) -> None:
    """Go on with all erasures as long as ``pace`` does. One process at a time; others don't wait."""
    with partitions.alone(removal.LOCK) as is_alone:
        asked = list(waiting()) if is_alone else []
        if asked:
            set_fences(asked)
        deadline = time.monotonic() + FENCED
        for erasure in asked:
            if pace.goes_on and is_past(erasure.fence, deadline):
                go_on(erasure, pace)


def waiting() -> Iterator[Erasure]:
    """Yield what is to be erased, by one project after the other, of each the oldest first."""
    undone = Erasure.objects.filter(done_at=None)
    for project_id in undone.order_by().values_list("project_id", flat=True).distinct():
        yield from undone.filter(project_id=project_id).order_by("asked_at")


def set_fences(asked: Sequence[Erasure]) -> None:
    """Note a transaction that began after each of ``asked`` could be seen.

    Again where it is one of another server, which a dump was taken of: this one counts its transactions anew.
    """
    number = int(run(NEW_NUMBER).fetchone()[0])
    for erasure in asked:
        if erasure.fence is None or erasure.fence > number:
            erasure.fence = number
            own(erasure).update(fence=number)


def is_past(fence: int, deadline: float) -> bool:
    """Tell whether all transactions before ``fence`` have ended; wait for them until ``deadline``."""
    while True:
        (is_past,) = run(IS_PAST, fence=str(fence)).fetchone()
        if is_past or time.monotonic() > deadline:
            return bool(is_past)
        time.sleep(0.05)


def go_on(erasure: Erasure, pace: Pace) -> None:
    for found, treat in steps(erasure):
        for batch in batches(found, pace):
            with pace.batch(), transaction.atomic():
                removed, redacted = treat(erasure.project_id, batch)
                own(erasure).update(removed=F("removed") + removed, redacted=F("redacted") + redacted)
    if pace.goes_on:
        stats.fold(erasure.project_id)
        own(erasure).update(subject=None, done_at=timezone.now())


def steps(erasure: Erasure) -> list[tuple[QuerySet[Event], Treatment]]:
    """Return which events are to be treated, and how. What was treated is found by none of them again."""
    earlier = Q(occurred_at__lt=erasure.asked_at) | Q(received_at__lt=erasure.asked_at)
    events = queries.of_project(erasure.project_id).filter(earlier)
    subject = str(erasure.subject)
    questions = events.filter(type=Record.READ).alias(asked=asked_for(subject)).filter(asked=True)
    reads = (questions, forget_question(erasure.kind))
    if erasure.kind == Erasure.Kind.ACTOR:
        return [(events.filter(actor=subject), unsign(subject)), reads]
    naming = [
        (each.filter(earlier), unname(ref))
        for ref in refs_of(subject)
        for each in calls_naming(erasure.project_id, ref)
    ]
    return [*((events.filter(each), remove) for each in about(subject)), *naming, reads]


def about(subject: str) -> list[Q]:
    """Return which events are about what is told as ``subject``, with its sender or alone."""
    own = [Q(sender=ref.sender, object_id=ref.object_id) for ref in refs_of(subject)]
    return [*own, HAS_SUBJECT & Q(extensions__subject=subject)]


def refs_of(subject: str) -> list[Ref]:
    """Return the objects that are told as ``subject``: several where it has several slashes."""
    parts = subject.split("/")
    return [Ref("/".join(parts[:cut]), "/".join(parts[cut:])) for cut in range(1, len(parts))]


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


def asked_for(subject: str) -> RawSQL:
    """Return whether a recorded question names ``subject``: as a whole, since any text can be erased."""
    name, key = (re.escape(records.told(text)) for text in (subject, subject.partition("/")[2] or subject))
    paths = [records.told(f"/objects/{subject}/{what}/") for what in ("history", "state")]
    parameters = [each for path in paths for each in (path, path)]
    parameters += [f"(^|{BEFORE}){name}{AFTER}", f'object_id\\w*:(.*{BEFORE})?"?{key}{AFTER}']
    return RawSQL(f"({ASKED_FOR})", parameters, BooleanField())  # noqa: S611  # a constant


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


def forget_question(kind: str) -> Treatment:
    def forget_question(project_id: int, batch: Sequence[UUID]) -> tuple[int, int]:
        return 0, len(run(FORGET_QUESTION, project=project_id, ids=list(batch), kind=kind).fetchall())

    return forget_question


def run(statement: str, **values: Any) -> CursorWrapper:
    cursor = connection.cursor()
    cursor.execute(statement, values)
    return cursor


def batches(found: QuerySet[Event], pace: Pace) -> Iterator[list[UUID]]:
    after = FIRST
    while pace.goes_on:
        batch = list(found.filter(id__gt=after).order_by("id").values_list("id", flat=True)[:BATCH])
        if batch:
            yield batch
        if len(batch) < BATCH:
            break
        after = batch[-1]


def own(erasure: Erasure) -> QuerySet[Erasure]:
    return Erasure.objects.filter(project_id=erasure.project_id, id=erasure.id)
