"""``manage.py heliograph_outbox``: what waits in a database's outbox, and what to do with its dead letters."""

import json
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.models import QuerySet

from emitter import leases, outbox
from emitter.models import DeadLetter, Waiting


class Command(BaseCommand):
    help = (
        "Tell what waits in the outbox of a database, list what fails and its dead letters, send those again or delete "
        "them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            nargs="?",
            default="counts",
            choices=["counts", "failing", "dead", "requeue", "delete"],
            help="default: counts",
        )
        parser.add_argument("ids", nargs="*", type=int, help="of dead letters, as the action dead lists them")
        parser.add_argument("--all", action="store_true", help="requeue or delete all of them")
        parser.add_argument("--code", help="list, requeue or delete those of this code")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help="default: default")

    def handle(self, *args: Any, action: str, database: str, **options: Any) -> None:
        actions: dict[str, Callable[..., None]] = {
            "counts": self.counts, "failing": self.failing,
            "dead": self.dead, "requeue": self.requeue, "delete": self.delete,
        }  # fmt: skip
        try:
            with outbox.at_work():
                actions[action](database, **options)
        except DatabaseError as error:
            raise CommandError(
                f"{error}\nIs the outbox there? manage.py migrate heliograph --database={database}"
            ) from error

    def counts(self, database: str, **_: Any) -> None:
        found = leases.summary(database)
        self.stdout.write(f"waiting\t{found.waiting}")
        self.stdout.write(f"leased\t{found.leased}")
        self.stdout.write(f"retried\t{found.retried}")
        self.stdout.write(f"attempts\t{found.attempts}")
        self.stdout.write(f"oldest\t{'-' if found.oldest is None else found.oldest}")
        self.stdout.write(f"dead\t{found.dead}")

    def failing(self, database: str, **_: Any) -> None:
        """List rows that could not be sent yet, the most tried first: number, since when, attempts, which event."""
        rows = Waiting.objects.using(database).filter(attempts__gt=0).order_by("-attempts", "pk")
        for each in rows.iterator():
            self.stdout.write(f"{each.pk}\t{each.created_at:%Y-%m-%d %H:%M:%S}\t{each.attempts}\t{shown(each.event)}")

    def dead(self, database: str, **options: Any) -> None:
        """List dead letters: number, when, code, what the event is, and why."""
        letters = chosen(database, **{**options, "all": True} if not options["ids"] else options)
        for each in letters.order_by("pk").iterator():
            why = " ".join(each.detail.split())
            self.stdout.write(f"{each.pk}\t{each.died_at:%Y-%m-%d %H:%M:%S}\t{each.code}\t{shown(each.event)}\t{why}")

    def requeue(self, database: str, **options: Any) -> None:
        self.stdout.write(f"{leases.requeue(database, chosen(database, **options))} requeued")

    def delete(self, database: str, **options: Any) -> None:
        self.stdout.write(f"{leases.drop(database, chosen(database, **options))} deleted")


def chosen(database: str, *, ids: list[int], code: str | None, all: bool, **_: Any) -> "QuerySet[DeadLetter]":  # noqa: A002  # the option
    if not (ids or code or all):
        raise CommandError("Which ones? Give numbers, --code or --all.")
    letters = DeadLetter.objects.using(database)
    letters = letters.filter(pk__in=ids) if ids else letters
    return letters.filter(code=code) if code else letters


def shown(text: str) -> str:
    """Return which event it is, in few words."""
    try:
        event = json.loads(text)
        return " ".join(str(event[name]) for name in ("id", "type", "subject", "outcome") if event.get(name))
    except (ValueError, AttributeError):
        return "no event"
