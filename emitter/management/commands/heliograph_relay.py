"""``manage.py heliograph_relay``: send what waits in a database's outbox, for as long as it runs."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections

from emitter import outlet
from emitter.conf import conf
from emitter.exceptions import ConfigurationError
from emitter.models import Waiting
from emitter.relay import Relay


class Command(BaseCommand):
    help = (
        "Send what waits in the outbox of a database. Several may run at once. Ends after the batch at hand on SIGTERM "
        "and SIGINT, with exit code 0. With HELIOGRAPH_RELAY = 'command', no other process sends."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help="default: default")
        parser.add_argument(
            "--once", action="store_true", help="end when all is sent that waits now; exit code 1 if it couldn't be"
        )

    def handle(self, *args: Any, database: str, once: bool, **options: Any) -> None:
        check(database)
        outlet.worker().start()  # which tells the service of dead letters
        relay = outlet.make_relay(database, poll=conf.interval)
        end_on_signals(relay)
        if not once:
            relay.run()
        elif not relay.drain():
            raise CommandError("The rest could not be sent, and waits in the outbox. The log says why.")


def check(database: str) -> None:
    try:
        outlet.make_http_transport()
    except ConfigurationError as error:
        raise CommandError(f"{error} See manage.py check.") from error
    if Waiting._meta.db_table not in connections[database].introspection.table_names():
        raise CommandError(
            f"The database {database!r} has no outbox. Run manage.py migrate heliograph --database={database}"
        )


def end_on_signals(relay: Relay) -> None:
    if threading.current_thread() is threading.main_thread():  # others can't
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
