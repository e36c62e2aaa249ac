"""Which names are secret, what stands where a secret was, and texts without their secrets.

Whole words count: ``author`` is no ``auth``, and ``max_tokens`` counts tokens. To add a name, add its word here. What
secrets look like is known to `emitter.shapes`.
"""

import hmac
import re
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any
from unicodedata import combining, normalize
from urllib.parse import unquote
from uuid import UUID

from emitter import shapes
from emitter.shapes import Replace

Names = Callable[[str], bool]

MASK = "[masked]"
NONE: frozenset[str] = frozenset()
LONG = 100  # characters of a name; the decision about a longer one isn't kept in memory
DEPTH = 8  # of nested values that a mask tells apart

PLAIN = frozenset([bool, type(None), float, Decimal, UUID, date, datetime, time, timedelta])

WORD = re.compile(r"(?<![0-9a-z])2[Ff][Aa](?![a-z])|[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")


def folded(name: str) -> str:
    """Return ``name`` without the marks of its letters, as lower case where it is all upper."""
    if name.isascii():
        return name
    name = "".join(each for each in normalize("NFKD", name) if not combining(each))
    return name.lower() if name.isupper() else name


# fmt: off
# Secret wherever they stand in a name, and no setting frees them. In languages where the word means nothing else.
PASSWORDS = frozenset(map(folded, [
    "password", "passwords", "passwd", "passphrase", "passphrases", "passcode", "passcodes", "pwd", "pswd", "psw",
    "passwordhash", "passwort", "passwörter", "passwoerter", "kennwort", "kennwörter", "wachtwoord", "wachtwoorden",
    "contraseña", "contraseñas", "contrasena", "senha", "senhas", "hasło", "haslo", "salasana", "lösenord", "passord",
    "adgangskode", "heslo", "geslo", "lozinka", "slaptažodis", "jelszó", "şifre", "пароль", "пароли", "密码", "密碼",
    "パスワード", "暗証番号", "비밀번호",
]))
# Secret wherever they stand in a name.
SECRETS = frozenset([
    "secret", "secrets", "token", "tokens", "credential", "credentials", "creds", "passkey", "passkeys", "privkey",
    "jwt", "jwts", "csrf", "xsrf", "otp", "otps", "totp", "hotp", "cvv", "cvc", "cvn", "ssn", "ssns", "mnemonic",
])
# Secret where a name ends with them: a ``pin`` is, a ``pin_color`` isn't.
LAST = frozenset([
    "pass", "pw", "pin", "pins", "auth", "authorization", "bearer", "cookie", "cookies", "2fa", "mfa",
])
# Two words that together are another thing than a secret.
OTHERS = frozenset([
    *(kind + "pass" for kind in (
        "band", "boarding", "bus", "by", "city", "day", "gate", "high", "low", "mountain", "museum", "rail", "render",
        "season", "ski", "train",
    )),
    *(kind + "pin" for kind in ("bowling", "drawing", "enamel", "hair", "hat", "lapel", "map", "rolling", "safety")),
    *(kind + "cookie" for kind in ("chocolate", "favorite", "favourite", "fortune")),
    *(kind + "token" for kind in ("continuation", "page")),
    "cookiejar", "pinpad", "secretsanta", "stocksecurity",
])
# Secret as two or three words, or as these words written together.
KEY_KINDS = [
    "access", "account", "activation", "anthropic", "api", "app", "application", "auth", "authorization", "aws",
    "azure", "client", "confirmation", "consumer", "crypto", "decryption", "deploy", "encrypt", "encryption",
    "fernet", "gpg",
    "hmac", "licence", "license", "mailgun", "master", "mfa", "openai", "pgp", "private", "recovery", "reset", "rsa",
    "secret",
    "security", "sendgrid", "server", "service", "session", "shared", "sign", "signing", "ssh", "ssl", "stripe", "tls",
    "twilio", "verification", "webhook", "write",
]
CODE_KINDS = [
    "2fa", "access", "auth", "authorization", "backup", "card", "confirmation", "fa", "factor", "invitation", "invite",
    "login", "mfa", "onetime", "pin", "recovery", "reset", "security", "sms", "unlock", "verification",
]
LINK_KINDS = ["activation", "confirmation", "invitation", "invite", "magic", "reset", "verification"]
PHRASES = frozenset([
    *(kind + end for kind in KEY_KINDS for end in ("key", "keys")),
    *(kind + end for kind in CODE_KINDS for end in ("code", "codes")),
    *(kind + "pass" for kind in ("admin", "db", "ftp", "mail", "my", "root", "smtp", "user")),
    *(kind + "signature" for kind in ("amz", "goog", "hub", "request", "stripe", "webhook")),
    *(kind + end for kind in LINK_KINDS for end in ("link", "links", "url", "urls")),
    *(kind + "phrase" for kind in ("backup", "recovery", "secret", "seed")),
    "password", "passphrase", "passcode", "passhash", "pwhash", "passconfirm", "passconfirmation", "passrepeat",
    "motdepasse", "motsdepasse", "palavrapasse", "katasandi", "matkhau",
    "pinhash", "pinblock", "pinnumber", "twofactor",
    "sessionid", "sessiondata", "sessid", "connectsid", "cookievalue", "cookieheader", "authheader",
    "authorizationheader",
    "cardpan", "primaryaccountnumber",
    "cardnumber", "cardno", "cardnum", "ccnumber", "ccnum", "creditcard", "debitcard",
    "codeverifier", "securityanswer", "socialsecurity", "samlresponse", "samlassertion", "clientassertion",
    "cookiestring", "connectionstring", "sharedaccesssignature",
])
# Secret where a word ends with them: ``csrfmiddlewaretoken``, ``dbpassword``.
ENDS = (
    "password", "passwords", "passwd", "pwd", "passphrase", "passcode", "token", "tokens", "secret", "secrets",
    "apikey", "secretkey", "privatekey", "accesskey", "sessionid", "sessid", "csrf",
    "密码", "密碼", folded("パスワード"),
)

