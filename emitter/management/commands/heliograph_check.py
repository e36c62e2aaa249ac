import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from emitter import check_service
from emitter.check_waiting import Line


class Command(BaseCommand):
    help = "Tries out the way to the Heliograph service, with an event, and says what to do about what doesn't work."
    requires_system_checks = ()  # ours are its first step, and others have nothing to do with it

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Say it as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        said = []
        for line in check_service.lines():
            said.append(line)
            if not options["json"]:
                self.say(line)
        failed = sum(line.status == "FAILED" for line in said)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not failed, "lines": [line._asdict() for line in said]}, indent=2))
        if failed:
            raise CommandError(f"{failed} of {len(said)} failed.")

    def say(self, line: Line) -> None:
        styles = {"ok": self.style.SUCCESS, "warning": self.style.WARNING, "FAILED": self.style.ERROR}
        style = styles.get(line.status, str)
        self.stdout.write(f"{style(f'{line.status:8}')} {line.name:9} {line.detail}")
        if line.todo:
            self.stdout.write(f"{'':18} → {line.todo}")
