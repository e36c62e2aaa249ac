"""The folder of one emitter in a spool: its events in files of a few MiB, read and removed in the order written.

    <emitterid>/lock        held by the process whose emitter it is, or by the one that drains it after its death
    <emitterid>/counters    what the emitter told of itself last, and up to where its events are done
    <emitterid>/7.events    records of events, see `emitter.records`

Nothing is queued or kept in buffers here; the caller lets one thread in at a time. Every method may raise OSError.

A process can be killed between any two steps and loses no event that is on disk; what it was sending is sent again.
When the machine itself goes down, the last seconds may be lost: files are synced when they are full, and at the end.
"""

import io
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from emitter import filelock, records
from emitter.event import Event, Telemetry

SEGMENT = 2 * 1024 * 1024  # bytes after which a file is full
LOCK, COUNTERS, EVENTS = "lock", "counters", ".events"


class SpooledEvent(Event):
    """An event whose data stays as it was written."""

    data: msgspec.Raw = msgspec.Raw(b"")


class State(msgspec.Struct, kw_only=True):
    """What `counters` holds. `segments` are how many records each file has; `done` those of the first one."""

    telemetry: Telemetry | None = None
    segments: dict[int, int] = {}
    reading: int = 1
    offset: int = 0
    done: int = 0


class Position(msgspec.Struct, frozen=True):
    """Up to where events are read: a file, the bytes and the records of it; and how many were damaged on the way."""

    segment: int
    offset: int = 0
    done: int = 0
    corrupt: int = 0


_decode = msgspec.json.Decoder(SpooledEvent).decode
decode_state = msgspec.json.Decoder(State).decode


