"""What stands where a secret was, and texts without their secrets.

Which names are secret is known to `emitter.names`, what secrets look like to `emitter.shapes`.
"""

import hmac
import re
from collections import Counter
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from emitter import shapes
from emitter.names import OTHERS, is_phrase, is_secret, words_of
from emitter.shapes import Replace

Names = Callable[[str], bool]

# Of this process: "masked", how often a value was.
counts: Counter[str] = Counter()

MASK = "[masked]"
DEPTH = 8  # of nested values that a mask tells apart

PLAIN = frozenset([bool, type(None), float, Decimal, UUID, date, datetime, time, timedelta])
MASKED = re.compile(r"\[masked(?::[0-9a-f]{12})?\]")

# A name before "=" or ":", read backwards so that each separator is looked at once and each letter at most twice. Next
# to it another word, as in "API key: …", or what tells of a query string.
BACKWARDS = r"""(?P<name>[\w.-]{2,64}+)(?: ([\w-]{2,40}+)|([?&]))?"""
NAME = re.compile(r"""[=:][ \t]{0,4}["'\]\\]{0,4}(?:(?<=\])\d{0,3}\[["'\]\\]{0,4})?""" + BACKWARDS)
# Of a URL in a URL, of a JSON in a page.
QUOTED_NAME = re.compile(
    r"""(?:=|:|D3%|d3%|A3%|a3%)[ \t]{0,4}(?:\]\d{0,3}\[|["'\]\\]|D5%|B5%|22%|;(?:touq|43\#|93\#|72x\#)&){0,4}"""
    + BACKWARDS
)
VALUE = re.compile(
    r"""[=>]?[ \t]{0,4}
    (?:</?(?:b|br|code|dd|div|dt|em|font|i|kbd|label|li|p|pre|span|strong|td|th|tr|tt|u)\b[^<>]{0,200}+>[ \t]{0,4}){0,4}
    (?![\[{(]\s{0,4}[\]})])(?:[BbFfRrUu]{1,2}(?=["']))?(?:
        (\\++["']) ([\s\S]+?) (?:(?<!\\)\1|\Z)
    |   ("{3}|'{3}) ([\s\S]+?) (?:\3|\Z)
    |   " ((?:[^"\\]|\\.)++)
    |   ' ((?:[^'\\]|\\.)++)
    |   &(?:quot|\#34|\#39|\#x27); ((?:[^&]|&(?!quot;|\#34;|\#39;|\#x27;))++)
    |   < (?!/) ([^<>\s][^<>]{0,200}+) >
    |   ((?:(?i:basic|bearer|digest|token)[ ](?=\w))? (?:
            \[masked(?::[0-9a-f]{12})?\]
        |   &(?!\w|\#) | [^\s"'&<>;,)\]}]
        |   [;,)\]}] (?![\s"'\\;,)\]}] | \Z | [\w.-]{1,40}[=:])
        )++)
    )""",
    re.VERBOSE | re.DOTALL,
)
# A list, a mapping, a call with a text: all of it up to its last bracket is the value.
NESTED = re.compile(
    r"""[=>]?[ \t]{0,4}(?!\[masked)([\[{](?!\s*+[\]}])|[\w.]{0,60}+\((?=(?:\w{1,40}=)?[BbRr]?\\*+["'\[{(]))"""
)
BRACKET = re.compile(r"""(\\*+["'])[\s\S]*?(?:(?<!\\)\1|\Z)|[\[{(]|[\]})]""")
REST = re.compile(r"""[^\s"'&<>;,)\]}]*+""")
# On lines of their own, as in YAML and in letters.
BELOW = re.compile(
    r"""(?:[ \t]*+\r?\n){1,2}[ \t]*+(?:-[ \t]++)?(?![^\w\s]*+\s|[^\s:]*+:\s)["']?([^\s"']++
    (?=["']?[ \t]*+(?:\r?\n|\Z))(?:\r?\n[ \t]*+-[ \t]++[^\s:]++(?=[ \t]*+(?:\r?\n|\Z)))*+)""",
    re.VERBOSE,
)
LINE = re.compile(r"""[ \t]{0,4}([^\s"'](?:[^\r\n"']|(?<==)"[^"\r\n]*+"?|(?<=\w)'(?=\w))*+)""")
WORDS = re.compile(r"""[ \t]{0,4}([^\s"'&;,](?:[^\r\n"'&;,]|(?<=\w)'(?=\w))*+)""")
WHOLE_LINE = ("authorization", "cookie")  # headers whose value has spaces in it
PHRASED = ("passphrase", "phrase", "mnemonic")
# What a name has beside it in prose, a type or a state: ``The Secret: Dare to Dream``, ``token: str``, ``Auth: OK``.
PROSE = re.compile(r"[ \t]++(?:[A-Za-z][a-z]{0,20}|\d{1,3})[ \t]++[A-Za-z]")
VAGUE = frozenset(
    ["secret", "secrets", "token", "tokens", "pass", "auth", "bearer", "cookie", "cookies", "credentials"]
)
CONSTANTS = frozenset([
    "none", "null", "nil", "undefined", "true", "false", "ok", "str", "string", "bytes", "int", "bool", "any",
])  # fmt: skip

