"""Periodic work on the event table."""

from django.utils import timezone
from procrastinate.contrib.django import app

from service.events import partitions


@app.periodic(cron="7 * * * *")
@app.task(queueing_lock="ensure_partitions", pass_context=False)
def ensure_partitions(timestamp: int) -> None:
    """Make the partitions of the coming months, hourly. ``timestamp`` is the hour it was due."""
    partitions.ensure(timezone.now())
