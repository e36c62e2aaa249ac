"""How many events there are of what, hour by hour and day by day. See docs/why/counted-beside.md."""

from django.db import models


class Series(models.Model):
    """What some events have in common, and how many they are. A dimension that isn't told apart here is null.

    ``id`` is made of the values, so that what is counted can be keyed by 16 bytes however long they are. Written by
    `operations` only, and lags behind what `events.models.Delta` holds. ``oldest`` and ``newest`` are of a type and its
    sender only.
    """

    # The series of one project; adding to one.
    pk = models.CompositePrimaryKey("project_id", "id")
    project_id = models.IntegerField()
    id = models.UUIDField()
    rolled = models.SmallIntegerField(help_text="Which dimensions are counted together: SQL's GROUPING() of them.")
    type = models.TextField(null=True)
    source = models.TextField(null=True)
    sender = models.TextField(null=True)
    action = models.TextField(null=True)
    outcome = models.TextField(null=True)
    count = models.BigIntegerField()
    oldest = models.DateTimeField(null=True)
    newest = models.DateTimeField(null=True)

    class Meta:
        db_table = "event_series"

    def __str__(self) -> str:
        return str(self.id)


class Count(models.Model):
    """How many events of one series occurred in one hour, or in one day."""

    # The buckets of a histogram, in order; adding to one.
    pk = models.CompositePrimaryKey("project_id", "rolled", "hours", "moment", "series_id")
    project_id = models.IntegerField()
    series_id = models.UUIDField()
    rolled = models.SmallIntegerField()
    hours = models.SmallIntegerField(help_text="1 or 24.")
    moment = models.DateTimeField(help_text="When the hour or the day begins, in UTC.")
    count = models.BigIntegerField()
    series = models.ForeignObject(
        Series,
        models.DO_NOTHING,
        from_fields=["project_id", "series_id"],
        to_fields=["project_id", "id"],
        related_name="+",
    )

    class Meta:
        db_table = "event_count"

    def __str__(self) -> str:
        return f"{self.series_id} {self.moment}"


class Signal(models.Model):
    """A type of event and its sender, and how many there are. A view of series and deltas, exact at any moment."""

    pk = models.CompositePrimaryKey("project_id", "type", "place")
    project_id = models.IntegerField()
    type = models.TextField()
    sender = models.TextField(null=True)
    place = models.TextField(help_text="The sender, or an empty text: what can be compared.")
    count = models.BigIntegerField()
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        db_table = "event_signal"
        managed = False

    def __str__(self) -> str:
        return f"{self.type} {self.place}"
