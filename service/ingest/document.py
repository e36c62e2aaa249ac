"""From a body to the JSON of its events, which `wire` reads one by one."""

import re
from collections.abc import Iterator
from itertools import islice

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.api import inspection, limits
from service.api.body import JSON, Malformed, TooLarge

ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"
EITHER = JSON

VALUE = msgspec.json.Decoder(Raw)
# A list would keep millions of items before its length could be looked at; this keeps one more than a batch may hold.
BATCH = msgspec.json.Decoder(
    msgspec.defstruct(
        "Batch",
        [(f"event{index}", Raw | UnsetType, UNSET) for index in range(limits.EVENTS + 1)],
        array_like=True,
    )
)
TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)  # a text, or what divides values
PATIENCE = 1_000_000  # tokens, about a second
WHITESPACE = b" \t\r\n"
STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def is_batch(media_type: str, body: bytes) -> bool:
    """Tell whether ``body`` is to be read as many events; raise for a form that its media type doesn't have."""
    array = body.lstrip(WHITESPACE)[:1] == b"["
    if media_type == ONE and array:
        raise Malformed("wrong_form", f"An array of events goes as {MANY}.")
    if media_type == MANY and not array:
        raise Malformed("wrong_form", f"{MANY} is an array of events; one event goes as {ONE}.")
    return array


def events_of(body: bytes, batch: bool) -> list[bytes]:
    """Return the JSON of each event in ``body``; raise `Malformed` or `TooLarge` for the body as a whole."""
    try:
        body.decode()
        found = items(body) if batch else [bytes(VALUE.decode(body))]
    except UnicodeDecodeError as error:
        raise Malformed("malformed_json", f"The body is not UTF-8: {error.reason} at byte {error.start}.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        found = list(islice(split(body), limits.EVENTS + 1)) if batch else [body]
        check_leniently(found, error)
    if len(found) > limits.EVENTS:
        raise TooLarge("too_many_events", f"A batch may hold {limits.EVENTS} events. Send fewer at once.")
    return found


def items(body: bytes) -> list[bytes]:
    return [bytes(item) for item in msgspec.structs.astuple(BATCH.decode(body)) if item is not UNSET]


def split(body: bytes) -> Iterator[bytes]:
    """Part an array at its commas, whatever is between them; yield an empty item where it isn't one array."""
    depth, start = 0, 0
    for token in islice(TOKEN.finditer(body), PATIENCE):
        depth += STEPS.get(token[0], 0)
        if depth == 1 and token[0] == b"[" and not start:
            start = token.end()
        elif depth == 0 or (depth == 1 and token[0] == b","):
            yield body[start : token.start()]
            start = token.end()
    if depth or not body.rstrip(WHITESPACE).endswith(b"]"):
        yield b""


def check_leniently(events: list[bytes], error: Exception) -> None:
    """Let pass what Python's json writes and JSON forbids (NaN, lone surrogates), so that only its event is refused.

    The same for what is nested so deep that no decoder follows, and for what is too large to look into.
    """
    for event in events:
        try:
            if len(event) <= limits.EVENT_BYTES:
                inspection.decode(event)
        except ValueError:
            raise Malformed("malformed_json", f"The body is not JSON: {error}.") from error
        except RecursionError:
            continue
