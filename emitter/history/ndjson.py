"""An export of a Heliograph service: an event a line, which goes as it is, with all that the service kept of it.

What was masked when it was captured is masked. Nothing else is looked into, so that an archive loses nothing.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from emitter.event import Event
from emitter.exceptions import HistoryError
from emitter.history.tables import Chosen, Opened
from emitter.history.told import Found, Unreadable

INCOMING = "-"
LIBRARIES = ("compression.zstd", "backports.zstd", "zstandard")  # of Python 3.14, what that is before, and another's
CHUNK = 1024 * 1024  # bytes


class Line(dict[str, msgspec.Raw]):
    """An event as it was exported. To a transport, it has an id of its own: that of another source may be the same."""

    id: str


class Time(msgspec.Struct):
    time: datetime | None = None


decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_time = msgspec.json.Decoder(Time).decode


def opened(chosen: Chosen) -> Opened:
    """Open the export; count its lines, unless it comes in. Raises `HistoryError`."""
    if not chosen.file:
        raise HistoryError("Which file? Name it with --file, or - for what comes in.")
    total = None if chosen.file == INCOMING else sum(chunk.count(b"\n") for chunk in read(chosen.file, chunks))
    return Opened(total, events(chosen))


def events(chosen: Chosen) -> Iterator[Found]:
    for number, line in enumerate(read(chosen.file or INCOMING, iter), start=1):
        if not line.isspace() and (found := event(number, line, chosen)) is not None:
            yield found


def event(number: int, text: bytes, chosen: Chosen) -> Found | None:
    """Return the event of a line; None for one of another time than is wanted."""
    try:
        text.decode()  # what is passed on as it is would have the whole request refused
        line = Line(decode_members(text))
        if (chosen.since or chosen.until) and (when := decode_time(text).time) is not None and not chosen.holds(when):
            return None
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        return Unreadable("unreadable_line", f"Line {number} is no event: {error}")
    line.id = f"line {number}"
    return cast("Event", line)  # as far as a transport looks


def read(name: str, parts: Callable[[IO[bytes]], Iterable[bytes]]) -> Iterator[bytes]:
    """Yield the parts of a file. Raises `HistoryError` where it can't be read."""
    try:
        with opened_file(name) as file:
            yield from parts(file)
    except faults() as error:
        raise HistoryError(f"{name} can't be read: {error}") from error


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK), b"")


def opened_file(name: str) -> IO[bytes]:
    if name == INCOMING:
        return sys.stdin.buffer
    if name.endswith(".zst"):
        found: IO[bytes] = zstd().open(name, "rb")
        return found
    return Path(name).open("rb")


def zstd() -> Any:
    """Return a library that can read zstd; raise `HistoryError` if there is none."""
    for name in LIBRARIES:
        with suppress(ImportError):
            return import_module(name)
    raise HistoryError("No library reads zstd here: pip install backports.zstd, or zstd -dc FILE | … --file -")


def faults() -> tuple[type[Exception], ...]:
    """Return what is raised for a file that can't be read, by the library for zstd too."""
    found = (getattr(sys.modules.get(name), "ZstdError", OSError) for name in LIBRARIES)
    return (OSError, EOFError, *found)
