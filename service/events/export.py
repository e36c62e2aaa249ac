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

from service.api.pagination import Cursor, Towards
from service.api.problems import Problem
from service.api.renderers import encoder
from service.events import pages, queries
from service.events.conditions import Criteria
from service.events.models import Event
from service.events.pages import Page
from service.events.serializers import represent
from service.events.unions import Union

PAGE = 250  # events at the most
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


class KeyEnded(Problem):
    """Raised in the middle of an export, where nobody can be answered any more: the connection breaks."""

    status_code = 403
    title = "The key may not read any more"

    def __init__(self) -> None:
        super().__init__("key_revoked", "The key was revoked, has expired or lost its scope.")


def chunks(
    project_id: int, criteria: Criteria, towards: Towards, form: Format, may_go_on: Callable[[], bool]
) -> Iterator[bytes]:
    """Yield all events that are there now, each once, in the order of their ids; of those that come later perhaps some.

    The first page is read before this returns, so that what can't be answered is told as anywhere else. ``may_go_on``
    is asked before each other; what is yielded raises `KeyEnded` when it says no.
    """
    events = queries.matching(project_id, criteria)
    if towards == "gt":  # else it might never end
        events = events.filter(id__lte=queries.newest_id(project_id))
    return written(events, page(events, towards), towards, form, may_go_on)


def written(
    events: Union, found: Page, towards: Towards, form: Format, may_go_on: Callable[[], bool]
) -> Iterator[bytes]:
    if form.head:
        yield form.head
    while found.events:
        text, has_more = form.write(found.events), found.has_more
        cursor = Cursor(towards, ("id",), (str(found.events[-1].id),))
        found = pages.NOTHING  # while the reader takes its time
        yield text
        if has_more:
            if not may_go_on():
                raise KeyEnded
            found = page(events.filter(cursor.beyond), towards)


def page(events: Union, towards: Towards) -> Page:
    with queries.bounded():
        return pages.read(events, towards, PAGE)


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
