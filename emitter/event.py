"""One event as it travels (CloudEvents 1.0, JSON), the identity it gets, and what became of a batch.

Knows no Django, no network and no queue. What `data` holds was made JSON-safe before it came here.
"""

import random
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from emitter import forks


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="specversion", tag="1.0"):
    """One recorded emission of a signal; what is None doesn't travel.

    `id` and `time` come from one `stamp()`. The worker sets `emitterid` and `sequence` when it takes it.
    """

    specversion: ClassVar[str] = "1.0"  # the tag puts it on the wire: a default would be left out

    id: uuid.UUID
    time: str
    source: str
    type: str
    subject: str | None = None
    sender: str | None = None
    action: str | None = None
    actor: str | None = None
    correlationid: str | None = None
    causationid: uuid.UUID | None = None
    traceparent: str | None = None
    emitterid: uuid.UUID | None = None
    sequence: str | None = None
    outcome: str | None = None
    data: Any = None  # a dict that JSON can hold, or its JSON as `msgspec.Raw`

    def complete(self) -> "Event":
        return self


class Later(msgspec.Struct, kw_only=True, eq=False):
    """An event that is noted where it happens and made later, at the latest when it leaves: it may tell nothing.

    ``moment`` is what `stamp_of` makes its id and time of. ``cause`` may itself be one that tells nothing.
    ``context`` is what it happened in.
    """

    moment: "Moment"
    cause: "uuid.UUID | Later | None" = None
    context: Any = None
    actor: str | None = None
    outcome: str | None = None
    event: Event | None = None
    is_made: bool = False

    def make(self, cause: uuid.UUID | None) -> Event | None:
        """Return the event; None if there is nothing to tell. Never raises."""
        raise NotImplementedError

    def complete(self) -> Event | None:
        """Return the event, made now if it wasn't yet, with what is known of it by now."""
        if not self.is_made:
            cause = identity(self.cause)
            self.event = self.make(cause)
            self.cause = cause
            self.is_made = True
        if self.event is not None:
            self.event.actor, self.event.outcome = self.actor, self.outcome
        return self.event


Cause = uuid.UUID | Later | None


def identity(cause: Cause) -> uuid.UUID | None:
    """Return the id of an event that is going to leave: of a cause that tells nothing, of what caused that."""
    while isinstance(cause, Later):
        event = cause.complete()
        cause = event.id if event else cause.cause
    return cause


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the service takes in one request, as its `meta/` tells; these are its own until it is asked."""

    events: int = 1_000
    body: int = 5 * 1024 * 1024  # bytes, as they travel
    inflated: int = 20 * 1024 * 1024  # bytes
    event: int = 256 * 1024  # bytes of one event's JSON


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was refused, and why.

    `index` is its place in what was handed to `send()`. In an answer of the service, it is the place in its batch, and
    `id` is None where the service couldn't read one.
    """

    id: str | None = None
    code: str
    detail: str = ""
    index: int | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch. Results of its parts add up.

    From a transport, every event is in one of the four counts, and each refused one in `errors`, with its index.
    """

    accepted: int
    duplicates: int
    rejected: int
    errors: tuple[Refusal, ...] = ()
    unencodable: int = 0  # never sent: found here
    unencodable_at: tuple[int, ...] = ()  # their indexes

    def __add__(self, other: "Result") -> "Result":
        return Result(
            accepted=self.accepted + other.accepted,
            duplicates=self.duplicates + other.duplicates,
            rejected=self.rejected + other.rejected,
            errors=self.errors + other.errors,
            unencodable=self.unencodable + other.unencodable,
            unencodable_at=self.unencodable_at + other.unencodable_at,
        )


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """What one emitter tells of itself: what it captured, what is still to come, and what will never come.

    Times are RFC 3339. Counters only grow within one emitter.
    """

    emitterid: uuid.UUID
    source: str
    started: str
    time: str  # the client's clock at sending, from which the service tells its skew
    versions: dict[str, str]
    host: str
    pid: int
    delivery: str  # "memory" or "outbox"
    captured: int  # the last sequence number given
    queued: int = 0
    spooled: int = 0
    lost: dict[str, int] = {}  # of those captured, by reason
    unsent: dict[str, int] = {}  # never numbered, by reason
    ended: bool = False


# What msgspec raises for data it can't write: foreign types, lone surrogates, circles and depth.
EncodingErrors = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)

_encoder = msgspec.json.Encoder()


def encode_batch(events: Sequence[Event]) -> bytes:
    """Return the events as `application/cloudevents-batch+json`; raise one of `EncodingErrors`."""
    return _encoder.encode(events)


def encode(event: Event | Telemetry) -> bytes:
    """Return the JSON of one; raise one of `EncodingErrors`."""
    return _encoder.encode(event)


Moment = tuple[int, int, int]  # in ticks and in nanoseconds, and a random number of 62 bits
_STEP_BACK = 10_000 << 12  # ticks: 10 s, more than clocks are ever slewed


def made(number: int) -> uuid.UUID:
    """Return a UUID at a third of its constructor's cost, which looks for five other arguments first."""
    found = uuid.UUID.__new__(uuid.UUID)
    object.__setattr__(found, "int", number)
    object.__setattr__(found, "is_safe", uuid.SafeUUID.unknown)
    return found


