"""Which values never leave: those whose name says that they are secret. Whole words count, so ``author`` is none."""

import re
from itertools import pairwise

MASK = "[masked]"

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
SECRET_WORDS = frozenset(
    [
        *("password", "passwd", "passphrase", "pwd", "pin", "otp", "totp", "cvv", "cvc", "ssn"),
        *("secret", "secrets", "token", "tokens", "credential", "apikey", "authorization"),
        *("cookie", "cookies", "csrf", "csrfmiddlewaretoken", "sessionid"),
    ]
)
KEY_KINDS = ("access", "api", "auth", "encryption", "private", "secret", "session", "signing", "ssh")
SECRET_PAIRS = frozenset((kind, "key") for kind in KEY_KINDS)


def is_secret(name: str) -> bool:
    """Tell whether ``name``, in snake, camel or kebab case, names a secret."""
    words = [word.lower() for word in WORD.findall(name)]
    return not SECRET_WORDS.isdisjoint(words) or not SECRET_PAIRS.isdisjoint(pairwise(words))
