"""One running service for each directory of data."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from service.launch.errors import LaunchError


@contextlib.contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold the lock ``path`` during the block; yield whether its last holder was killed.

    Raises LaunchError if another process holds it. The kernel frees the lock with its holder, however that ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("a+")
    except PermissionError as error:
        raise LaunchError(f"{error}. Run as its owner, or chown -R {path.parent}.") from error
    with file:
        file.seek(0)
        holder = file.read().strip()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LaunchError(f"Heliograph is running already, as process {holder}: {path}") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield bool(holder)
        finally:
            file.truncate(0)