class _Mint:
    """Mints UUIDv7s and their times: strictly increasing in a process, unlike in a parent and its fork.

    A tick is the id's first 64 bits without its version: 48 bits of Unix milliseconds and 12 of their
    fraction, 244 ns each (RFC 9562, 6.2, method 3). While the clock stands, or is less than 10 s behind, ids
    count on from the last tick; further behind, the clock is believed: it had been wrong before, and ids too
    far in the future are refused.
    """

    __slots__ = ("__weakref__", "_date", "_last", "_lock", "_random")

    def __init__(self) -> None:
        self._last = 0
        self._date = (0, "1970-01-01T00:00:00")
        self.renew()

    def renew(self) -> None:
        """Take a new lock and new randomness, as a forked child must."""
        # Reentrant: a signal handler or a finalizer may save a model while its own thread is in here.
        self._lock = threading.RLock()
        self._random = random.Random()  # noqa: S311 - ids are unique, not secret; os.urandom costs 0.4 µs more

    def stamp(self) -> tuple[uuid.UUID, str]:
        """Return the id and the time of what happens now."""
        return self.stamp_of(self.moment())

    def moment(self) -> Moment:
        """Return this moment, which no other is like; of it, a fork makes the same id."""
        with self._lock:
            nanoseconds = time.time_ns()
            tick = (nanoseconds << 12) // 1_000_000
            if tick <= self._last < tick + _STEP_BACK:
                tick = self._last + 1
                nanoseconds = tick * 1_000_000 >> 12  # `time` says what the id says
            self._last = tick
            return tick, nanoseconds, self._random.getrandbits(62)

    def stamp_of(self, moment: Moment) -> tuple[uuid.UUID, str]:
        """Return a UUIDv7 and the same moment in RFC 3339: UTC, microseconds, `Z`."""
        tick, nanoseconds, chance = moment
        second, rest = divmod(nanoseconds, 1_000_000_000)
        known, date = self._date
        if second != known:
            date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._date = second, date
        number = tick >> 12 << 80 | 7 << 76 | (tick & 0xFFF) << 64 | 2 << 62 | chance
        return made(number), f"{date}.{rest // 1000:06d}Z"


_mint = _Mint()
stamp, moment, stamp_of = _mint.stamp, _mint.moment, _mint.stamp_of
forks.in_child(_mint.renew)


def uuid7() -> uuid.UUID:
    """Return a new UUIDv7 (RFC 9562), greater than every one this process minted before."""
    return stamp()[0]
