"""What can be asked of events, in one grammar for every call: the parameters, and the terms of ``q=``.

To add a field: a line in `FIELDS`, a test, a line in docs/reference/http-api.md.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter

from service.api import limits
from service.api.parameters import BadParameters, check_parameters
from service.events import examples, search
from service.events.conditions import (
    Before,
    Changed,
    Condition,
    Criteria,
    DataIs,
    Is,
    IsOneOf,
    Not,
    Says,
    Since,
    StartsWith,
)
from service.events.search import UnusableError

DATA = "data."
DATA_PATH = "data.<path>"  # how the documentation names the parameters that begin with `DATA`
SEARCH = "q"
# Each the first column of an index, after the project.
INDEXED = {"type", "sender", "actor", "correlation_id", "causation_id", "trace_id"}
OUTCOMES = ("committed", "rolledback", "autocommit")

PATHS = {"type": "object", "additionalProperties": {"type": "string"}}
DATA_HELP = (
    "What `data` has at a path, e.g. `data.changes.status.1=paid`: the text, or the number, true, false or null that "
    "is written so. A backslash goes before a dot in a name. Here: an object of such names and values, e.g. "
    '`{"data.changes.status.1": "paid"}`.'
)
DATA_EXAMPLE = {"data.changes.status.1": "paid"}
SEARCH_EXAMPLE = 'sender:shop.Order -actor:auth.User/1 changed:status "paid"'
SEARCH_HELP = (
    "Terms, as in a search box, e.g. `sender:shop.Order -actor:auth.User/1 changed:status`: any parameter's name, a "
    "colon and its value, in quotes if it holds a space; a minus before what must not hold; and free text, which any "
    'text of the event and any string in its `data` may have, e.g. `"paid"`.'
)

Read = Callable[[str], Condition]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a parameter, or a term, asks for. ``example`` is of the event that the documentation sends.

    ``indexed`` tells whether an index finds what it asks for; else it is looked for among all that is left.
    """

    read: Read
    help: str
    example: str
    kind: type = str
    indexed: bool = False


def exact(column: str, help_text: str, example: str) -> Field:
    return Field(read=lambda text: Is(column, text), help=help_text, example=example, indexed=column in INDEXED)


def one_of(column: str, example: str) -> Field:
    help_text = f"Any of these, divided by commas: {limits.CHOICES} at the most."
    return Field(
        read=lambda text: IsOneOf(column, choices(text)), help=help_text, example=example, indexed=column in INDEXED
    )


def identifier(column: str, help_text: str, example: str) -> Field:
    return Field(
        read=lambda text: Is(column, hexadecimal(text)), help=help_text, example=example, indexed=column in INDEXED
    )


def bound(holds: Callable[[datetime], Condition], help_text: str, example: str) -> Field:
    return Field(read=lambda text: holds(moment(text)), help=help_text, example=example, kind=datetime, indexed=True)


