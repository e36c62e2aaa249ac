"""Rows of an outbox as events, and what the service says of each. Knows nothing of when anything is sent, and again."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from emitter.event import Event, Result
from emitter.exceptions import PermanentError, TemporaryError
from emitter.leases import Claim

ABOUT_EVENTS = frozenset({400, 413, 422})  # answers to a batch that are about what is in it, and not about who sends it


class Transport(Protocol):
    """What a relay needs of `HttpTransport`."""

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result: ...


class Stored(Event):
    """An event as it comes from the outbox: what it tells stays the text that it is."""

    data: msgspec.Raw = msgspec.Raw(b"null")


decode_stored = msgspec.json.Decoder(Stored).decode


def decoded(claimed: Claim) -> tuple[dict[int, Event], dict[int, tuple[str, str]]]:
    """Return the events, and why some rows are none."""
    events: dict[int, Event] = {}
    unreadable: dict[int, tuple[str, str]] = {}
    for key, text in claimed.events.items():
        try:
            events[key] = decode_stored(text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            unreadable[key] = ("unreadable", f"The row holds no event: {error}")
    return events, unreadable


def sent(events: Mapping[int, Event], transport: Transport) -> dict[int, tuple[str, str]]:
    """Send events, and return why some were refused. What the service won't take as a whole goes in halves."""
    if not events:
        return {}
    try:
        result = transport.send(list(events.values()))
    except PermanentError as error:
        if error.status not in ABOUT_EVENTS:
            raise
        refused, unnamed, reason = {}, len(events), (f"status_{error.status}", error.detail or str(error))
    else:
        refused = named(result, events) | unencodable(result, events)
        unnamed = result.rejected + result.unencodable - len(refused)
        reason = ("refused", "The service named no reason.")
        check_sum(result, len(events))
    if unnamed <= 0:
        return refused
    if len(events) == 1:
        return dict.fromkeys(events, reason)
    found: dict[int, tuple[str, str]] = {}
    for half in halves(events):
        found |= sent(half, transport)
    return found


def named(result: Result, events: Mapping[int, Event]) -> dict[int, tuple[str, str]]:
    """Return which events the service refused and said so of, with code and detail: not for who sends them."""
    about = {f"http_{status}" for status in ABOUT_EVENTS}
    told = (each for each in result.errors if not each.code.startswith("http_") or each.code in about)
    reasons = {refusal.id.lower(): refusal for refusal in told if refusal.id}
    found = ((key, reasons.get(str(event.id))) for key, event in events.items())
    return {key: (refusal.code, refusal.detail) for key, refusal in found if refusal is not None}


def unencodable(result: Result, events: Mapping[int, Event]) -> dict[int, tuple[str, str]]:
    keys = list(events)
    return {keys[place]: ("unencodable", "It can't be written as JSON.") for place in result.unencodable_at}


def check_sum(result: Result, number: int) -> None:
    told = result.accepted + result.duplicates + result.rejected + result.unencodable
    if told != number:
        raise TemporaryError(f"the answer tells of {told} events, and {number} were sent")


def halves(events: Mapping[int, Event]) -> list[dict[int, Event]]:
    items = list(events.items())
    middle = len(items) // 2
    return [dict(items[:middle]), dict(items[middle:])]
