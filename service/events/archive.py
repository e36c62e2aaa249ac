"""Write the events of a project to a file, which is there only when it is whole."""

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from service.events import export
from service.events.conditions import Criteria

COMPRESSED = ".zst"
CHECKED: dict[int, int] = {
    zstd.CompressionParameter.checksum_flag: 1
}  # what is cut or damaged is no archive to a reader


def write(project_id: int, criteria: Criteria, path: Path) -> int:
    """Write the events that are there now, one a line, in the order of their ids; return how many.

    With the ending ``.zst`` as one frame of zstd, which ends in a checksum. Raises OSError; FileExistsError where there
    is a file already.
    """
    events = 0
    with whole(path) as file:
        for chunk in export.chunks(project_id, criteria, "gt", export.FORMATS["ndjson"], lambda: True):
            file.write(chunk)
            events += chunk.count(b"\n")
    return events


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Have a file written beside ``path``, and give it that name once it is on disk; leave nothing on failure."""
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(number, "wb") as plain:
            with opened(plain, path.suffix == COMPRESSED) as file:
                yield file
            plain.flush()
            os.fsync(plain.fileno())
        os.link(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def opened(plain: BinaryIO, is_compressed: bool) -> Iterator[BinaryIO]:
    if not is_compressed:
        yield plain
        return
    with zstd.ZstdFile(plain, "wb", options=CHECKED) as file:
        file.write(b"")  # else nothing at all would be no frame
        yield cast("BinaryIO", file)
