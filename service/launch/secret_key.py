"""The secret key of an installation that was given none: made once, kept beside its database.

Knows no Django, because the settings ask it for the key.
"""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path


def read_or_create(var_dir: Path) -> str:
    """Return the key in ``var_dir``, made by the first call (mode 0600). Processes that race get the same."""
    path = var_dir / "secret_key"
    try:
        return path.read_text()
    except FileNotFoundError:
        return _create(path)
    except PermissionError as error:
        raise PermissionError(
            f"{path} belongs to another user: run as that user, set SECRET_KEY, or chown -R {var_dir}."
        ) from error


def _create(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".secret_key-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.fsync(descriptor)
        # A link, unlike a rename, never replaces the key that another process made meanwhile.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        Path(draft).unlink()
    return path.read_text()
