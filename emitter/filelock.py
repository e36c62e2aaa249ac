"""A lock on a file, held by one process: it ends with that process, however that ends, and no child inherits it.

POSIX record locks, and not `flock`, which a forked child would share and keep alive after its parent's death. Their
weakness, that closing any other descriptor of the file gives them up, is met by never opening a file twice.
"""

import io
import os
import sys
from pathlib import Path

_held: dict[tuple[int, str], object] = {}  # by process, since a child inherits this


class FileLock:
    """A lock that is held until `release()`."""

    def __init__(self, path: Path, file: io.FileIO, key: tuple[int, str]) -> None:
        self._path = path
        self._file = file
        self._key = key

    @property
    def is_there(self) -> bool:
        """Whether the file is still the one that was locked, not removed or replaced."""
        try:
            there, ours = self._path.stat(), os.fstat(self._file.fileno())
        except (OSError, ValueError):
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        self._file.close()
        _held.pop(self._key, None)

    def forget(self) -> None:
        """Close a child's copy, which holds nothing."""
        self.release()


def acquire(path: Path) -> FileLock | None:
    """Lock the file, which is made where it isn't; None while anybody else has it. Never waits. Raises OSError."""
    key = (os.getpid(), os.path.realpath(path))
    mine = object()
    if _held.setdefault(key, mine) is not mine:
        return None
    lock = None
    try:
        lock = _locked(path, key)
    finally:
        if lock is None:
            _held.pop(key, None)
    return lock


def _locked(path: Path, key: tuple[int, str]) -> FileLock | None:
    file = io.FileIO(str(path), "r+", opener=_open)
    lock = FileLock(path, file, key)
    try:
        if _lock(file.fileno()) and lock.is_there:  # else whoever had it has removed it meanwhile
            return lock
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True
