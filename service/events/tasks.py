"""Periodic work on the event table."""

from django.utils import timezone
from procrastinate.contrib.django import app

from service.events import arrivals, partitions


@app.periodic(cron="7 * * * *")
@app.task(queueing_lock="ensure_partitions", pass_context=False)
def ensure_partitions(timestamp: int) -> None:
    """Make the partitions of the coming months, hourly. ``timestamp`` is the hour it was due."""
    partitions.ensure(timezone.now())


@app.periodic(cron="*/10 * * * *")
@app.task(queueing_lock="forget_arrivals", pass_context=False)
def forget_arrivals(timestamp: int) -> None:
    """Delete what no tail goes on from any more."""
    arrivals.forget(timezone.now())
