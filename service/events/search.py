"""The text of a search box as terms: ``sender:shop.Order -actor:auth.User/1 changed:status "free text"``.

Knows no field: what a name may be, and what its value, is the grammar's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.api import limits

TERM = re.compile(
    r"""
    (?P<minus> -?+ )
    (?: (?P<name> (?: \\. | [^\s":\\] )+ ) : )?+
    (?: "(?P<quoted> (?: \\. | [^"\\] )* )" | (?P<bare> [^\s"]+ ) )
    (?= \s | $ )
    """,
    re.VERBOSE | re.DOTALL,
)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
PART = re.compile(r"((?:\\.|[^.\\])+)(\.|\Z)", re.DOTALL)
SPACE = re.compile(r"\s*")


class UnusableError(ValueError):
    """Something that was asked for can't be; the message ends a sentence that begins with where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """``name`` is None for free text; it keeps its backslashes, as a path does. ``position`` counts from 1."""

    position: int
    shown: str
    negated: bool
    name: str | None
    value: str


def terms(text: str) -> Iterator[Term]:
    """Yield the terms of ``text``, one at the least. Raises `UnusableError` saying where it can't be read."""
    if len(text) > limits.SEARCH:
        raise UnusableError(f"it has {len(text)} characters; {limits.SEARCH} may be.")
    position = SPACE.match(text).end()  # type: ignore[union-attr]  # matches anything
    if position == len(text):
        raise UnusableError("it has no term.")
    count = 0
    while position < len(text):
        match = TERM.match(text, position)
        count += 1
        if match is None:
            raise UnusableError(f"at character {position + 1}, {fault(text[position:])}")
        if count > limits.TERMS:
            raise UnusableError(f"it has more than {limits.TERMS} terms.")
        yield term(match)
        position = SPACE.match(text, match.end()).end()  # type: ignore[union-attr]


def term(match: "re.Match[str]") -> Term:
    quoted = match["quoted"]
    value = match["bare"] if quoted is None else ESCAPED.sub(r"\1", quoted)
    if not value:
        raise UnusableError(f"at character {match.start() + 1}, {match[0]}: the quotes hold nothing.")
    return Term(
        position=match.start() + 1, shown=match[0], negated=bool(match["minus"]), name=match["name"], value=value
    )


def fault(rest: str) -> str:
    """Say why no term begins here."""
    word = rest.split(maxsplit=1)[0]
    if word.endswith(":"):
        return f"{word} is followed by no value; write it without a space, in quotes if it holds one."
    if word == "-":
        return "a minus stands alone; write it before a term."
    if rest.count('"') % 2:
        return f"{word}: a quote is opened and not closed."
    return f'{word}: a quote begins or ends inside a word; write \\" for one inside of quotes.'


def path(text: str) -> tuple[str, ...]:
    """Return the parts of a path: divided by dots, a backslash before what is to be taken as it is."""
    parts, position = [], 0
    while True:
        match = PART.match(text, position)
        if match is None:
            raise UnusableError("its path has an empty part, or ends with a backslash.")
        parts.append(ESCAPED.sub(r"\1", match[1]))
        position = match.end()
        if not match[2]:
            break
    if len(parts) > limits.DEPTH:
        raise UnusableError(f"its path has {len(parts)} parts; {limits.DEPTH} may be.")
    return tuple(parts)
