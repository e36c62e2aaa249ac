"""The event table, and what is written of each statement that stores in it: numbers, counts, arrival.

See docs/why/partitioned-by-id.md for its partitions, and docs/why/tallied-numbers.md for the rest.
"""

import json
from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.fields.json import KeyTransform

from service.api.inspection import INT64

INT64_LENGTH = 19  # characters, below which no whole number is beyond 64 bits
DOUBLE_DIGITS = 15  # of any number that a double gives back as they were


class Int8Multirange(models.Field):  # type: ignore[type-arg]  # not subscriptable at run time
    """A set of whole numbers, kept as the ranges it is made of. Read and written in SQL only."""

    def db_type(self, connection: object) -> str:
        return "int8multirange"


class TransactionId(models.Field):  # type: ignore[type-arg]  # not subscriptable at run time
    """A transaction of Postgres, which never comes again on the same server: an int of 64 bits."""

    def db_type(self, connection: object) -> str:
        return "xid8"

    def from_db_value(self, value: str | None, *_: object) -> int | None:
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> Any:
        return str(value) if isinstance(value, int) else super().get_prep_value(value)


class UUIDs(models.Field):  # type: ignore[type-arg]  # not subscriptable at run time
    """A list of UUIDs."""

    def db_type(self, connection: object) -> str:
        return "uuid[]"


