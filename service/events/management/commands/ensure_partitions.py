"""``manage.py ensure_partitions``: make the partitions of the coming months now."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from service.events import partitions


class Command(BaseCommand):
    help = "Make the event partitions of the coming months. The worker does this by itself each hour."

    def handle(self, *args: Any, **options: Any) -> None:
        for name in partitions.ensure(timezone.now()):
            self.stdout.write(name)
