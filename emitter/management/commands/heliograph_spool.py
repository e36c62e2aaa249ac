"""``manage.py heliograph_spool list|requeue|purge``: what waits in the spool, and what the service refused."""

from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from emitter.conf import conf
from emitter.event import Event
from emitter.folders import listing, requeue
from emitter.parking import Parked, ParkedFile

decode_event = msgspec.json.Decoder(Event).decode


class Command(BaseCommand):
    help = "List what waits in HELIOGRAPH_SPOOL and what the service refused; send the latter again, or delete it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "what",
            choices=["list", "requeue", "purge"],
            help="list: what is there; requeue: have refused events sent again; purge: delete refused events",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not conf.spool:
            raise CommandError("HELIOGRAPH_SPOOL is not set: this project has no spool.")
        directory = Path(conf.spool)
        if not directory.is_dir():
            self.stdout.write(f"{directory} does not exist: nothing waits, and nothing was refused.")
            return
        try:
            getattr(self, options["what"])(directory)
        except OSError as error:
            raise CommandError(f"The spool can't be used: {error}") from error

    def list(self, directory: Path) -> None:
        for emitter, number, size, alive in listing(directory):
            state = "running" if alive else "ended: the next process sends it"
            self.stdout.write(f"{emitter}  {number} events, {size} bytes wait  ({state})")
        items = ParkedFile(directory).read()
        for item in items:
            self.stdout.write(described(item))
        self.stdout.write(f"{len(items)} events were refused.")

    def requeue(self, directory: Path) -> None:
        number = requeue(directory)
        self.stdout.write(f"{number} events will be sent again, by the next process that captures something.")

    def purge(self, directory: Path) -> None:
        self.stdout.write(f"{ParkedFile(directory).clear()} refused events were deleted.")


def described(item: Parked) -> str:
    try:
        event = decode_event(item.event)
    except (msgspec.MsgspecError, ValueError):
        told = "an event that can't be read"
    else:
        told = " ".join(filter(None, (str(event.id), event.type, event.subject)))
    status = f" ({item.status})" if item.status else ""
    return f"{item.time}  {told}  {item.code}{status}: {item.detail}".rstrip(": ")
