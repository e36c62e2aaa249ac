"""``manage.py export_events PROJECT FILE``: an archive of a project's events."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.http import QueryDict

from service.api.problems import Problem
from service.events import archive, grammar
from service.projects.models import Project


class Command(BaseCommand):
    help = (
        "Write the events of a project to a file, an event a line, as GET events/export/ has them. The file is there "
        "once it is whole. The emitter's manage.py import_events --from ndjson brings it elsewhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's name")
        parser.add_argument("file", type=Path, help="where it goes; ending in .zst, it is compressed with zstd")
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a filter of GET events/, such as time__lt=2026-01-01T00:00Z; may be repeated",
        )

    def handle(self, *args: Any, project: str, file: Path, **options: Any) -> None:
        found = Project.objects.filter(name=project).first()
        if found is None:
            raise CommandError(f"There is no project {project!r}.")
        try:
            events = archive.write(found.pk, criteria_of(options["filter"]), file)
        except Problem as error:
            raise CommandError(
                " ".join([str(error.detail), *(str(each["detail"]) for each in error.errors)])
            ) from error
        except OSError as error:
            raise CommandError(f"{file} can't be written: {error.strerror}.") from error
        self.stdout.write(f"{events:,} events of {project} are in {file}.")


def criteria_of(filters: list[str]) -> Any:
    pairs = [each.partition("=") for each in filters]
    return grammar.criteria_of(QueryDict(urlencode([(name, value) for name, _, value in pairs])))
