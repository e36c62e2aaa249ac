"""``manage.py distribute``: have the tables of events lie on the machines of a Citus cluster."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from service.launch import distribution
from service.launch.errors import LaunchError


def shards(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1024:
        raise ValueError
    return number


class Command(BaseCommand):
    help = "Distribute the tables of events over the machines of a Citus cluster. Run again, it does what is left."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only print the statements; needs no Citus")
        parser.add_argument(
            "--shards",
            type=shards,
            default=32,
            help="parts in which projects are put, each on one machine (default: 32)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        is_dry = options["dry_run"]
        try:
            if not is_dry:
                distribution.check()
        except LaunchError as error:
            raise CommandError(str(error)) from error
        done = distribution.distributed() if distribution.is_there() else frozenset[str]()
        for statement in distribution.statements(options["shards"], distributed=done):
            self.stdout.write(f"{statement};")
            if not is_dry:
                distribution.run(statement)
