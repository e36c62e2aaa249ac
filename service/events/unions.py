"""Several querysets of events that are read as one."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.db.models import Q, QuerySet


class Union:
    """Querysets of events, none with an event of another, that are read as one in the order of ids."""

    def __init__(self, *sources: QuerySet[Any]) -> None:
        self.sources = sources

    def filter(self, *conditions: Q, **lookups: Any) -> "Union":
        return Union(*(source.filter(*conditions, **lookups) for source in self.sources))

    def order_by(self, *order: str) -> "Union":
        return Union(*(source.order_by(*order) for source in self.sources))

    def values_list(self, *columns: str) -> "Union":
        return Union(*(source.values_list(*columns) for source in self.sources))

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.sources)

    def __getitem__(self, part: slice) -> QuerySet[Any]:
        """Return the first rows of all: each source gives as many at the most, from its index."""
        first, *others = (source[part] for source in self.sources)
        if not others:
            return first
        return first.union(*others, all=True).order_by(*self.sources[0].query.order_by)[part]
