"""Reads a package's table, page by page in the order of its keys: in constant memory, in no transaction."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, router
from django.db.models import Model, QuerySet

from emitter.exceptions import HistoryError
from emitter.history.told import Found, in_zone

PAGE = 2_000  # entries
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which entries are to be read: of which time, and of which database (None: where the project's routers say).

    Of an export, ``file`` is its path, or ``-`` for what comes in.
    """

    since: datetime | None = None
    until: datetime | None = None
    database: str | None = None
    file: str | None = None

    def holds(self, when: datetime) -> bool:
        return (self.since is None or in_zone(self.since) <= when) and (
            self.until is None or when < in_zone(self.until)
        )


class Opened(NamedTuple):
    """How many entries there are, if that is known, and what they become."""

    total: int | None
    found: Iterator[Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table; ``time`` is the name of the field that says when, and ``columns`` which others are read.

    Of these, an older or newer release of the package may lack some, which are left out.
    """

    model: type[Model]
    time: str
    columns: Sequence[str]
    chosen: Chosen

    @property
    def name(self) -> str:
        return self.model._meta.db_table

    @property
    def database(self) -> str:
        return self.chosen.database or router.db_for_read(self.model)

    def check(self) -> None:
        """Raise `HistoryError` where the table isn't there."""
        if self.name not in connections[self.database].introspection.table_names():
            raise HistoryError(
                f"The database {self.database!r} has no table {self.name}. Run manage.py migrate, or name another "
                "database with --database."
            )

    def total(self) -> int:
        return self.entries().count()

    def rows(self) -> Iterator[Row]:
        return chain.from_iterable(self.pages())

    def pages(self) -> Iterator[list[Row]]:
        """Yield the chosen entries as mappings, their key as ``pk``."""
        there = {each.attname for each in self.model._meta.concrete_fields}
        names = [name for name in self.columns if name.partition("__")[0] in there or "__" in name]
        entries = self.entries().order_by("pk").values("pk", self.time, *names)
        page = list(entries[:PAGE])
        while page:
            yield page
            page = list(entries.filter(pk__gt=page[-1]["pk"])[:PAGE]) if len(page) == PAGE else []

    def entries(self) -> "QuerySet[Model]":
        found = self.model._base_manager.using(self.database)
        bounds = {f"{self.time}__gte": self.chosen.since, f"{self.time}__lt": self.chosen.until}
        return found.filter(**{name: bound for name, bound in bounds.items() if bound is not None})


def opened(tables: "Sequence[Table]", events: "Callable[[Table], Iterator[Found]]") -> Opened:
    """Open tables, to be read one after the other. Raises `HistoryError`."""
    for table in tables:
        table.check()
    return Opened(sum(table.total() for table in tables), chain.from_iterable(map(events, tables)))


def installed(label: str, package: str) -> type[Model]:
    """Return the model of a package; raise `HistoryError` where the project doesn't have that."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError) as error:
        raise HistoryError(
            f"{package} isn't installed: there is no model {label}. "
            "Add its app to INSTALLED_APPS, if only for the import."
        ) from error
