"""Periodic work of the retention."""

from datetime import datetime

from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app

from service.retention import erasure, operations
from service.retention.pace import Pace


@app.periodic(cron="17 * * * *")
@app.task(queueing_lock="expire", pass_context=False)
def expire(timestamp: int) -> None:
    """Drop the months that expired, hourly."""
    operations.expire(now())


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="remove", pass_context=False)
def remove(timestamp: int) -> None:
    """Delete what is to go one by one, some each minute."""
    try:
        erasure.work(Pace())
    finally:
        operations.expire_early(now(), Pace())


def now() -> datetime:
    """Return the earlier of the service's and Postgres' clock, so that nothing goes because one of them is ahead."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT least(clock_timestamp(), %s)", [timezone.now()])
        (moment,) = cursor.fetchone()
        return moment  # type: ignore[no-any-return]
