"""The log of the embedded Postgres: only its owner reads it, and its end explains a failed start."""

import os
from pathlib import Path
from typing import BinaryIO


def append(path: Path) -> BinaryIO:
    """Open ``path`` for appending, made with mode 0600 if it is missing."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def end(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:])
