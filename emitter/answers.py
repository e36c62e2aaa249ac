"""What goes out in one request to the service, and what the answer to that says of each event."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from emitter.connection import Answer
from emitter.event import Event, Refusal, Result


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What a service says of itself; `time` is its clock, as RFC 3339."""

    version: str
    time: str
    limits: dict[str, Any] = {}


class Problem(msgspec.Struct, frozen=True):
    """The parts of `application/problem+json` (RFC 9457) worth telling."""

    title: str = ""
    detail: str = ""
    code: str = ""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.title, self.detail)))


# A decoder is made here, for each type, since `decode(…, type=…)` first finds out what a type is. A thread that decodes
# meanwhile, or a child that is forked meanwhile, reads what is not there yet, which is the end of the process.
decode_meta = msgspec.json.Decoder(Meta).decode
decode_problem = msgspec.json.Decoder(Problem).decode
decode_result = msgspec.json.Decoder(Result).decode


class Item(NamedTuple):
    """One event on its way: its place in what was handed to `send()`, itself and its JSON."""

    position: int
    event: Event
    body: bytes

    def refused(self, code: str, detail: str) -> Refusal:
        return Refusal(index=self.position, id=str(self.event.id), code=code, detail=detail)


def all_refused(part: Sequence[Item], code: str, detail: str) -> Result:
    errors = tuple(item.refused(code, detail) for item in part)
    return Result(accepted=0, duplicates=0, rejected=len(errors), errors=errors)


def refused_of(part: Sequence[Item], errors: Sequence[Refusal]) -> Mapping[int, Refusal]:
    """Return the refusals by the place in the part of the event they name: by its id, else by its index."""
    if not errors:
        return {}
    places = {str(item.event.id): place for place, item in enumerate(part)}
    found: dict[int, Refusal] = {}
    for refusal in errors:
        place = places.get(refusal.id or "", refusal.index)
        if place is not None and 0 <= place < len(part):
            found.setdefault(place, refusal)
    return found


def problem_of(body: bytes) -> Problem:
    """Return what a problem document says; an empty one when the body is anything else."""
    try:
        return decode_problem(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Problem()


def redirection_of(answer: Answer) -> str:
    location = answer.headers.get("Location")
    return f"redirects aren't followed, this one leads to {location}" if location else ""
