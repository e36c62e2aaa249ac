"""Events that the service won't take, kept with the reason until somebody looks: never sent again by themselves.

With a spool they are in its file `parked`, which all its processes share; without one, the last few are in memory.
"""

import io
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from emitter import filelock, records
from emitter.event import EncodingErrors

LARGEST = 16 * 1024 * 1024  # bytes of the file
LAST = 20  # events in memory
PATIENCE = 1.0  # seconds for another process to be done with the file


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """One event, when and why it was refused; `status` is the HTTP answer where that was about a whole batch."""

    time: str
    code: str
    detail: str = ""
    status: int | None = None
    event: msgspec.Raw


decode_parked = msgspec.json.Decoder(Parked).decode


def parked(event: bytes, code: str, detail: str = "", status: int | None = None) -> Parked:
    moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Parked(time=moment, code=code, detail=detail, status=status, event=msgspec.Raw(event))


class ParkedFile:
    """The file of a spool. Each method raises OSError where the file can't be had."""

    def __init__(self, directory: Path, largest: int = LARGEST) -> None:
        self._path = directory / "parked"
        self._lock_path = directory / "parked.lock"
        self._largest = largest

    def add(self, items: Sequence[Parked]) -> int:
        """Append the items, and return how many of them there was room for."""
        kept = 0
        with self._locked() as file:
            size = file.seek(0, os.SEEK_END)
            for item in items:
                try:
                    frame = records.framed(0, msgspec.json.encode(item))
                except EncodingErrors:
                    continue
                if size + len(frame) > self._largest:
                    break
                size += file.write(frame)
                kept += 1
        return kept

    def read(self) -> list[Parked]:
        """Return what is parked, oldest first, each event once."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        return list({bytes(item.event): item for item in _items(data)}.values())

    def clear(self, requeue: Callable[[list[Parked]], None] | None = None) -> int:
        """Empty the file, after `requeue` was given what is in it; return how many there were."""
        with self._locked() as file:
            items = list({bytes(item.event): item for item in _items(file.read())}.values())
            if requeue is not None and items:
                requeue(items)
            file.truncate(0)
        return len(items)

    def _locked(self) -> "_Locked":
        return _Locked(self._path, self._lock_path)


class _Locked:
    """The file, open, while no other process has it."""

    def __init__(self, path: Path, lock_path: Path) -> None:
        self._path = path
        self._lock_path = lock_path

    def __enter__(self) -> io.BufferedRandom:
        self._lock = _acquire(self._lock_path)
        try:
            self._file = io.BufferedRandom(io.FileIO(str(self._path), "r+", opener=_create))
        except BaseException:
            self._lock.release()
            raise
        return self._file

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        finally:
            self._lock.release()


def _items(data: bytes) -> list[Parked]:
    items = []
    for record in records.intact(data):
        try:
            items.append(decode_parked(record.payload))
        except (msgspec.MsgspecError, ValueError):
            continue
    return items


def _acquire(path: Path) -> filelock.FileLock:
    begin = time.monotonic()
    while True:
        lock = filelock.acquire(path)
        if lock is not None:
            return lock
        if time.monotonic() - begin > PATIENCE:
            raise TimeoutError(f"{path} is held by another process")
        time.sleep(0.01)


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)


class ParkedInMemory(deque[Parked]):
    """The last few, where there is no spool."""

    def __init__(self) -> None:
        super().__init__(maxlen=LAST)
