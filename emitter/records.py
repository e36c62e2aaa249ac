"""Records in a file, framed so that a damaged one costs no other. Pure: knows neither files nor events.

A frame is a mark, the record's number in its file, its length, a CRC-32 of all that, and the record: text in UTF-8, in
which no byte of the mark's first kind occurs, so that what follows a damaged frame is found again.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple
from zlib import crc32

MARK = b"\xff\xfeHG"
_FIELDS = Struct("<II")  # number and length
_HEAD = Struct("<4sIII")  # mark, number, length, checksum


class Record(NamedTuple):
    """One record: its number, what it holds, and where its frame ends."""

    number: int
    payload: bytes
    end: int


def framed(number: int, payload: bytes) -> bytes:
    return _HEAD.pack(MARK, number, len(payload), _checksum(number, payload)) + payload


def intact(data: bytes, at: int = 0) -> Iterator[Record]:
    """Give each intact record of `data` from the offset on, whatever stands between them."""
    while (at := data.find(MARK, at)) >= 0:
        record = _record(data, at)
        if record is None:
            at += 1
        else:
            yield record
            at = record.end


def has_torn(data: bytes, at: int) -> bool:
    """Tell whether a record begins behind the last intact one, which ends at the offset; if not, the rest is none."""
    rest = data[at:]
    return bool(rest) and (MARK in rest or MARK.startswith(rest))


def _record(data: bytes, at: int) -> Record | None:
    begin = at + _HEAD.size
    if begin > len(data):
        return None
    _, number, length, checksum = _HEAD.unpack_from(data, at)
    if begin + length > len(data):
        return None
    payload = data[begin : begin + length]
    return Record(number, payload, begin + length) if _checksum(number, payload) == checksum else None


def _checksum(number: int, payload: bytes) -> int:
    return crc32(payload, crc32(_FIELDS.pack(number, len(payload))))