# A name that begins or ends with these says something about a secret and holds none: ``has_password``, ``token_type``.
ASKING = frozenset([
    "is", "has", "had", "can", "must", "needs", "requires", "require", "allow", "accept", "accepts", "min", "max",
    "num", "total", "missing", "no", "enable", "use", "uses",
])
ABOUT = frozenset([
    "count", "counts", "length", "size", "limit", "limits", "usage", "remaining", "budget", "quota", "type",
    "types", "kind", "status", "version", "ttl", "lifetime", "expires", "expired", "expiry",
    "expiration", "expire", "at", "date", "age", "days", "hours", "minutes", "seconds", "created", "changed", "updated",
    "rotated", "revoked", "required", "enabled", "disabled", "allowed", "policy", "policies", "strength", "validator",
    "validators", "attempts", "endpoint", "consent", "banner",
])
ABOUT_OTHERS = ABOUT | {"used", "name", "names", "symbol", "address", "price", "supply", "decimals"}  # than passwords
# A language model's ``tokens`` have one of these beside them.
MEASURES = ABOUT_OTHERS | ASKING | {
    "prompt", "completion", "input", "output", "cache", "cached", "reasoning", "thinking", "per", "sum", "avg", "mean",
    "estimated", "left",
}

# What carries the secret in an object that is one: ``Token.key``, ``TOTPDevice.key``, ``EmailConfirmation.key``.
CARRIERS = frozenset(["key", "keys", "value", "hash", "digest", "data", "code", "raw"])
CLAIMS = frozenset(["confirmation", "verification", "activation", "invitation"])
# fmt: on

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


def is_secret(name: str, extra: frozenset[str] = NONE, allowed: frozenset[str] = NONE, of: str = "") -> bool:
    """Tell whether ``name``, in snake, camel or kebab case, names a secret.

    ``extra`` are more secret names, found as whole words anywhere in the name. ``allowed`` are names that hold none,
    compared with the whole name; they free no password. ``of`` is what the name belongs to, such as a field's model.
    """
    return (_kept if len(name) <= LONG else judge)(name, extra, allowed, of)


def judge(name: str, extra: frozenset[str], allowed: frozenset[str], of: str) -> bool:
    words = words_of(name)
    if any(holds(words, words_of(each)) for each in extra):
        return True
    if not PASSWORDS.isdisjoint(words):
        return not is_about_one(words, ABOUT)
    if is_about_one(words):
        return False
    if any(words == words_of(each) for each in allowed):
        return False
    return names_one(words) or carries_one(words, words_of(of))


_kept = lru_cache(maxsize=4096)(judge)


def is_phrase(first: str, second: str) -> bool:
    """Tell whether two words of a text, such as ``API key``, name a secret where neither does alone."""
    return (first + second).lower() in PHRASES


def words_of(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(folded(name))]


def holds(words: list[str], phrase: list[str]) -> bool:
    return bool(phrase) and f" {' '.join(phrase)} " in f" {' '.join(words)} "


def is_about_one(words: list[str], about: frozenset[str] = ABOUT_OTHERS) -> bool:
    """Tell whether a name asks, counts or dates: ``has_password``, ``token_count``, ``password_changed_at``."""
    return len(words) > 1 and (words[0] in ASKING or words[-1] in about)


def names_one(words: list[str]) -> bool:
    if "tokens" in words and not MEASURES.isdisjoint(words):  # a language model's
        words = [word for word in words if word != "tokens"]
    words = without_others(words)
    together = [*words, *map("".join, pairwise(words)), *map("".join, zip(words, words[1:], words[2:], strict=False))]
    return (
        not LAST.isdisjoint(words[-1:])
        or not SECRETS.isdisjoint(words)
        or not PHRASES.isdisjoint(together)
        or any(word.endswith(ENDS) for word in words)
    )


def without_others(words: list[str]) -> list[str]:
    """Return ``words`` without pairs such as ``boarding pass`` and ``page token``."""
    found = {at + more for at, pair in enumerate(pairwise(words)) if "".join(pair) in OTHERS for more in (0, 1)}
    return [word for at, word in enumerate(words) if at not in found]


def carries_one(words: list[str], of: list[str]) -> bool:
    if CARRIERS.isdisjoint(words[-1:]) or is_about_one(of):
        return False
    return names_one(of) or not CLAIMS.isdisjoint(of) or not PASSWORDS.isdisjoint(of)


def mask(value: object, secret: bytes | str = "") -> str:
    """Return what stands for ``value``: ``[masked]``, or ``[masked:1a2b3c4d5e6f]`` when there is a ``secret``.

    Equal values have equal marks under one secret; without knowing it, nothing else can be learnt from a mark. Never
    calls the project's code: an object of its own is told by its type, and all of a type look equal.
    """
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
