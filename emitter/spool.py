"""A directory that keeps events over an outage or an exit, for all processes that were given it.

    <directory>/<emitterid>/   the folder of one emitter, see `emitter.segments`
    <directory>/parked         what the service refused, see `emitter.parking`

Whatever is wrong with the directory is caught here, told, and tried again some seconds later: events wait in memory.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from emitter.backlog import number_of
from emitter.complaints import Complaints
from emitter.event import EncodingErrors, Event, Telemetry, encode
from emitter.folders import is_folder, own, used
from emitter.parking import Parked, ParkedFile
from emitter.segments import Folder

AGAIN = 5.0  # seconds until what failed is tried again
FULL_AGAIN = 1.0  # seconds until a full directory is looked at again
SCAN = 10.0  # seconds between two looks for what dead processes have left
PLENTY = 16 * 1024 * 1024  # bytes of room, which nobody fills in a second
OURS = frozenset({"parked", "parked.lock"})


class Spool:
    """The directory at `path`, of which events may take `limit` bytes."""

    def __init__(
        self,
        path: str | Path,
        limit: int,
        *,
        emitter_id: UUID,
        complaints: Complaints,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self.is_full = False
        self._limit = limit
        self._emitter_id = emitter_id
        self._complaints = complaints
        self._clock = clock
        self._mine: Folder | None = None
        self._parked = ParkedFile(self.path)
        self._lost: Counter[str] = Counter()
        self._again = self._read_again = self._scan_at = clock()
        self._orphans: deque[UUID] = deque()
        self._foreign: set[str] = set()
        self._closed = False
        self._left, self._measured_until = 0, clock()

    # Our own folder

    @property
    def is_ready(self) -> bool:
        """Whether it makes sense to write now: not while the last try has just failed."""
        return self._clock() >= self._again and not self._closed

    @property
    def waits(self) -> float:
        """Seconds until it is ready."""
        return max(0.0, self._again - self._clock())

    @property
    def mine(self) -> Folder | None:
        """Our own folder, once something was written."""
        return self._mine

    @property
    def pending(self) -> int:
        return 0 if self._mine is None else self._mine.pending

    @property
    def has_more(self) -> bool:
        return self._mine is not None and self._mine.has_more

    @property
    def is_readable(self) -> bool:
        """Whether there is something to read, and reading has not just failed."""
        return self.has_more and self._clock() >= self._read_again

    @property
    def looks_in(self) -> float:
        """Seconds until it looks again for what dead processes have left."""
        return 0.0 if self._orphans else max(0.0, self._scan_at - self._clock())

    @property
    def lowest(self) -> int | None:
        return None if self._mine is None else self._mine.lowest

    def losses(self) -> Counter[str]:
        """Return what was lost of our own in here since the last call, by reason."""
        lost, self._lost = self._lost, Counter()
        return lost

    def keep(self, events: Sequence[Event]) -> int:
        """Write events; return how many of them, from the first, are now decided: on disk, or impossible to write."""
        if self._closed:
            return 0
        payloads: list[bytes] = []
        unencodable = done = 0
        with self._trouble("written to"):
            folder, room = self._my_folder(), self._room()
            for event in events:
                try:
                    payload = encode(event)
                except EncodingErrors:
                    unencodable += 1
                else:
                    room -= len(payload) + 16
                    if room < 0:
                        self._fill()
                        break
                    payloads.append(payload)
            if payloads:
                folder.append(payloads, min(map(number_of, events)))
                self._left -= sum(map(len, payloads))
            done = len(payloads) + unencodable
            self._lost["unencodable"] += unencodable
        return done

    def read(self, folder: Folder, count: int, size: int, *, further: bool = False) -> list[Event] | None:
        """Return the next events of ours or of an orphan, [] when there are no more; None when they can't be read."""
        with self._trouble("read", pause=False):
            return list(folder.read(count, size, further=further))
        if folder is self._mine:
            self._read_again = self._clock() + AGAIN
        return None

    def advance(self, folder: Folder) -> int:
        """Be done with what was read; return how many events were found damaged."""
        if self.is_full:
            self.is_full, self._again = False, self._clock()
        corrupt = folder.advance()
        if corrupt:
            self._complaints.warn("spool_corrupt", f"{corrupt} events are lost: {folder.path} is damaged")
        return corrupt

    def save(self, telemetry: Telemetry, *, sync: bool = False) -> None:
        """Keep our counters, and up to where our events are done."""
        if not self._closed:
            with self._trouble("written to"):
                self._my_folder().save(telemetry, sync=sync)

    def sync(self) -> None:
        """Have what was written on the disk itself, and look how much there is. May take long, and needs no lock."""
        if self._mine is not None:
            self._mine.sync()
        if self.has_more and self._clock() >= self._measured_until:
            with self._trouble("looked through", pause=False):
                self._measure()

    def park(self, items: Sequence[Parked]) -> bool:
        """Keep what was refused; False where not all of it could be."""
        with self._trouble("written to"):
            self._make_directory()
            kept = self._parked.add(items)
            if kept < len(items):
                message = f"{len(items) - kept} refused events aren't kept: {self.path / 'parked'} is full"
                self._complaints.warn("parked_full", f"{message}. See manage.py heliograph_spool.")
            return kept == len(items)
        return False

    def close(self, *, remove: bool) -> None:
        """Leave our folder to whoever comes next, or have it removed where nobody will need it."""
        self._closed = True
        folder, self._mine = self._mine, None
        if folder is not None:
            with self._trouble("closed"):
                if remove:
                    folder.remove()
                else:
                    folder.close()

    def forget(self) -> None:
        """Close a child's copies of what its parent has open, and do nothing any more."""
        folder, self._mine = self._mine, None
        self._closed = True
        if folder is not None:
            folder.forget()

    def _my_folder(self) -> Folder:
        if self._mine is not None and not self._mine.is_there:
            self._vanished(self._mine)
        if self._mine is None:
            self._make_directory()
            self._mine = own(self.path / str(self._emitter_id))
            if self._mine is None:
                raise FileExistsError(f"{self.path / str(self._emitter_id)} is held by another process")
        return self._mine

    def _vanished(self, folder: Folder) -> None:
        self._complaints.warn("spool_vanished", f"{folder.path} was removed, and with it {folder.unread} events")
        self._lost["spool_corrupt"] += folder.unread
        self._mine = None
        folder.forget()

    def _make_directory(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _room(self) -> int:
        """Bytes that may still be written; while there is plenty, by what was there a second ago."""
        if self._left < PLENTY:
            self._measure()
        return self._left

    def _measure(self) -> None:
        self._left = self._limit - sum(used(path) for path in self._folders())
        self._measured_until = self._clock() + 1.0

    def _fill(self) -> None:
        self.is_full = True
        self._again = self._clock() + FULL_AGAIN
        self._complaints.warn("spool_full", f"The spool {self.path} is full: {self._limit} bytes")

    # What others have left

    def orphan(self) -> Folder | None:
        """Take over the oldest folder whose process is dead and that nobody else has taken; None when there is none."""
        if self._closed:
            return None
        if not self._orphans and self._clock() >= self._scan_at:
            self._scan_at = self._clock() + SCAN
            with self._trouble("looked through", pause=False):
                self._orphans.extend(sorted(UUID(path.name) for path in self._folders()))
        while self._orphans:
            found = self._orphans.popleft()
            with self._trouble("looked through", pause=False):
                if found != self._emitter_id and (folder := own(self.path / str(found), make=False)):
                    if folder.torn:
                        self._complaints.warn("spool_torn", f"The counters in {folder.path} can't be read")
                    return folder
        return None

    def save_orphan(self, folder: Folder) -> None:
        """Keep up to where the events of an orphan are done."""
        with self._trouble("written to"):
            folder.save(folder.telemetry)

    def leave(self, folder: Folder, *, remove: bool) -> None:
        """Remove the folder of an orphan, or leave it to whoever comes next."""
        is_husk = folder.telemetry is None and not folder.has_more  # made by locking what was just being removed
        with self._trouble("written to"):
            if remove or is_husk:
                folder.remove()
                return
            folder.save(folder.telemetry)
        folder.close()

    def _folders(self) -> Iterator[Path]:
        """Give the folders of emitters. What isn't ours is let alone, and told."""
        try:
            entries = list(os.scandir(self.path))
        except FileNotFoundError:
            return
        for entry in entries:
            if is_folder(entry):
                yield self.path / entry.name
            elif entry.name not in OURS and entry.name not in self._foreign:
                self._foreign.add(entry.name)
                self._complaints.warn("spool_foreign", f"{entry.path} in the spool is not the emitter's; it stays")

    @contextmanager
    def _trouble(self, what: str, *, pause: bool = True) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if pause:
                self._again = self._clock() + AGAIN
            self._complaints.warn("spool", f"The spool can't be {what}: {error}")