class Exact(json.JSONDecoder):
    """Reads a number as a float if that tells it as it was sent, else as a Decimal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(parse_int=whole, parse_float=real, **options)


def whole(text: str) -> int | float | Decimal:
    """Read a whole number; beyond 64 bits as the real one that it was sent as, by an exponent or a point."""
    return int(text) if len(text) < INT64_LENGTH or int(text) in INT64 else real(f"{text}.0")


def real(text: str) -> float | Decimal:
    number = float(text)
    same = len(text) <= DOUBLE_DIGITS or Decimal(repr(number)) == Decimal(text)
    return number if same else Decimal(text)


# What an event names that isn't about one object, as numbers: migrations/0005_objects.py.
NAMED_ONE = Func("project_id", "data", function="event_named_one", output_field=models.BigIntegerField())
NAMED_MANY = Func("project_id", "data", function="event_named_many", output_field=ArrayField(models.BigIntegerField()))
NAMES_OBJECTS = Q(data__model__isnull=False)
# Whether an event's time is over five minutes from its id's: migrations/0006_strays.py.
STRAY = Q(Func("id", "occurred_at", function="event_is_stray", output_field=models.BooleanField()))
# A subject that isn't a sender's, as producers tell it that know no senders.
SUBJECT = KeyTransform("subject", "extensions")
HAS_SUBJECT = Q(extensions__has_key="subject")


class Event(models.Model):
    """One recorded emission of a signal.

    Rows are written by `operations.store` only, and never changed but by an erasure. The migration makes the table
    itself, since Django can't declare a partitioned one.
    """

    pk = models.CompositePrimaryKey("project_id", "id")
    project_id = models.IntegerField()
    id = models.UUIDField(help_text="UUIDv7: the dedup key, the order in time and the partition key in one.")
    # Sorted by code point in any database, so that the index finds how a type begins.
    type = models.TextField(db_collation="C")
    source = models.TextField()
    sender = models.TextField(null=True)
    object_id = models.TextField(null=True)
    action = models.TextField(null=True)
    actor = models.TextField(null=True)
    correlation_id = models.TextField(null=True)
    causation_id = models.TextField(null=True)
    trace_id = models.UUIDField(null=True, help_text="The trace id of traceparent, which is 128 bits too.")
    emitter_id = models.UUIDField(null=True)
    sequence = models.BigIntegerField(null=True)
    outcome = models.TextField(null=True)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    data = models.JSONField(null=True, decoder=Exact)
    extensions = models.JSONField(null=True, help_text="CloudEvents attributes that have no column.")

    class Meta:
        db_table = "event"
        indexes = [
            # What happened with objects of a model, and with one object: sender, sender + object_id.
            models.Index("project_id", "sender", "object_id", "id", name="event_object"),
            # What one actor did.
            models.Index("project_id", "actor", "id", name="event_actor"),
            # All of one request, task or command.
            models.Index("project_id", "correlation_id", "id", name="event_correlation"),
            # One kind of signal.
            models.Index("project_id", "type", "id", name="event_type"),
            # All of one trace, which few events have.
            models.Index("project_id", "trace_id", "id", condition=Q(trace_id__isnull=False), name="event_trace"),
            # The effects of one event.
            models.Index(
                "project_id", "causation_id", "id", name="event_causation", condition=Q(causation_id__isnull=False)
            ),
            # What occurred far from the time of its id, which few events did.
            models.Index("project_id", "id", name="event_stray", condition=STRAY),
            # What an erasure looks for, and few events have.
            models.Index(F("project_id"), SUBJECT, F("id"), name="event_subject", condition=HAS_SUBJECT),
            # What bulk calls and changes of relations did to one object, in order: those that name it alone, and, by
            # another number, those that don't name all rows they wrote.
            models.Index(F("project_id"), NAMED_ONE, F("id"), name="event_named_one", condition=NAMES_OBJECTS),
            # The same for those that name it among others. With a pending list, each search would read that first.
            GinIndex(NAMED_MANY, name="event_named_many", fastupdate=False, condition=NAMES_OBJECTS),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Tally(models.Model):
    """The sequence numbers that one statement stored of one emitter, until the telemetry app adds them up.

    Inserted with the events and never changed, so that senders of one emitter don't wait for each other. ``id`` begins
    with the time of the first of their ids.
    """

    # The tallies of one project, which are added up together.
    pk = models.CompositePrimaryKey("project_id", "id")
    project_id = models.IntegerField()
    id = models.UUIDField()
    emitter_id = models.UUIDField()
    source = models.TextField()
    sequences = Int8Multirange()
    stored_at = models.DateTimeField()

    class Meta:
        db_table = "event_tally"

    def __str__(self) -> str:
        return str(self.id)


class Delta(models.Model):
    """How many events of one hour and one kind were new in one statement, until they are added to the counts.

    Inserted with the events and never changed, so that nobody waits to count. What a reader adds up is the counts and
    the deltas, in one statement. ``id`` begins with the time of the first of their ids. Of events that were taken away
    the ``count`` is negative, and the rest is of no event: see `removal`.
    """

    # The deltas of one project, which are added up together.
    pk = models.CompositePrimaryKey("project_id", "id")
    project_id = models.IntegerField()
    id = models.UUIDField()
    hour = models.DateTimeField(help_text="The beginning of the hour, in UTC, in which the events occurred.")
    type = models.TextField()
    source = models.TextField()
    sender = models.TextField(null=True)
    action = models.TextField(null=True)
    outcome = models.TextField(null=True)
    count = models.BigIntegerField()
    oldest = models.DateTimeField(null=True, help_text="When the first of the events occurred.")
    newest = models.DateTimeField(null=True)

    class Meta:
        db_table = "event_delta"

    def __str__(self) -> str:
        return f"{self.count} of {self.type}"


class Arrival(models.Model):
    """Which events were new in one statement: what a tail follows, since ids don't come in the order of commits.

    What a transaction wrote can be read as soon as ``tx`` is below ``pg_snapshot_xmin(pg_current_snapshot())``, and
    from then on no smaller ``tx`` comes. ``id`` is the first of ``ids``.
    """

    # The arrivals of one project after one that was read.
    pk = models.CompositePrimaryKey("project_id", "tx", "id")
    project_id = models.IntegerField()
    tx = TransactionId(db_default=models.Func(function="pg_current_xact_id"))
    id = models.UUIDField()
    ids = UUIDs()
    stored_at = models.DateTimeField()

    class Meta:
        db_table = "event_arrival"

    def __str__(self) -> str:
        return str(self.id)


class Erasure(models.Model):
    """An object or an actor whose events are to go, and a tombstone that keeps them from coming again.

    ``subject`` is there until it is done; what stays is ``digest``, by the project's `ErasureKey`. What occurred before
    ``asked_at`` isn't stored again. ``fence`` is greater than any transaction that looked before it could be seen.
    """

    class Kind(models.TextChoices):
        OBJECT = "object"
        ACTOR = "actor"

    # One erasure.
    pk = models.CompositePrimaryKey("project_id", "id")
    project_id = models.IntegerField()
    id = models.UUIDField()
    kind = models.TextField(choices=Kind)
    subject = models.TextField(null=True, help_text="Which one it is, until it is erased.")
    digest = models.BinaryField(max_length=32)
    asked_at = models.DateTimeField()
    asked_by = models.TextField()
    fence = TransactionId(null=True)
    looked_to = models.UUIDField(
        null=True,
        help_text="The last record of a read that was looked at; null until its own are treated.",
    )
    removed = models.BigIntegerField(default=0)
    redacted = models.BigIntegerField(default=0)
    done_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "event_erasure"
        indexes = [
            # Whether the subject of an event that comes was erased.
            models.Index("project_id", "digest", "asked_at", name="event_erasure_digest"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class ErasureKey(models.Model):
    """What the digests of a project are made with, so that one subject's differ from project to project."""

    project_id = models.IntegerField(primary_key=True)
    key = models.BinaryField(max_length=32)
    asked_at = models.DateTimeField(help_text="Of the latest erasure.")

    class Meta:
        db_table = "event_erasure_key"

    def __str__(self) -> str:
        return str(self.project_id)
