"""``manage.py worker``: what is done beside the web server, by procrastinate."""

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand
from procrastinate.contrib.django import app

PAUSE = 2.0  # seconds
GRACE = 8  # seconds that a job has to end in when the worker is to stop


class Command(BaseCommand):
    help = "Expire, erase and count, until it is stopped. Goes on by itself when the database was away."

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(self.work())

    async def work(self) -> None:
        """Run a worker, and another one whenever it ends, until SIGINT or SIGTERM."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        stopped = asyncio.create_task(stop.wait())
        while not stopped.done():
            worker = asyncio.create_task(run())
            await asyncio.wait({worker, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                self.stderr.write(f"The worker ended, and is started again: {worker.exception()}")
                await asyncio.wait({stopped}, timeout=PAUSE)
        worker.cancel()  # which lets it end its job
        await asyncio.wait({asyncio.gather(worker, return_exceptions=True)}, timeout=GRACE + 1)


async def run() -> None:
    with app.replace_connector(app.connector.get_worker_connector()):  # type: ignore[attr-defined]  # Django's
        async with app.open_async():
            # Jobs that went well leave nothing behind: there is one each minute.
            await app.run_worker_async(
                delete_jobs="successful", shutdown_graceful_timeout=GRACE, install_signal_handlers=False
            )
