"""Periodic work on what is counted."""

from procrastinate.contrib.django import app

from service.stats import operations


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="fold_deltas", pass_context=False)
def fold_deltas(timestamp: int) -> None:
    """Add up what was stored, each minute, so that little is left to whoever asks."""
    operations.fold_all()
