"""Periodic work on emitters."""

from django.utils import timezone
from procrastinate.contrib.django import app

from service.telemetry import operations


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="fold_tallies", pass_context=False)
def fold_tallies(timestamp: int) -> None:
    """Add up what was stored, each minute, so that little is left to whoever asks."""
    operations.fold_all()


@app.periodic(cron="17 * * * *")
@app.task(queueing_lock="forget_emitters", pass_context=False)
def forget_emitters(timestamp: int) -> None:
    """Delete the emitters that the retention ends, hourly."""
    operations.forget(timezone.now())