class Folder:
    """One emitter's events on disk, owned by this process."""

    def __init__(self, path: Path, lock: filelock.FileLock) -> None:
        self.path = path
        self.telemetry: Telemetry | None = None
        self.torn = False  # whether `counters` couldn't be read
        self._lock = lock
        self._counts: dict[int, int] = {}
        self._counted: frozenset[int] = frozenset()  # files whose events had been counted by who wrote them
        self._lowest: dict[int, int] = {}  # the lowest sequence number in each file that was written here
        self._writing: io.FileIO | None = None
        self._written = 0
        self._gone: list[int] = []  # files that are done, and to be removed
        self._unsynced: deque[io.FileIO] = deque()
        self._reading = self._ahead = Position(1)
        self._next = 1
        self._out = 0  # events that were read and aren't done
        self._load()

    # What is there

    @property
    def is_there(self) -> bool:
        """Whether nobody has removed it. Write no more to a file that somebody has.

        Asks the disk once in general, since each time may be a long wait for the interpreter.
        """
        if self._writing is not None and os.fstat(self._writing.fileno()).st_nlink:
            return True
        self.seal()
        return self._lock.is_there

    @property
    def pending(self) -> int:
        """How many events are still to be sent, as far as it is known without reading them."""
        return max(0, sum(self._counts.values()) - self._reading.done)

    @property
    def unread(self) -> int:
        """How many of them were not read either since the last `advance()`."""
        return max(0, self.pending - self._out)

    @property
    def has_more(self) -> bool:
        return bool(self._counts)

    @property
    def lowest(self) -> int | None:
        """A number that no event in here is below; None when there are none."""
        return min(self._lowest.values(), default=None)

    def _load(self) -> None:
        state = self._state()
        self.telemetry = state.telemetry
        there = set(self._files())
        for number in [each for each in there if each < state.reading]:  # done, but its process died before removing it
            self._file(number).unlink(missing_ok=True)
            there.discard(number)
        missing = {number for number in state.segments if number >= state.reading}
        self._counted = frozenset(state.segments)
        self._counts = {number: state.segments.get(number, 0) for number in sorted(there | missing)}
        first = min(self._counts, default=state.reading)
        self._reading = self._ahead = (
            Position(first, state.offset, state.done) if first == state.reading else Position(first)
        )
        self._next = max([state.reading, *(number + 1 for number in self._counts)])

    def _state(self) -> State:
        try:
            return decode_state((self.path / COUNTERS).read_bytes())
        except FileNotFoundError:
            return State()
        except (msgspec.MsgspecError, ValueError):
            self.torn = True
            return State()

    # Writing

    def append(self, payloads: Sequence[bytes], lowest: int) -> None:
        """Write the events' JSON, all or none; `lowest` is the lowest of their sequence numbers."""
        if self._written >= SEGMENT:
            self.seal()
        writing = self._writing or self._begin_segment()
        number = self._next - 1
        count = self._counts[number]
        frames = b"".join(records.framed(count + index, payload) for index, payload in enumerate(payloads))
        self._write(writing, frames)
        self._counts[number] = count + len(payloads)
        self._lowest[number] = min(lowest, self._lowest.get(number, lowest))

    def _begin_segment(self) -> io.FileIO:
        number = self._next
        self._writing = io.FileIO(str(self._file(number)), "x", opener=_create)
        self._written = 0
        self._next = number + 1
        self._counts[number] = 0
        return self._writing

    def _write(self, writing: io.FileIO, frames: bytes) -> None:
        try:
            write_all(writing, frames)
        except OSError:
            self._take_back(writing)
            raise
        self._written += len(frames)

    def _take_back(self, writing: io.FileIO) -> None:
        """Leave nothing half-written; where that can't be, nothing comes behind it, and a reader passes it over."""
        try:
            writing.truncate(self._written)
            writing.seek(self._written)
        except OSError:
            self.seal()
        else:
            if self._written:  # it may be this file that can't grow
                self.seal()

    def seal(self) -> None:
        """Write no more to the file that was written last."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._unsynced.append(writing)

    def sync(self) -> None:
        """Have the files that are full on the disk itself. May take long, and needs no lock: others write meanwhile."""
        with suppress(IndexError):  # somebody else took the last one
            while self._unsynced:
                with self._unsynced.popleft() as file, suppress(OSError):
                    os.fsync(file.fileno())

    # Reading

    def read(self, count: int, size: int, *, further: bool = False) -> list[SpooledEvent]:
        """Return the next events, up to so many of so many bytes: the same ones until `advance()`, unless `further`.

        Damaged records are passed over, and told by `advance()`. None are returned only when there are no more.
        """
        if not further:
            self._ahead, self._out = self._reading, 0
        while self._ahead.segment in self._counts or self._skip():
            if events := self._read(count, size):
                self._out += len(events)
                return events
        return []

    def _skip(self) -> bool:
        following = min((number for number in self._counts if number > self._ahead.segment), default=None)
        if following is not None:
            self._ahead = Position(following, corrupt=self._ahead.corrupt)
        return following is not None

    def _read(self, count: int, size: int) -> list[SpooledEvent]:
        """Return the next events of the file that is being read, up to its end."""
        at = self._ahead
        data = self._rest(at)
        events: list[SpooledEvent] = []
        end, done, corrupt = 0, at.done, at.corrupt
        ended = True
        for record in records.intact(data):
            size -= len(record.payload)
            if len(events) == count or (events and size < 0):
                ended = False
                break
            if record.number < done:  # left by a write that failed: it came again
                continue
            corrupt += record.number - done
            end, done = record.end, record.number + 1
            try:
                events.append(_decode(record.payload))
            except (msgspec.MsgspecError, ValueError, RecursionError):
                corrupt += 1
        if not ended:
            self._ahead = Position(at.segment, at.offset + end, done, corrupt)
            return events
        known = self._counts[at.segment]
        corrupt += known - done if done < known else int(self._has_torn(at.segment, data, end))
        if self._is_being_written(at.segment):
            self.seal()
        self._ahead = Position(at.segment + 1, corrupt=corrupt)
        return events

    def _has_torn(self, number: int, data: bytes, end: int) -> bool:
        """Tell whether what stands behind the last event of a file was at least one more when its process died."""
        if self._is_mine(number):
            return False
        return records.has_torn(data, end) if number in self._counted else end < len(data)

    def _rest(self, at: Position) -> bytes:
        try:
            with io.FileIO(str(self._file(at.segment)), opener=_open) as file:
                file.seek(at.offset)
                return file.readall()
        except FileNotFoundError:
            return b""

    def _is_mine(self, number: int) -> bool:
        return number in self._lowest

    def _is_being_written(self, number: int) -> bool:
        return self._writing is not None and number == self._next - 1

    def advance(self) -> int:
        """Be done with what was read; return how many events were damaged on the way.

        `save()` is what makes it last; the files are removed after it.
        """
        corrupt = self._ahead.corrupt
        self._out = 0
        self._reading = self._ahead = msgspec.structs.replace(self._ahead, corrupt=0)
        for number in [each for each in self._counts if each < self._reading.segment]:
            del self._counts[number]
            self._lowest.pop(number, None)
            self._gone.append(number)
        return corrupt

    # What outlives the process

    def save(self, telemetry: Telemetry | None, *, sync: bool = False) -> None:
        """Keep what the emitter tells of itself, and up to where its events are done; then remove those."""
        self.telemetry = telemetry
        at = self._reading
        state = State(telemetry=telemetry, segments=self._counts, reading=at.segment, offset=at.offset, done=at.done)
        new = self.path / f"{COUNTERS}.new"
        with io.FileIO(str(new), "w", opener=_create) as file:
            write_all(file, msgspec.json.encode(state))
            if sync:
                os.fsync(file.fileno())
        new.replace(self.path / COUNTERS)
        while self._gone:
            self._file(self._gone.pop()).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all there is, and own it no more."""
        for path in [*map(self._file, self._files()), self.path / COUNTERS, self.path / f"{COUNTERS}.new"]:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty: something of somebody else's is in there
            (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()
        self.close()

    def close(self) -> None:
        """Leave it to whoever comes next."""
        self.seal()
        self.sync()
        self._lock.release()

    def forget(self) -> None:
        """Close a child's copies of what the parent has open."""
        self.seal()
        while self._unsynced:
            self._unsynced.popleft().close()
        self._lock.forget()

    def _files(self) -> list[int]:
        names = (path.name for path in self.path.iterdir())
        return [number for name in names if (number := segment_number(name)) is not None]

    def _file(self, number: int) -> Path:
        return self.path / f"{number}{EVENTS}"


def write_all(file: io.FileIO, data: bytes) -> None:
    """Write all of it, which a full disk takes in part before it says so."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def segment_number(name: str) -> int | None:
    stem, dot, rest = name.partition(".")
    return int(stem) if dot + rest == EVENTS and stem.isascii() and stem.isdigit() else None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
