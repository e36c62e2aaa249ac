"""What waits in a project's database to be sent, and what the service refused. Made only where migrations run.

An event is JSON in ASCII, so that a database of any encoding keeps it as it is.
"""

from django.db import models
from django.db.models.functions import Now


class Waiting(models.Model):
    """An event of the outbox. It is inserted by SQL, with nothing but `event`: see `emitter.outbox`.

    The primary key is the only index, and serves all: a relay claims in its order, and decides by it. Rows that it has
    to skip are those that relays have or gave back, some batches at the most. Another index would cost each insert
    and each claim.
    """

    id = models.BigAutoField(primary_key=True)
    event = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    available_at = models.DateTimeField(null=True)  # by the database's clock: for relays, from then on; None: at once
    attempts = models.PositiveIntegerField(db_default=0)
    lease = models.UUIDField(null=True)  # of the claim that has it until `available_at`

    objects: "models.Manager[Waiting]" = models.Manager()

    class Meta:
        db_table = "heliograph_outbox"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.pk}"


class DeadLetter(models.Model):
    """An event that the service refused, and why. It stays until somebody has decided."""

    id = models.BigAutoField(primary_key=True)
    event = models.TextField()
    created_at = models.DateTimeField()
    died_at = models.DateTimeField(db_default=Now())
    code = models.CharField(max_length=100)
    detail = models.TextField()

    objects: "models.Manager[DeadLetter]" = models.Manager()

    class Meta:
        db_table = "heliograph_dead_letter"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.pk}: {self.code}"
