"""``manage.py erase shop --object shop.Customer/42 --actor auth.User/7``."""

import time
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from service.api.inspection import printable
from service.events import records
from service.events.models import Erasure
from service.projects.models import Project
from service.retention import erasure
from service.retention.pace import Pace


def name(text: str) -> str:
    if not 1 <= len(text) <= 255 or printable(text) != text:
        raise ArgumentTypeError("a name has 1 to 255 characters, in UTF-8")
    return text


def subject(text: str) -> str:
    sender, slash, key = text.partition("/")
    if not (sender and slash and key):
        raise ArgumentTypeError(f"{text!r} is not of the form shop.Customer/42")
    return text


class Command(BaseCommand):
    help = "Erase all events of an object or an actor, for good; the worker does it. Prints the id of each erasure."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's name")
        parser.add_argument("--object", action="append", default=[], type=subject, metavar="shop.Customer/42")
        parser.add_argument("--actor", action="append", default=[], type=name, metavar="auth.User/7")
        parser.add_argument("--wait", action="store_true", help="do it now, and return when it is done")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(name=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        subjects = [(kind, each) for kind in Erasure.Kind for each in options[kind]]
        if own := [each for _, each in subjects if records.is_own(each)]:
            raise CommandError(f"What the service recorded of itself isn't erased: {own[0]}.")
        if not subjects:
            raise CommandError("Say what to erase: --object, --actor or both, each as often as you like.")
        asked = [erasure.ask_and_record(project.pk, kind, each, "manage.py erase") for kind, each in subjects]
        if options["wait"]:
            wait(asked)
        for each in asked:
            self.stdout.write(str(each.id))


def wait(asked: list[Erasure]) -> None:
    while any(Erasure.objects.filter(project_id=each.project_id, id=each.id, done_at=None).exists() for each in asked):
        erasure.work(Pace())
        time.sleep(0.1)
