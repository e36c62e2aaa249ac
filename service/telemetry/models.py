"""Emitters, what they tell of themselves, and which of their events are stored."""

from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Greatest

from service.events.models import Int8Multirange


class Emitter(models.Model):
    """One boot of a client process: its latest report, and the sequence numbers that were stored of it.

    ``sequences``, ``stored`` and ``captured`` lag behind what `events.models.Tally` holds until `operations.fold` ran.
    Times are the service's own, but for ``started_at`` and ``reported_at``, which are the client's.
    """

    # One emitter by its id; the row that a report or a fold changes.
    pk = models.CompositePrimaryKey("project_id", "id")
    project_id = models.IntegerField()
    id = models.UUIDField()
    source = models.TextField()
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    sequences = Int8Multirange(db_default="{}")
    stored = models.BigIntegerField(db_default=0, help_text="How many numbers `sequences` holds.")
    captured = models.BigIntegerField(db_default=0, help_text="The greatest number that was reported or stored.")
    queued = models.BigIntegerField(db_default=0)
    spooled = models.BigIntegerField(db_default=0)
    lost = models.JSONField(db_default=Value({}, models.JSONField()))
    lost_total = models.BigIntegerField(db_default=0)
    unsent = models.JSONField(db_default=Value({}, models.JSONField()))
    missing = models.GeneratedField(
        expression=Greatest(Value(0), F("captured") - F("stored") - F("lost_total") - F("queued") - F("spooled")),
        output_field=models.BigIntegerField(),
        db_persist=True,
    )
    started_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField(null=True)
    clock_skew = models.FloatField(null=True, help_text="Seconds by which the service's clock is ahead.")
    versions = models.JSONField(db_default=Value({}, models.JSONField()))
    host = models.TextField(null=True)
    process_id = models.BigIntegerField(null=True)
    delivery = models.TextField(null=True)
    ended = models.BooleanField(db_default=False)

    class Meta:
        db_table = "emitter"
        indexes = [
            # GET emitters/, newest seen first; what retention deletes.
            models.Index("project_id", "last_seen", "id", name="emitter_last_seen"),
        ]

    def __str__(self) -> str:
        return str(self.id)
