"""``manage.py import_events``: send the history that another package has recorded, or an export, to the service."""

from datetime import datetime, time
from functools import partial
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from emitter import outlet
from emitter.conf import BATCH, is_batch_size
from emitter.exceptions import ConfigurationError, DeliveryError, HistoryError
from emitter.history.progress import Progress
from emitter.history.sending import Count, Import, Nowhere, Transport
from emitter.history.tables import Chosen, Opened

ORIGINS = ("auditlog", "ndjson", "simple_history", "easyaudit", "pghistory")


class Command(BaseCommand):
    help = (
        "Send the history that another package has recorded in this project to the Heliograph service. May be "
        "repeated, after an interruption too: what is there stays as it is. Exit code 1 if anything was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="origin", required=True, choices=ORIGINS, help="whose history it is")
        parser.add_argument("--file", help="of ndjson: an export, plain or .zst, or - for what comes in")
        parser.add_argument(
            "--since", type=moment, help="only entries of this time or later: 2025-03-01, or with a time"
        )
        parser.add_argument(
            "--until", type=moment, help="only entries before this time, as that of the emitter's start"
        )
        parser.add_argument("--database", choices=tuple(connections), help="default: where the routers read the tables")
        parser.add_argument(
            "--batch-size", type=batch_size, default=BATCH, help=f"entries in one request, up to {BATCH}"
        )
        parser.add_argument(
            "--patience", type=float, default=300, help="seconds that the service may be away; default 300"
        )
        parser.add_argument("--dry-run", action="store_true", help="read and convert everything, and send nothing")

    def handle(self, *args: Any, origin: str, dry_run: bool, **options: Any) -> None:
        chosen = Chosen(**{name: options[name] for name in ("since", "until", "database", "file")})
        try:
            transport: Transport = Nowhere() if dry_run else outlet.make_http_transport()
            opened = import_module(f"emitter.history.{origin}").opened(chosen)
            count = self.bring(opened, transport, **options)
        except ConfigurationError as error:
            raise CommandError(f"{error} See manage.py check.") from error
        except HistoryError as error:
            raise CommandError(str(error)) from error
        except DeliveryError as error:
            raise CommandError(f"{error}\n{AGAIN}") from error
        except DatabaseError as error:
            raise CommandError(f"The history can't be read: {error}\n{AGAIN}") from error
        self.sum_up(count, "would be sent" if dry_run else "stored")

    def bring(self, opened: Opened, transport: Transport, *, verbosity: int, **options: Any) -> Count:
        write = partial(self.stdout.write, ending="") if verbosity else no_words
        progress = Progress(write, opened.total, is_terminal=self.stdout.isatty())
        run = Import(
            transport, batch_size=options["batch_size"], patience=options["patience"], told=progress.show
        )  # fmt: skip
        try:
            run.bring(opened.found)
        finally:
            progress.end(run.count)
        return run.count

    def sum_up(self, count: Count, sent: str) -> None:
        """Say what became of all entries; raise `CommandError` if not all of them are told."""
        self.stdout.write(
            f"{count.read:,} entries: {count.stored:,} {sent}, {count.duplicates:,} there already, "
            f"{count.left_out.total():,} left out, {count.refused.total():,} refused."
        )
        for why, number in count.left_out.most_common():
            self.stdout.write(f"  left out: {number:,}, as {why}.")
        for code, number in count.refused.most_common():
            self.stdout.write(self.style.ERROR(f"  refused: {number:,} ({code}), such as: {count.examples[code]}"))
        if count.refused:
            raise CommandError(f"{count.refused.total():,} entries were refused, and are not in the service.")


AGAIN = "Run the command again: what has arrived stays as it is, and the rest is sent."


def moment(text: str) -> datetime:
    """Read a time, in the project's time zone if it says none; a date is its first moment."""
    day = parse_date(text)
    found = datetime.combine(day, time.min) if day is not None else parse_datetime(text)
    if found is None:
        raise ValueError(text)
    if not settings.USE_TZ:
        return found if found.tzinfo is None else timezone.make_naive(found)
    return timezone.make_aware(found) if found.tzinfo is None else found


def batch_size(text: str) -> int:
    if not is_batch_size(int(text)):
        raise ValueError(text)
    return int(text)


def no_words(_: str) -> None:
    pass
