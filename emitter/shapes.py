"""What secrets look like, whatever they are called: tokens, private keys, password hashes, URLs, card numbers.

Looked for in every text of every event: a few cheap questions let most texts pass, and no pattern takes more than
linear time. To add a kind of token, add a line to `TOKENS`. Knows no names; these are known to `emitter.privacy`.
"""

import re
import time
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterator
from itertools import groupby

Replace = Callable[[str], str]

SHORTEST = 10  # characters: ``Basic dTpw``

# Tokens: what stands before their sign, the signs, by which a text is searched quickly, and how they go on.
START = "(?<![A-Za-z0-9])"  # for signs that are common inside of words: ``sk-`` in ``task-``
AWS = ["AKIA", "ASIA", "AGPA", "AIDA", "AROA", "AIPA", "ANPA", "ANVA", "ABIA", "ACCA"]
STRIPE = ["sk_live_", "sk_test_", "sk_prod_", "rk_live_", "rk_test_", "rk_prod_", "ek_live_", "ek_test_"]
GITLAB = ["glpat-", "gldt-", "glrt-", "glptt-", "glft-", "glsoat-", "glagent-", "glcbt-", "glimt-"]
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SLACK = ["xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"]
TOKENS = [
    (
        "",
        ["eyJ"],
        r"[\w-]{8,1024}+\.(?:eyJ[\w-]*+(?:\.[\w-]*+)?|[\w-]*+(?:\.[\w-]++){1,3})",
    ),  # JWT, JWE, Flask's sessions
    (r"(?<![\w-])", ["eyJ"], r"[\w-]{1025,}+\.[\w-]++\.[\w-]*+"),  # JWT with certificates in its header
    ("", AWS, "[A-Z0-9]{16,}"),
    ("", ["AIza"], r"[\w-]{30,}"),  # Google
    ("", ["GOCSPX-", "ya29."], r"[\w.-]{16,}"),
    ("", STRIPE, "[A-Za-z0-9]{16,}"),
    ("", ["whsec_"], "[A-Za-z0-9+/=]{16,}"),  # Stripe, Standard Webhooks
    ("", ["gho_", "ghp_", "ghr_", "ghs_", "ghu_"], "[A-Za-z0-9]{30,}"),  # GitHub
    ("", ["github_pat_", "dckr_pat_"], r"[\w-]{20,}"),
    ("", GITLAB, r"[\w.-]{16,}"),
    ("", SLACK, r"[\w.-]{10,}"),
    ("", ["SG."], r"[\w-]{20,30}+\.[\w-]{40,}"),  # SendGrid
    (START, ["hg_"], "[A-Za-z0-9]{40}"),  # Heliograph
    ("", ["npm_"], "[A-Za-z0-9]{30,}"),
    ("", ["pypi-A"], r"[\w-]{16,}"),
    (START, ["sk-"], r"(?:(?:proj|ant|svcacct|admin|or)-[\w-]{16,}|[A-Za-z0-9]{20,})"),  # OpenAI, Anthropic
    (START, ["hf_", "gsk_"], "[A-Za-z0-9]{30,}"),  # Hugging Face, Groq
    ("", ["rubygems_", "dop_v1_", "doo_v1_", "dor_v1_"], "[0-9a-f]{32,}"),  # DigitalOcean
    ("", ["shpat_", "shpca_", "shppa_", "shpss_"], "[0-9a-fA-F]{32,}"),  # Shopify
    ("", ["sq0atp-", "sq0csp-"], r"[\w-]{20,}"),  # Square
    (START, ["hvs.", "hvb."], r"[\w-]{20,}"),  # Vault
    ("", ["sntrys_", "sntryu_"], r"[\w+/=]{20,}"),  # Sentry
    ("", ["PMAK-", "NRAK-", "tskey-"], r"[\w-]{20,}"),  # Postman, New Relic, Tailscale
    ("", ["AGE-SECRET-KEY-"], "[A-Z0-9]{50,}"),
    (START, ["ATATT3", "ATCTT3"], r"[\w=-]{50,}"),  # Atlassian
    (START, ["ATBB"], "[A-Za-z0-9]{24,}"),  # Bitbucket
    (START, ["dapi"], "[0-9a-f]{32}(?![0-9a-f])"),  # Databricks
    (START, ["lin_api_", "lin_oauth_", "ntn_", "nfp_", "pnu_", "pnb_"], "[A-Za-z0-9]{32,}"),  # Linear, Notion, Netlify
    (START, ["secret_"], "[A-Za-z0-9]{43}(?![A-Za-z0-9])"),  # Notion
    (START, ["figd_", "fo1_", "pscale_tkn_", "pscale_pw_", "pscale_oauth_", "sb_secret_"], r"[\w.-]{20,}"),
    (START, ["fm2_", "fm1r_", "fm1a_", "glc_", "ops_eyJ"], "[A-Za-z0-9+/=_-]{40,}"),  # Fly, Grafana, 1Password
    (START, ["dp.pt.", "dp.st.", "dp.ct.", "dp.sa."], r"[\w.-]{40,}"),  # Doppler
    (START, ["EAA"], r"[\w-]{60,}"),  # Facebook, Square
    (START, ["HRKU-"], r"[\w-]{36,}"),  # Heroku
    (START + "[A-Za-z0-9]{14}", [".atlasv1."], r"[\w-]{60,}"),  # Terraform
    (START + "access", ["-sandbox-", "-development-", "-production-"], UUID),  # Plaid
    (START, ["sdk-"], UUID),  # LaunchDarkly
    (START, ["pat-na1-", "pat-na2-", "pat-eu1-", "pat-ap1-"], UUID),  # HubSpot
    (START, ["pul-", "sbp_", "squ_", "sqp_", "sqa_"], "[0-9a-f]{40}"),  # Pulumi, Supabase, Sonar
    (START, ["SK"], "[0-9a-f]{32}(?![0-9a-f])"),  # Twilio
    (START, ["rzp_live_", "rzp_test_"], "[A-Za-z0-9]{14,}"),  # Razorpay
    (START, ["r8_", "pplx-", "xai-"], "[A-Za-z0-9]{37,}"),  # Replicate, Perplexity
    (START, ["glsa_"], "[A-Za-z0-9]{32}_[0-9a-f]{8}"),  # Grafana
    (START, ["xkeysib-", "xsmtpsib-"], "[0-9a-f]{64}-[A-Za-z0-9]{16}"),  # Brevo
    (START, ["re_"], "(?=[A-Za-z_]{0,32}[0-9])[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}"),  # Resend
    (START + r"[\w~.-]{3}\d", ["Q~"], r"[\w~.-]{31,34}"),  # Azure
    (r"(?<!\w)1", ["//0"], r"[\w-]{40,}"),  # Google
    (START, ["AKCp"], "[A-Za-z0-9]{60,}"),  # JFrog
    (START + "(?:pi|seti)_[A-Za-z0-9]{14,40}", ["_secret_"], "[A-Za-z0-9]{16,}"),  # Stripe
    (START + r"AAAA[\w-]{7}", [":APA91b"], r"[\w-]{60,}"),  # Firebase
    (START + "[0-9a-f]{32}", ["-us"], r"\d{1,2}(?!\w)"),  # Mailchimp
    (r"(?<!\d)\d{8,10}", [":AA"], r"[\w-]{30,}"),  # Telegram
]


