"""``manage.py up``: all of the service in one process tree."""

import sys
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from service.launch import database, greeting, lock, web
from service.launch.errors import LaunchError
from service.launch.postgres import EmbeddedPostgres
from service.launch.processes import (
    Children,
    StopRequested,
    disregard_stop_signals,
    raise_on_stop_signals,
)
from service.projects import operations
from service.settings import env, env_int, env_secret

WORKER = [sys.executable, "manage.py", "worker"]


class Command(BaseCommand):
    help = "Start Postgres (unless DATABASE_URL is set), migrate, and run the web server and the worker until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--postgres-only", action="store_true", help="only the embedded Postgres, as it is, to restore a backup to"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        raise_on_stop_signals()
        try:
            with lock.hold(settings.VAR_DIR / "up.lock") as was_killed:
                if options["postgres_only"]:
                    return self.run_postgres()
                address = read_address()
                # What the last one left behind may still be about to stop.
                web.check_free(address, patience=10 if was_killed else 0)
                self.run(address)
        except StopRequested:
            self.stdout.write("Heliograph has stopped.")
        except (LaunchError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error

    def run(self, address: web.Address) -> None:
        """Start all, then wait; stop all on the way out, the database last."""
        server, children = EmbeddedPostgres(settings.VAR_DIR), Children()
        with ExitStack() as stack:
            stack.callback(server.stop)
            stack.callback(children.stop)
            stack.callback(disregard_stop_signals)
            if not env_secret("DATABASE_URL"):
                self.say("Starting Postgres.")
                children.watch("Postgres", server.start())
            database.prepare(self.say)
            made = self.set_up(address)
            self.start_children(children, address)
            data = "DATABASE_URL" if server.process is None else str(server.data_dir)
            self.say(greeting.ready(address, data=data, is_first=made))
            children.supervise()

    def run_postgres(self) -> None:
        server, children = EmbeddedPostgres(settings.VAR_DIR), Children()
        with ExitStack() as stack:
            stack.callback(server.stop)
            stack.callback(disregard_stop_signals)
            children.watch("Postgres", server.start())
            self.say(f"Postgres runs, and nothing else: {server.dsn}\nCtrl-C stops it.")
            children.supervise()

    def start_children(self, children: Children, address: web.Address) -> None:
        workers = env_int("WEB_WORKERS", 2, at_least=1)
        children.start("web", web.command(address, workers=workers), cwd=settings.BASE_DIR)
        children.start("worker", WORKER, cwd=settings.BASE_DIR)
        web.wait_until_ready(address, host=own_name(), check=children.check)

    def set_up(self, address: web.Address) -> bool:
        """Make the first project if there is none, and print its secrets at once, as they can't be had again."""
        made = operations.set_up()
        connection.close()
        if made is not None:
            self.say(greeting.first(address, made))
        return made is not None

    def say(self, words: str) -> None:
        self.stdout.write(words)
        self.stdout.flush()


def read_address() -> web.Address:
    port = env_int("PORT", 8000, at_least=1)
    if port > 65535:
        raise LaunchError(f"PORT must be at most 65535, not {port}.")
    return web.Address(host=env("HOST", "127.0.0.1"), port=port)


def own_name() -> str:
    """Return a name under which the service lets itself be asked."""
    names = [name.removeprefix(".") for name in settings.ALLOWED_HOSTS if name.removeprefix(".") != "*"]
    return names[0] if names else "localhost"
