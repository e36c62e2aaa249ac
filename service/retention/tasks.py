"""Periodic work of the retention."""

from django.utils import timezone
from procrastinate.contrib.django import app

from service.retention import erasure, operations
from service.retention.pace import Pace


@app.periodic(cron="17 * * * *")
@app.task(queueing_lock="expire", pass_context=False)
def expire(timestamp: int) -> None:
    """Drop the months that expired, hourly."""
    operations.expire(timezone.now())


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="remove", pass_context=False)
def remove(timestamp: int) -> None:
    """Delete what is to go one by one, some each minute."""
    pace = Pace()
    erasure.work(pace)
    operations.expire_early(timezone.now(), pace)
