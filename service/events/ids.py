"""Event ids: UUIDv7 (RFC 9562 §5.7), whose first 48 bits are milliseconds since 1970."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LATEST = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // MILLISECOND
SKEW = timedelta(hours=24)  # how far an event's time may be from its id's: what a filter on time leans on
NEAR = timedelta(minutes=5)  # how far it seldom is, see ranges.py; migrations/0006_strays.py has it too


def is_canonical(text: str) -> bool:
    """Tell whether ``text`` is a UUIDv7 in its usual form. In that form, the order of texts is that of the ids."""
    return CANONICAL.fullmatch(text) is not None


def time_of(canonical: str) -> datetime:
    """Return the moment that a UUIDv7 was minted at, exact to the millisecond; the year 9999 at the latest."""
    return min(LATEST, int(canonical[:8] + canonical[9:13], 16)) * MILLISECOND + EPOCH


def milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MILLISECOND


def floor(moment: datetime) -> UUID:
    """Return the smallest id, of any version, with the timestamp of ``moment``: a bound for ranges, not an id."""
    return UUID(int=milliseconds(moment) << 80)


def mapped(moment: datetime, source: str, original: str) -> UUID:
    """Return the UUIDv7 under which an event with a foreign id is kept: the same for each repeat.

    Its timestamp is ``moment``, the event's own time; its other bits are SHA-256 of source and id, which
    CloudEvents promises to be unique together.
    """
    unique = hashlib.sha256(f"{source}\0{original}".encode()).digest()
    bits = (milliseconds(moment) << 80) | int.from_bytes(unique[:10])
    version_and_variant = 0xF << 76 | 0x3 << 62
    return UUID(int=(bits & ~version_and_variant) | 0x7 << 76 | 0x2 << 62)