# Other places of names and values: arguments of a command, an XML element, two attributes or members.
OPTION = re.compile(
    r"""(?<![^\s"'(\[,`])--?(?P<name>[A-Za-z][\w-]{1,60}+)(?:[ \t]++|["'],[ \t]*+(?=["']))(?!-)
    (?:"([^"]++)|'([^']++)|([^\s"',;)\]}]++))""",
    re.VERBOSE,
)
USER = re.compile(r"""(?<!\S)(?:-u|--user|--proxy-user)[ \t=]{1,4}["']?[^\s:"']{1,128}:(?!\d++\b)([^\s"']++)""")
ELEMENT = re.compile(
    r"<(?P<name>[\w:.-]{2,64}+)(?:\s[^<>]{0,200}+)?>\s*+(?:<!\[CDATA\[)?((?:[^<>\]]|\](?!\]>))++)(?=</|\]\]>)"
)
LABELLED = re.compile(
    r"""\b(?:name|key|id|field)(\\?["']?)[ \t]?[=:][ \t]?\\?(["'])(?P<name>[\w.\[\]-]{2,64}+)\\?\2
    [^<>{}]{0,80}?\bvalue\\?["']?[ \t]?[=:][ \t]?\\?["']([^"'\\]++)""",
    re.VERBOSE,
)
BARE = VALUE.groups  # of its groups, the one without quotes
ENDINGS = ":;,.)]}"
ENCODED = re.compile(r"%(?:25|3[ADad]|22|40|2[Ff])")
ENCODINGS = 3  # a URL in a URL in a URL
CHUNK = re.compile(r"\S++")
SIGNATURES = frozenset(["sig", "signature", "hmac"])  # in a query string; elsewhere it is a field like others


def mask(value: object, secret: bytes | str = "") -> str:
    """Return what stands for ``value``: ``[masked]``, or ``[masked:1a2b3c4d5e6f]`` when there is a ``secret``.

    Equal values have equal marks under one secret; without knowing it, nothing else can be learnt from a mark. Never
    calls the project's code: an object of its own is told by its type, and all of a type look equal.
    """
    counts["masked"] += 1
    if not secret:
        return MASK
    key = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    text = canonical(value).encode("utf-8", "surrogatepass")
    return f"[masked:{hmac.digest(key, b'heliograph.mask:' + text, 'sha256').hex()[:12]}]"


def canonical(value: Any, depth: int = 0) -> str:
    """Return a text that equal values share: ``1`` and ``"1"`` do, since a field may hold either before it is saved.

    Asks for the type and never for ``__class__``, which a lazy object answers by evaluating itself.
    """
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, bytes | bytearray | memoryview):
        return bytes(value).decode("latin-1")
    if issubclass(kind, Enum):
        return canonical(value.value, depth)
    if issubclass(kind, int) and kind is not bool:
        return int.__repr__(value)
    if kind in PLAIN:
        return str(value)
    return canonical_of_many(value, depth + 1)


def canonical_of_many(value: Any, depth: int) -> str:
    kind = type(value)
    if issubclass(kind, Mapping) and depth <= DEPTH:
        return repr(sorted((canonical(key, depth), canonical(item, depth)) for key, item in value.items()))
    if issubclass(kind, Set) and depth <= DEPTH:
        return repr(sorted(canonical(item, depth) for item in value))
    if issubclass(kind, list | tuple) and depth <= DEPTH:
        return repr([canonical(item, depth) for item in value])
    return f"<{kind.__module__}.{kind.__qualname__}>"


def scrub(text: str, secret: bytes | str = "", names: Names = is_secret) -> str:
    """Return ``text`` with every secret in it masked, as `mask` does with ``secret``; the rest is kept.

    ``names`` tells whether a name is secret. Takes linear time, whatever the text.
    """
    replace = partial(mask_again, secret=secret) if secret else mask_again
    text = shapes.without(text, replace)
    if ":" in text or "=" in text or "<" in text or "%" in text or ("-" in text and "--" in text):
        text = without_encoded(without_named(text, replace, names), replace, names)
    return text


