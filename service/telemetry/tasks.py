"""Periodic work on emitters."""

from procrastinate.contrib.django import app

from service.telemetry import operations


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="fold_tallies", pass_context=False)
def fold_tallies(timestamp: int) -> None:
    """Add up what was stored, each minute, so that little is left to whoever asks."""
    operations.fold_all()
