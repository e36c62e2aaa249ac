"""``manage.py create_key PROJECT --scopes events:write,events:read``."""

from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from service.access import operations as access
from service.access import queries
from service.projects import operations
from service.projects.models import Project, Scope


def scope_list(text: str) -> list[str]:
    scopes = [scope.strip() for scope in text.split(",") if scope.strip()]
    unknown = [scope for scope in scopes if scope not in Scope.values]
    if unknown or not scopes:
        raise ArgumentTypeError(f"{', '.join(unknown) or 'nothing'}: choose from {', '.join(Scope.values)}")
    return list(dict.fromkeys(scopes))


def label(text: str) -> str:
    if len(text) > 100:
        raise ArgumentTypeError("it may have 100 characters at the most")
    return text


def days(text: str) -> timedelta:
    if not text.isdecimal() or not 0 < int(text) <= 36500:
        raise ArgumentTypeError(f"{text!r} is not a number of days from 1 to 36500")
    return timedelta(days=int(text))


def make_project(name: str) -> Project:
    project = Project(name=name)
    try:
        project.full_clean()
    except ValidationError as error:
        raise CommandError(f"{name!r} can't be a project's name: {' '.join(error.messages)}") from error
    project.save()
    return project


class Command(BaseCommand):
    help = "Make a key of a project and print it, alone, on standard output. It can't be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's name; see --create")
        parser.add_argument(
            "--scopes",
            type=scope_list,
            required=True,
            help="comma-separated: " + ", ".join(Scope.values),
        )
        parser.add_argument("--label", type=label, default="", help="where the key is used")
        parser.add_argument("--expires", type=days, metavar="DAYS", help="days until the key expires (default: never)")
        parser.add_argument(
            "--reads",
            action="append",
            default=[],
            metavar="PROJECT",
            help="a further project whose events it sees in chains (may be given again)",
        )
        parser.add_argument("--create", action="store_true", help="make the project if there is none of that name")

    def handle(self, *args: Any, **options: Any) -> None:
        expires_at = timezone.now() + options["expires"] if options["expires"] else None
        reads = [self.project(name, create=False) for name in options["reads"]]
        project = self.project(options["project"], create=options["create"])
        with transaction.atomic():
            token = operations.create_key(
                project, options["scopes"], label=options["label"], expires_at=expires_at, reads=reads
            )
            access.tell_made(None, queries.by_token(token))
        self.stdout.write(token)

    def project(self, name: str, *, create: bool) -> Project:
        project = Project.objects.filter(name=name).first()
        if project is None and create:
            return make_project(name)
        if project is None:
            known = ", ".join(Project.objects.order_by("name").values_list("name", flat=True)[:20])
            raise CommandError(f"There is no project {name!r}. Known: {known or 'none'}. Add --create to make it.")
        return project