def mask_again(found: str, secret: bytes | str = "") -> str:
    """Return what stands for ``found``, which may be what stood for it already."""
    return found if MASKED.fullmatch(found) else mask(found, secret)


def without_named(text: str, replace: Replace, names: Names) -> str:
    if ":" in text or "=" in text or "%" in text:
        text = without_pairs(text, replace, names)
        if "value" in text:
            text = without_second(LABELLED, text, replace, names)
        if "-u" in text and " " in text:
            text = USER.sub(lambda found: whole_but_last(found, replace), text)
    if "--" in text:
        text = without_second(OPTION, text, replace, names)
    if "<" in text and "</" in text:
        text = without_second(ELEMENT, text, replace, names)
    return text


def without_second(pattern: re.Pattern[str], text: str, replace: Replace, names: Names) -> str:
    """Return ``text`` without the last group of each match whose ``name`` is secret."""
    return pattern.sub(lambda found: whole_but_last(found, replace) if names(found["name"]) else found[0], text)


def whole_but_last(found: re.Match[str], replace: Replace) -> str:
    start, end = found.span(found.lastindex or 0)
    return found.string[found.start() : start] + replace(found.string[start:end]) + found.string[end : found.end()]


def without_encoded(text: str, replace: Replace, names: Names) -> str:
    """Return ``text`` where each word that holds a secret once it is decoded stands decoded, and without it."""

    def decoded(found: re.Match[str]) -> str:
        word = plain = found[0]
        for _ in range(ENCODINGS):
            plain = unquote(plain) if ENCODED.search(plain) else plain
        scrubbed = plain if plain == word else without_named(shapes.without(plain, replace), replace, names)
        return word if scrubbed == plain else scrubbed

    return CHUNK.sub(decoded, text) if "%" in text and ENCODED.search(text) else text


def without_pairs(text: str, replace: Replace, names: Names) -> str:
    """Return ``text`` without the values in ``password=…``, ``"api_key": "…"``, ``?token=…`` and their like."""
    backwards, pattern = text[::-1], QUOTED_NAME if "%" in text or "&" in text else NAME
    secret = {each for each in set(pattern.findall(backwards)) if is_secret_backwards(each, names)}
    if not secret:
        return text
    kept: list[str] = []
    done = 0
    for match in reversed([each for each in pattern.finditer(backwards) if each.groups("") in secret]):
        at = len(text) - match.start()
        start, end = value_of(match["name"][::-1].lower(), text, at) if at >= done else (at, at)
        if start < end:
            kept += [text[done:start], replace(text[start:end])]
            done = end
    return "".join([*kept, text[done:]])


def is_secret_backwards(match: tuple[str, ...], names: Names) -> bool:
    name, first, query = match[0][::-1], match[1][::-1], match[2]
    if name[0].isdigit() and name[-1].isdigit():  # a time
        return False
    if (first + name).lower() in OTHERS:
        return False
    return names(name) or is_phrase(first, name) or (query != "" and not SIGNATURES.isdisjoint(words_of(name)))


def value_of(name: str, text: str, at: int) -> tuple[int, int]:
    """Return where the value is that belongs to a name and stands ``at`` or after it; an empty place for none."""
    if nested := NESTED.match(text, at):
        return nested.start(1), end_of_nested(text, nested.end() - 1)
    colon = text[at - 1] == ":"
    if colon and name.endswith(WHOLE_LINE) and (line := LINE.match(text, at)):
        return line.span(1) if "=" in line[1] or not name.endswith("cookie") or " " not in line[1] else (at, at)
    if name.endswith(PHRASED) and (line := WORDS.match(text, at)):
        return line.span(1)
    if colon and name in VAGUE and PROSE.match(text, at):
        return at, at
    found = VALUE.match(text, at) or (BELOW.match(text, at) if colon else None)
    if found is None or (found.lastindex == BARE and found[BARE].rstrip(ENDINGS).lower() in CONSTANTS):
        return at, at
    return found.span(found.lastindex or 0)


def end_of_nested(text: str, at: int) -> int:
    """Return where the value ends whose first bracket is ``at``: the end of the text when it isn't closed."""
    depth = 0
    for each in BRACKET.finditer(text, at):
        depth += (each[0] in "[{(") - (each[0] in "]})")
        if depth == 0:
            rest = REST.match(text, each.end())
            return rest.end() if rest else each.end()
    return len(text)
