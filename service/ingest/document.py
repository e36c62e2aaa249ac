"""From a request to the JSON of its events, which `wire` reads one by one."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec
from django.http import HttpRequest
from msgspec import UNSET, Raw, UnsetType

from service.api import body, inspection, limits
from service.api.body import JSON, Malformed, TooLarge
from service.ingest import binary

ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"
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
LINE = re.compile(rb"[^ \t\r\n][^\n]*")
WHITESPACE = b" \t\r\n"
STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


class Posted(NamedTuple):
    """The JSON of each event that was sent, and whether the answer is that to a batch."""

    events: list[bytes]
    is_batch: bool


def read(request: HttpRequest) -> Posted:
    """Return what ``request`` sends, in any of the forms of CloudEvents' HTTP binding, as lines, or as plain JSON.

    Raises a `BodyProblem` for a body as a whole, and `RefusedError` for headers that make no event.
    """
    if binary.is_binary(request):
        content = body.read(request)
        data = json_of(content) if content and binary.holds_json(request) else None
        return Posted([binary.event_of(request, content, data)], is_batch=False)
    body.check_media_type(request, (ONE, MANY, LINES, EITHER))
    content = body.read(request)
    if request.content_type == LINES:
        return Posted(bounded(split_lines(content)), is_batch=True)
    if is_array(request.content_type or "", content):
        return Posted(bounded(items(content)), is_batch=True)
    return Posted([json_of(content)], is_batch=False)


def is_array(media_type: str, content: bytes) -> bool:
    """Tell whether ``content`` is to be read as an array; raise for a form that its media type doesn't have."""
    array = content.lstrip(WHITESPACE)[:1] == b"["
    if media_type == ONE and array:
        raise Malformed("wrong_form", f"An array of events goes as {MANY}.")
    if media_type == MANY and not array:
        raise Malformed("wrong_form", f"{MANY} is an array of events; one event goes as {ONE}.")
    return array


def bounded(events: Iterable[bytes]) -> list[bytes]:
    """Return ``events``, of which no more are looked at than a batch may hold. Raises `TooLarge`."""
    found = list(islice(events, limits.EVENTS + 1))
    if len(found) > limits.EVENTS:
        raise TooLarge("too_many_events", f"A batch may hold {limits.EVENTS} events. Send fewer at once.")
    return found


def split_lines(content: bytes) -> Iterator[bytes]:
    """Return the lines that aren't blank, whatever is in them: one that isn't JSON is refused alone."""
    check_utf8(content)
    return (line[0] for line in LINE.finditer(content))


def items(content: bytes) -> Iterable[bytes]:
    """Return the JSON of each item of an array; raise `Malformed` for what is none."""
    check_utf8(content)
    try:
        return [bytes(item) for item in msgspec.structs.astuple(BATCH.decode(content)) if item is not UNSET]
    except (msgspec.DecodeError, RecursionError) as error:
        found = list(islice(split(content), limits.EVENTS + 1))
        check_leniently(found, error)
        return found


def json_of(content: bytes) -> bytes:
    """Return the one JSON value in ``content``; raise `Malformed` for what is none."""
    check_utf8(content)
    try:
        return bytes(VALUE.decode(content))
    except (msgspec.DecodeError, RecursionError) as error:
        check_leniently([content], error)
        return content


def check_utf8(content: bytes) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise Malformed("malformed_json", f"The body is not UTF-8: {error.reason} at byte {error.start}.") from error


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