def one_of(texts: list[str]) -> str:
    """Return a pattern for any of ``texts``, grouped by first letter: five times as fast to search for."""
    groups = groupby(sorted(texts), key=lambda text: text[0])
    return "|".join(
        f"{re.escape(first)}(?:{'|'.join(re.escape(text[1:]) for text in group)})" for first, group in groups
    )


SIGNS = [sign for _, signs, _ in TOKENS for sign in signs]
SIGN = re.compile(one_of([sign for sign in SIGNS if "_" not in sign]))
UNDERSCORED_SIGN = re.compile(one_of([sign for sign in SIGNS if "_" in sign]))
TOKEN = re.compile("|".join(f"{before}(?:{one_of(signs)}){rest}" for before, signs, rest in TOKENS), re.ASCII)
RUN = b"a" * 15  # every token has as many letters, digits, "_" and "-" in a row
LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
RUNS = bytes(ord("a") if byte in LETTERS else 32 for byte in range(256))
BEFORE_RUN = 12  # characters: as much of a token may stand before its first long run, as ``SG.`` does

PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[^-]{0,20}-----[\s\S]*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[^-]{0,20}-----|\Z)"
)
# A link's token to reset a password by, of Django: seconds in base 36, and signature.
RESET = re.compile(START + r"[0-9a-z]{6}-[0-9a-f]{32}(?![\w-]|\.\w)")
RESET_EPOCH = 978_307_200  # 2001-01-01
RESET_AGE = 366 * 86_400  # seconds; Django's own setting gives three days
AFTER_USER = re.compile(r"/(?=[\w-]*[A-Z])[\w-]{2,36}/\Z")
RESET_SIGN = re.compile("-[0-9a-f]{32}")
# A value signed by django.core.signing, such as a session in a cookie: payload, time in base 62, signature.
SIGNED = re.compile(r"(?<![\w.-])[\w.-]++:[0-9A-Za-z]{6}:[\w-]{43}(?![\w-])", re.ASCII)
SIGNATURE = re.compile(r":[0-9A-Za-z]{6}:[\w-]{43}(?![\w-])", re.ASCII)

