"""All events that are asked for, written page by page.

A page is one short statement of its own, so that neither a thread nor a connection is held while the reader reads,
and each may be written in another thread. A fault in the middle is raised: the server then breaks the connection,
and the reader knows that the end is missing.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from service.api.pagination import Cursor, Towards, sorting
from service.api.renderers import encoder
from service.events import queries
from service.events.conditions import Criteria
from service.events.models import Event
from service.events.serializers import represent

PAGE = 250  # events, of which each may have limits.EVENT_BYTES
COLUMNS = (
    *("id", "source", "type", "subject", "time", "sender", "action", "actor", "correlationid", "causationid"),
    *("traceparent", "emitterid", "sequence", "outcome", "recordedtime", "recordedid", "data"),
)
REST = "extensions"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a text begins that a spreadsheet would carry out


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    media_type: str
    head: bytes = b""
    write: Callable[[Sequence[Event]], bytes]


def chunks(project_id: int, criteria: Criteria, towards: Towards, form: Format) -> Iterator[bytes]:
    """Yield all events that are there now, each once, in the order of their ids; of those that come later perhaps some.

    The first page is read before this returns, so that what can't be answered is told as anywhere else.
    """
    events = queries.matching(project_id, criteria)
    if towards == "gt":  # else it might never end
        events = events.filter(id__lte=queries.newest_id(project_id))
    return written(events, page(events, towards), towards, form)


def written(events: QuerySet[Event], rows: list[Event], towards: Towards, form: Format) -> Iterator[bytes]:
    if form.head:
        yield form.head
    while rows:
        yield form.write(rows)
        cursor = Cursor(towards, ("id",), (str(rows[-1].id),))
        rows = page(events.filter(cursor.beyond), towards) if len(rows) == PAGE else []


def page(events: QuerySet[Event], towards: Towards) -> list[Event]:
    with queries.bounded():
        return list(events.order_by(*sorting(("id",), towards))[:PAGE])


def ndjson(events: Sequence[Event]) -> bytes:
    return encoder.encode_lines([represent(event) for event in events])


def csv_lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def csv_of(events: Sequence[Event]) -> bytes:
    return csv_lines([cells(represent(event)) for event in events])


def cells(attributes: Mapping[str, Any]) -> list[str]:
    """Return a cell for each of `COLUMNS`, and the attributes that have none as JSON."""
    rest = {name: value for name, value in attributes.items() if name not in COLUMNS and name != "specversion"}
    flat = {**attributes, REST: rest or None}
    return [cell(name, flat.get(name)) for name in (*COLUMNS, REST)]


def cell(name: str, value: Any) -> str:
    """Return ``value`` as a text that a spreadsheet leaves alone: an apostrophe goes before what it would carry out."""
    if value is None:
        return ""
    text = encoder.encode(value).decode() if name in {"data", REST} else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


FORMATS = {
    "ndjson": Format(media_type="application/x-ndjson", write=ndjson),
    "csv": Format(media_type="text/csv; charset=utf-8", head=csv_lines([(*COLUMNS, REST)]), write=csv_of),
}
