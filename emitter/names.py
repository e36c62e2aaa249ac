"""Which names are secret.

Whole words count: ``author`` is no ``auth``, and ``max_tokens`` counts tokens. To add a name, add its word here.
"""

import re
from functools import lru_cache
from itertools import pairwise
from unicodedata import combining, normalize

NONE: frozenset[str] = frozenset()
LONG = 100  # characters of a name; the decision about a longer one isn't kept in memory

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