# Password hashes, as Django, passlib and crypt(3) write them.
HASH_SIGN = re.compile(r"\$[\w$./+=,-]{20,}", re.ASCII)
HASH = re.compile(
    r"(?<![\w$])(?:(?:pbkdf2_sha\d{1,3}|argon2|bcrypt(?:_sha256)?|scrypt|(?:unsalted_)?(?:md5|sha1)|phpass)\$"
    r"|\$(?:argon2(?:id|i|d)|2[abxy]?|[1567y]|apr1|[PH]|pbkdf2[\w-]{0,12}|scrypt|bcrypt-sha256|gy)\$)[\w$./+=,-]{20,}",
    re.ASCII,
)

# The password in ``scheme://user:password@host``, be it badly quoted; a port is none. A long user is a token, another
# may be an address of its own. Slashes may be escaped, as PHP's JSON has them.
URL_PASSWORD = re.compile(
    r"""(/\\?/[^\s:/?#@"'<>\[]{0,256}+:)(?!\d{1,5}(?:[/?#\s"']|\Z))"""
    r"""([^\s/?#"'<>]{1,512}(?=@)|[^\s@"'<>]{1,512}(?:@[^\s/?#@"'<>]{0,256}){0,8}(?=@))"""
)
URL_ADDRESS_PASSWORD = re.compile(
    r"""(/\\?/[^\s:/?#@"'<>\[]{1,256}+@[^\s:/?#@"'<>\[]{1,256}+:)(?!\d{1,5}(?:[/?#\s"']|\Z))([^\s/?#"'<>]{1,512})(?=@)"""
)
URL_TOKEN = re.compile(r"(:/\\?/)(?=[^\d@]{0,64}\d)([\w.%-]{20,512}+)(?=@)", re.ASCII)
# Webhooks of Slack, Discord and Teams, whose path is the key.
HOOK = re.compile(
    r"(hooks\.slack\.com/\w{1,20}/|/api/webhooks/(?=\d{16,20}/)|\.office\.com/webhookb2/)([\w/@-]{20,})", re.ASCII
)
# Discord's bots: an id in base 64, a time, a signature.
BOT = re.compile(r"(?<![\w.-])[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])", re.ASCII)

SPACES = "\u00a0\u2009\u202f"
SEPARATORS = dict.fromkeys(map(ord, " .-_/" + SPACES))
DIGITS = bytes(ord("0") if 48 <= byte < 58 else 32 for byte in range(256))
CARD = re.compile(
    r"[0-9][0-9]{3}(?<![0-9]{5})"
    rf"(?:\d{{9,15}}|([ ./_{SPACES}-])(?:\d{{4}}\1\d{{4}}\1\d{{4}}(?:\1\d{{1,3}})?|\d{{6}}\1\d{{4,5}}))"
    r"(?!\w|-(?!(?:0[1-9]|1[0-2])[/-]?\d\d(?![\w-]))|\.\d(?!\d(?!\d)))",  # a date or an amount may follow
    re.ASCII,
)
BEFORE_CARD = re.compile(r"(?:(?<![\w.-])|(?:cc|mc|pan|card|visa|amex)[_-]?)\Z", re.ASCII | re.IGNORECASE)
GROUPED = 19  # characters of sixteen digits in groups
# By issuer, with the lengths each gives: Visa, Mastercard, American Express, Discover, Diners, JCB, UnionPay, Maestro,
# Mir, RuPay.
ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{12,15}|220[0-4]\d{12,15}|(?:60|8[12])\d{14}"
)

# What follows a scheme in the header Authorization; the last is Django REST framework's.
BASIC = re.compile(r"(?<=(?i:basic) )[\w+/-]{4,}={0,2}", re.ASCII)
BEARER = re.compile(r"(?<=(?i:bearer) )[\w.~+/-]{8,}={0,2}|(?<=(?i:token) )[0-9a-f]{32,}(?!\w)", re.ASCII)


def without(text: str, replace: Replace) -> str:
    """Return ``text`` with everything in it that looks like a secret given to ``replace``, and the rest as it is."""
    if len(text) < SHORTEST:
        return text
    # As many bytes as there are characters, since positions found in them are used in the text.
    plain = text.encode() if text.isascii() else text.encode("ascii", "replace")
    runs = plain.translate(RUNS)
    if runs.find(RUN) >= 0:
        text = without_runs(text, runs, replace)
    if "$" in text and HASH_SIGN.search(text):
        text = HASH.sub(lambda found: replace(found[0]), text)
    if ":" in text and "/" in text and ("//" in text or "\\/" in text):
        text = without_url_secrets(text, replace)
    if plain.translate(DIGITS, b" .-_/?").find(b"0000000000000") >= 0:
        text = without_cards(text, replace)
    if "asic " in text:
        text = BASIC.sub(lambda found: replace(found[0]) if is_user_and_password(found[0]) else found[0], text)
    return text


