"""The folders of a spool: whose they are, and what is in them. For the spool, and for who looks at it from outside."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import msgspec

from emitter import filelock, records
from emitter.event import uuid7
from emitter.parking import Parked, ParkedFile
from emitter.segments import COUNTERS, EVENTS, LOCK, Folder, State, decode_state, segment_number


def own(path: Path, *, make: bool = True) -> Folder | None:
    """Return the folder, locked for us; None when another process has it, or there's none and it shan't be made."""
    for _ in range(10):
        if make:
            path.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = filelock.acquire(path / LOCK)
        except FileNotFoundError:
            lock = None
        if lock is not None:
            try:
                return Folder(path, lock)
            except BaseException:
                lock.release()
                raise
        if not make:
            break
        time.sleep(0.01)  # somebody looks whether it is an orphan
    return None


def used(folder: Path) -> int:
    """Return how many bytes the events of a folder take."""
    size = 0
    with suppress(FileNotFoundError):  # it was drained just now
        for entry in os.scandir(folder):
            if entry.name.endswith(EVENTS):
                with suppress(FileNotFoundError):
                    size += entry.stat(follow_symlinks=False).st_size
    return size


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Tell whether this is the folder of an emitter of this user."""
    try:
        UUID(entry.name)
        mine = not hasattr(os, "geteuid") or entry.stat(follow_symlinks=False).st_uid == os.geteuid()
        return mine and entry.is_dir(follow_symlinks=False) and entry.name == str(UUID(entry.name))
    except (ValueError, FileNotFoundError):
        return False


def requeue(directory: Path) -> int:
    """Have all that is parked sent again, by whichever process finds it next; return how many events."""

    def rewrite(items: list[Parked]) -> None:
        folder = own(directory / str(uuid7()))
        if folder is None:
            raise FileExistsError(f"{directory} is in use")
        folder.append([bytes(item.event) for item in items], 0)
        folder.save(None, sync=True)
        folder.close()

    return ParkedFile(directory).clear(rewrite)


def listing(directory: Path) -> Iterator[tuple[str, int, int, bool]]:
    """Give each folder's emitter, how many events and bytes are in it, and whether its process is alive."""
    for entry in sorted(os.scandir(directory), key=lambda each: each.name):
        if is_folder(entry):
            path = Path(entry.path)
            lock = filelock.acquire(path / LOCK)
            if lock is not None:
                lock.release()
            yield entry.name, count(path), used(path), lock is None


def count(folder: Path) -> int:
    """Return how many events are still to be sent. Reads all of them."""
    state = State()
    with suppress(OSError, msgspec.MsgspecError, ValueError):
        state = decode_state((folder / COUNTERS).read_bytes())
    found = 0
    for path in folder.glob(f"*{EVENTS}"):
        number = segment_number(path.name)
        if number is not None and number >= state.reading:
            with suppress(FileNotFoundError):
                found += sum(1 for _ in records.intact(path.read_bytes()))
    return max(0, found - state.done)
