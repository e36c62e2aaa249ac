"""What was read of keys in the last seconds, so that not each request asks Postgres for its key.

One memory for each process, by the digest of the token. A revocation or another change is effective when what is
remembered is too old, which is within `SECONDS`; expiry is looked at with each request.
"""

import threading
import time
from typing import Generic, TypeVar

V = TypeVar("V")

SECONDS = 2.0


class Memory(Generic[V]):
    """Keep ``size`` values for `SECONDS` each; the oldest makes room for the newest."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values: dict[bytes, tuple[float, V]] = {}
        self.lock = threading.Lock()

    def get(self, digest: bytes) -> V | None:
        read_at, value = self.values.get(digest, (0.0, None))
        return value if read_at > time.monotonic() - SECONDS else None

    def put(self, digest: bytes, value: V, read_at: float) -> None:
        """Keep ``value``, as it was read at ``read_at`` of the monotonic clock or later."""
        with self.lock:
            self.values.pop(digest, None)
            if len(self.values) >= self.size:
                self.values.pop(next(iter(self.values)))
            self.values[digest] = (read_at, value)