def without_runs(text: str, runs: bytes, replace: Replace) -> str:
    found_at = [(start, end) for start, end in spans(runs) if not text[start:end].isdigit()]
    may_be_bot = "." in text and any(text[end : end + 1] == "." == text[end + 7 : end + 8] for _, end in found_at)
    if any(SIGN.search(text, max(0, start - BEFORE_RUN), end) for start, end in found_at) or (
        "_" in text and any(UNDERSCORED_SIGN.search(text, max(0, start - BEFORE_RUN), end) for start, end in found_at)
    ):
        text = TOKEN.sub(lambda found: replace(found[0]), text)
    if may_be_bot:
        text = BOT.sub(lambda found: replace(found[0]), text)
    if "-----BEGIN" in text:
        text = PEM.sub(lambda found: replace(found[0]), text)
    if found_at and "-" in text and RESET_SIGN.search(text):
        text = RESET.sub(lambda found: replace(found[0]) if is_reset(found) else found[0], text)
    if found_at and ":" in text and SIGNATURE.search(text):
        text = SIGNED.sub(lambda found: replace(found[0]), text)
    if "earer " in text or "oken " in text:
        text = BEARER.sub(lambda found: found[0] if is_prose(found[0]) else replace(found[0]), text)
    return text


def spans(runs: bytes) -> Iterator[tuple[int, int]]:
    start = runs.find(RUN)
    while start >= 0:
        end = runs.find(b" ", start)
        yield start, end if end >= 0 else len(runs)
        start = runs.find(RUN, end) if end >= 0 else -1


def without_url_secrets(text: str, replace: Replace) -> str:
    def replace_second(found: re.Match[str]) -> str:
        return found[1] + replace(found[2])

    if "@" in text:
        for pattern in (URL_PASSWORD, URL_ADDRESS_PASSWORD, URL_TOKEN):
            text = pattern.sub(replace_second, text)
    if "hook" in text:
        text = HOOK.sub(replace_second, text)
    return text


def is_reset(found: re.Match[str]) -> bool:
    """Tell a token that may still be used from a word before an identifier: ``device-``, ``client-``.

    One in five tokens has no digit before its dash, and is known by the user's id, in base 64, that stands before it.
    """
    written = found[0][:6]
    age = time.time() - RESET_EPOCH - int(written, 36)
    told = not written.isalpha() or AFTER_USER.search(found.string, max(0, found.start() - 40), found.start())
    return -86_400 < age < RESET_AGE and bool(told)


def without_cards(text: str, replace: Replace) -> str:
    """Return ``text`` without card numbers, be there other numbers beside them: a year, a date, a security code."""
    kept: list[str] = []
    at = done = 0
    while match := CARD.search(text, at):
        at = match.start() + 1
        for found in dict.fromkeys((match[0], match[0][:GROUPED])):
            if is_card(found) and BEFORE_CARD.search(text, max(0, match.start() - 5), match.start()):
                kept += [text[done : match.start()], replace(found)]
                at = done = match.start() + len(found)
                break
    return "".join([*kept, text[done:]])


def is_card(found: str) -> bool:
    """Tell whether ``found`` is a number an issuer may have given: by prefix, length and check digit (ISO/IEC 7812)."""
    digits = found.translate(SEPARATORS)
    return bool(ISSUED.fullmatch(digits)) and has_luhn_digit(digits) and not (len(digits) == 13 and is_ean(digits))


def has_luhn_digit(digits: str) -> bool:
    backwards = [int(digit) for digit in reversed(digits)]
    return (sum(backwards[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in backwards[1::2])) % 10 == 0


def is_ean(digits: str) -> bool:
    """Tell whether ``digits`` are an article's bar code, which German ones share their first digit with Visa's."""
    return (sum(map(int, digits[::2])) + 3 * sum(map(int, digits[1::2]))) % 10 == 0


def is_prose(found: str) -> bool:
    """Tell the ``responsibilities`` of a bearer from a token."""
    word = found.rstrip("./").replace("-", "")
    return word.isalpha() and (word.islower() or word.istitle() or word.isupper())


def is_user_and_password(value: str) -> bool:
    try:
        return b":" in b64decode(value.rstrip("=") + "==", altchars=b"-_" if set("-_") & set(value) else None)
    except Error:
        return False