def choices(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if not all(found):
        raise UnusableError("between two commas is nothing; give values, divided by single commas.")
    if len(found) > limits.CHOICES:
        raise UnusableError(f"{len(found)} values are asked for; {limits.CHOICES} may be.")
    return found


def hexadecimal(text: str) -> UUID:
    digits = text.replace("-", "")
    if len(digits) != 32 or not set(digits) <= set("0123456789abcdefABCDEF"):
        raise UnusableError("it is not 32 hexadecimal digits.")
    return UUID(digits)


def moment(text: str) -> datetime:
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise UnusableError("it is not a moment of RFC 3339, such as 2026-11-20T10:15:00Z. Write + as %2B in a URL.")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def outcome(text: str) -> Condition:
    if text not in OUTCOMES:
        raise UnusableError(f"an outcome is {', '.join(OUTCOMES[:-1])} or {OUTCOMES[-1]}.")
    return Is("outcome", text)


FIELDS: dict[str, Field] = {
    "type": exact(
        "type",
        "The signal's dotted path, e.g. `django.db.models.signals.post_save`.",
        "django.db.models.signals.post_save",
    ),
    "type__in": one_of("type", "django.db.models.signals.post_save,django.db.models.signals.post_delete"),
    "type__startswith": Field(
        read=lambda text: StartsWith("type", text),
        help="How the type begins, e.g. `django.db.`; in the same case.",
        example="django.db.",
        indexed=True,
    ),
    "sender": exact("sender", "Model label or dotted path of the sender, e.g. `shop.Order`.", "shop.Order"),
    "sender__in": one_of("sender", "shop.Order,shop.Basket"),
    "object_id": exact("object_id", "Primary key of the object, e.g. `42`. Goes with `sender`.", "42"),
    "action": exact("action", "What happened: `created`, `updated`, `deleted`, …", "updated"),
    "action__in": one_of("action", "created,updated"),
    "actor": exact("actor", "Who did it, e.g. `auth.User/7`.", "auth.User/7"),
    "actor__in": one_of("actor", "auth.User/7,auth.User/8"),
    "correlationid": exact(
        "correlation_id", "All events of one request, task or command.", "6f1d6a3e9c1b4e0f8a2d7c5b3e9f1a20"
    ),
    "causationid": exact(
        "causation_id", "What the event of this id caused directly.", "01a1f873-c89b-7d21-8c44-0a9be21f7d53"
    ),
    "traceid": identifier(
        "trace_id", "The trace id of `traceparent`: 32 hexadecimal digits.", "0af7651916cd43dd8448eb211c80319c"
    ),
    "source": exact("source", "The client system and component, e.g. `/shop/web`.", "/shop/web"),
    "outcome": Field(read=outcome, help=f"What became of the transaction: {', '.join(OUTCOMES)}.", example="committed"),
    "emitterid": identifier(
        "emitter_id", "One boot of a client process, as `GET emitters/` has it.", "0b9c7a52-4f1e-4d0a-9a55-6c1f2e7d8b30"
    ),
    "time__gte": bound(Since, "At or after this moment (RFC 3339).", examples.TIME),
    "time__lt": bound(Before, "Before this moment (RFC 3339).", examples.LATER),
    "changed": Field(
        read=Changed, help="Updates that changed this field: `data.changes` has it. E.g. `status`.", example="status"
    ),
}


def criteria_of(parameters: QueryDict, besides: Collection[str] = ()) -> Criteria:
    """Return what ``parameters`` ask for, those named in ``besides`` left aside.

    Raises a problem that names each parameter that is unknown, repeated, empty or unusable.
    """
    data = {name for name in parameters if name.startswith(DATA)}
    check_parameters(parameters, {*FIELDS, DATA_PATH, SEARCH, *besides} | data)
    conditions: list[Condition] = []
    faults: dict[str, list[str]] = {}
    for name, text in parameters.items():
        try:
            conditions += () if name in besides else read(name, str(text))
        except UnusableError as error:
            faults[name] = [f"{name} can't be used: {error}"]
    if faults:
        raise BadParameters(faults)
    return Criteria(tuple(conditions))


def indexed() -> list[str]:
    """Return the names of what an index finds."""
    return [name for name, field in FIELDS.items() if field.indexed]


def documented() -> list[OpenApiParameter]:
    """Return the parameters as the OpenAPI document has them."""
    return [
        *(
            OpenApiParameter(name, field.kind, description=field.help, examples=examples.one_or_none(field.example))
            for name, field in FIELDS.items()
        ),
        OpenApiParameter(
            DATA_PATH,
            PATHS,
            description=DATA_HELP,
            style="form",
            explode=True,
            examples=examples.one_or_none(DATA_EXAMPLE, {}),
        ),
        OpenApiParameter(SEARCH, description=SEARCH_HELP, examples=examples.one_or_none(SEARCH_EXAMPLE)),
    ]


def read(name: str, text: str) -> Iterator[Condition]:
    """Yield the conditions that one parameter sets. Raises `UnusableError`."""
    if name == SEARCH:
        return searched(text)
    return iter([condition(name, text)])


def searched(text: str) -> Iterator[Condition]:
    for term in search.terms(text):
        try:
            found = Says(checked(term.value)) if term.name is None else condition(term.name, term.value)
        except UnusableError as error:
            raise UnusableError(f"at character {term.position}, {term.shown}: {error}") from error
        yield Not(found) if term.negated else found


def condition(name: str, text: str) -> Condition:
    checked(text)
    if name.startswith(DATA):
        return DataIs(search.path(checked(name.removeprefix(DATA))), text)
    if name not in FIELDS:
        raise UnusableError(f'there is no field {name}. Put a text with a colon in quotes: "{name}:…".')
    return FIELDS[name].read(text)


def checked(text: str) -> str:
    """Return ``text`` if an event could hold it."""
    if len(text) > limits.VALUE:
        raise UnusableError(f"it has {len(text)} characters; {limits.VALUE} may be.")
    if "\0" in text:
        raise UnusableError("it holds a NUL.")
    return text
