"""Histories that keep a copy of a row for each change: what changed is found in the copy before."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from django.db.models import IntegerField, Max, Model

from emitter.history.tables import Row, Table
from emitter.history.told import Data, Subject
from emitter.values import is_nan, is_same

OBJECTS = 10_000  # whose last copies are kept in memory
DIFF_SOURCE = "history"


class Copies:
    """The copies in a table of a tracked model; ``of`` is the column that says of which object one is, if one does.

    Where entries have no numbers, or no index finds those of an object, it isn't known which copy was before another.
    """

    def __init__(self, table: Table, subject: Subject, of: str | None, names: Sequence[str]) -> None:
        self.table = table
        self.subject = subject
        self._of = of if is_number(table.model._meta.pk) and is_indexed(table.model, of) else None
        self._names = names
        self._last: OrderedDict[Any, Row] = OrderedDict()

    def look_before(self, page: Sequence[Row]) -> None:
        """Find the last copies before a page, of the objects in it that aren't known. At most one query."""
        while len(self._last) > OBJECTS:
            self._last.popitem(last=False)
        if self._of and (unknown := {row[self._of] for row in page} - self._last.keys() - {None}):
            copies = self.table.model._base_manager.using(self.table.database).order_by()
            before = copies.filter(**{f"{self._of}__in": unknown}, pk__lt=page[0]["pk"])
            latest = before.values(self._of).annotate(latest=Max("pk")).values("latest")
            for row in copies.filter(pk__in=latest).values(self._of, *self._names):
                self._last[row[self._of]] = row

    def created(self, row: Row) -> Data:
        self._keep(row)
        return {"fields": self.fields(row)}

    def updated(self, row: Row) -> Data:
        """Return what changed since the copy before; all fields where none is known."""
        before = self._last.get(row[self._of]) if self._of else None
        self._keep(row)
        if before is None:
            return {"fields": self.fields(row)}
        pairs = {name: (before[name], row[name]) for name in self._names if differs(before[name], row[name])}
        return {"changes": self.subject.changes(pairs), "diff_source": DIFF_SOURCE}

    def deleted(self, row: Row) -> Data:
        self._keep(row)
        return {"fields": self.fields(row)}

    def fields(self, row: Row) -> Data:
        return self.subject.values({name: row[name] for name in self._names})

    def _keep(self, row: Row) -> None:
        if self._of and row[self._of] is not None:
            self._last[row[self._of]] = row
            self._last.move_to_end(row[self._of])


def is_number(key: Any) -> bool:
    return isinstance(key, IntegerField)


def is_indexed(model: type[Model], attname: str | None) -> bool:
    return any(each.attname == attname and getattr(each, "db_index", False) for each in model._meta.concrete_fields)


def differs(old: Any, new: Any) -> bool:
    return not is_same(old, new) and not (is_nan(old) and is_nan(new))
