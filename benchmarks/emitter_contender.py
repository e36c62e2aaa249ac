"""One contender of ``make bench-emitter``: a small Django project in a process of its own.

Started as ``python -m benchmarks.emitter_contender NAME DSN SINK``; reads one command a line from its input, a JSON
list such as ``["run", "create", 25, 10000]``, and answers each with one line of JSON.
"""

import gc
import io
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from psycopg.conninfo import conninfo_to_dict

from benchmarks.emitter_libraries import Call, Library, named

SEEDS = 1000  # orders in the table when an operation begins
MIDDLEWARE = [  # what startproject gives, without its messages
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


def configure(library: Library, dsn: str, sink: str) -> None:
    place = conninfo_to_dict(dsn)
    settings.configure(
        LIBRARY=library,
        SECRET_KEY="bench",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        ROOT_URLCONF="benchmarks.emitter_shop.urls",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            *("django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"),
            *library.apps,
            "benchmarks.emitter_shop",
        ],
        MIDDLEWARE=[*library.first, *MIDDLEWARE, *library.last],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": place["dbname"],
                "USER": place["user"],
                "HOST": place["host"],
                "PORT": place["port"],
                "CONN_MAX_AGE": None,  # a new connection a request would hide what the others cost
            }
        },
        **{
            name: value.format(sink=sink) if isinstance(value, str) else value
            for name, value in library.settings.items()
        },
    )
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)  # the shop last: simple-history's tables refer to users
    library.migrated()


class Project:
    """The orders of one contender and what can be done to them.

    An operation is a generator of calls: a call is what is timed, and the generator does what it needs before,
    untimed, such as loading the row that is then saved.
    """

    def __init__(self, library: Library) -> None:
        from django.core.wsgi import get_wsgi_application

        from benchmarks.emitter_shop.models import Order, Product

        self.library = library
        self.order = Order
        self.product = Product.objects.create(name="Lamp")
        self.application = get_wsgi_application()
        self.operations = {
            "create": self.create,
            "update": self.update,
            "delete": self.delete,
            "list": self.list_view,
            "bulk_create": self.bulk_create,
        }

    def prepare(self) -> None:
        """Leave `SEEDS` orders in the table and no records; from here on no garbage is collected, as in timeit."""
        from django.apps import apps

        tables = [apps.get_model(name)._meta.db_table for name in self.library.tables]
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {self.order._meta.db_table} RESTART IDENTITY CASCADE")
            self.order.objects.bulk_create(self.orders(SEEDS))
            for table in tables:
                cursor.execute(f"TRUNCATE {table} RESTART IDENTITY CASCADE")
            cursor.execute(f"ANALYZE {self.order._meta.db_table}")
        self.library.settle()
        self.before = self.library.recorded(self.library)
        self.done = 0
        self.keys = itertools.cycle(self.order.objects.order_by("pk").values_list("pk", flat=True))
        gc.enable()
        gc.collect()
        gc.disable()

    def run(self, operation: str, times: int, size: int) -> list[tuple[int, int]]:
        """Return the nanoseconds of each of ``times`` calls: by the clock, and of this thread's processor time."""
        taken = []
        for call in self.calls(operation, times, size):
            started, worked = time.perf_counter_ns(), time.thread_time_ns()
            call()
            work, span = time.thread_time_ns() - worked, time.perf_counter_ns() - started
            taken.append((span, work))
        self.done += times
        self.library.settle()
        return taken

    def count(self, operation: str, size: int) -> dict[str, float]:
        """Return the records that a call has made since `prepare`, and the queries that one more call takes.

        ``trips`` counts BEGIN, COMMIT and ROLLBACK too.
        """
        records = (self.library.recorded(self.library) - self.before) / self.done
        for call in self.calls(operation, 1, size):
            with CaptureQueriesContext(connection) as captured:
                call()
        self.library.settle()
        queries = [each["sql"] for each in captured if each["sql"] not in {"BEGIN", "COMMIT", "ROLLBACK"}]
        return {"queries": len(queries), "trips": len(captured), "records": round(records, 2)}

    def calls(self, operation: str, times: int, size: int) -> Iterator[Call]:
        calls = self.operations[operation](times, size)
        # A request is wrapped by the library's middleware, if it wants to.
        return calls if operation == "list" else map(self.library.around, calls)

    def create(self, times: int, _: int) -> Iterator[Call]:
        for number in range(times):
            yield partial(self.order.objects.create, **self.values(number))

    def update(self, times: int, _: int) -> Iterator[Call]:
        for key in itertools.islice(self.keys, times):
            order = self.order.objects.get(pk=key)
            order.quantity += 1
            order.note = f"called at {time.time_ns()}"
            yield order.save

    def delete(self, times: int, _: int) -> Iterator[Call]:
        for key in itertools.islice(self.keys, times):
            yield self.order.objects.get(pk=key).delete

    def bulk_create(self, times: int, size: int) -> Iterator[Call]:
        for _ in range(times):
            yield partial(self.order.objects.bulk_create, self.orders(size))

    def list_view(self, times: int, _: int) -> Iterator[Call]:
        from django.test import RequestFactory

        for _ in range(times):
            yield partial(self.ask, RequestFactory().get("/orders/").environ)

    def ask(self, environ: dict[str, Any]) -> None:
        """Do what a WSGI server does with a request."""
        response = self.application(environ, self.start_response)
        body = b"".join(response)
        response.close()
        assert len(body) > 100 * SEEDS

    def start_response(self, status: str, headers: object) -> None:
        assert status == "200 OK", status

    def orders(self, count: int) -> list[Any]:
        return [self.order(**self.values(number)) for number in range(count)]

    def values(self, number: int) -> dict[str, Any]:
        return {
            "number": f"2026-{number:06d}",
            "note": "Leave it with the neighbours at number 12 if nobody opens, please.",
            "quantity": number % 9 + 1,
            "price": Decimal(number % 9000) / 100,
            "placed_at": datetime(2026, 3, 1, 12, number % 60, tzinfo=UTC),
            "due_on": date(2026, 3, 1 + number % 28),
            "paid": number % 2 == 0,
            "weight": 0.25 * (number % 40),
            "product": self.product,
            "options": {"colour": "green", "gift": number % 3 == 0, "lines": [1, 2, 3]},
        }


def serve(project: Project, commands: io.TextIOBase, answers: io.TextIOBase) -> None:
    """Answer commands, each the name of a method and its arguments, until there are no more."""
    for line in commands:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(project, name)(*arguments)), file=answers, flush=True)


def main() -> None:
    name, dsn, sink = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr  # what a library prints is no answer
    library = named(name)
    configure(library, dsn, sink)
    project = Project(library)
    print(json.dumps("ready"), file=answers, flush=True)
    serve(project, sys.stdin, answers)


if __name__ == "__main__":
    main()
