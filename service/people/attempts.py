"""How often a login may fail: for one address and user name, and for one address, in Postgres over all processes.

An attempt counts before the password is looked at, so that none of many at once goes uncounted, and is given back when
it was right. Never is a user name alone counted, by which anybody could lock somebody else out.
"""

import ipaddress
import logging
import re
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest

from service.projects import operations

logger = logging.getLogger(__name__)

WINDOW = 600  # seconds, from the first failure
OF_ONE_NAME = 10  # failures of an address with one user name
OF_ALL_NAMES = 100  # failures of an address
NETWORK = 64  # bits that tell one customer's IPv6 addresses from another's

# Some proxies tell the port too.
WITHOUT_PORT = re.compile(r"^(?:\[(.*)\](?::\d+)?|([\d.]+):\d+)$")

COUNT = """
    INSERT INTO login_attempt AS kept (who, failures, ends_at)
    VALUES (%(who)s, 1, statement_timestamp() + make_interval(secs => %(window)s))
    ON CONFLICT (who) DO UPDATE SET
        failures = CASE WHEN kept.ends_at <= statement_timestamp() THEN 1 ELSE kept.failures + 1 END,
        ends_at = CASE WHEN kept.ends_at <= statement_timestamp() THEN excluded.ends_at ELSE kept.ends_at END
    RETURNING failures, extract(epoch FROM ends_at - statement_timestamp())::float8
"""
GIVE_BACK = "UPDATE login_attempt SET failures = failures - 1 WHERE who = %(who)s AND failures > 0"
FORGET = "DELETE FROM login_attempt WHERE who = %(who)s"
# Whoever counts sweeps some; others' rows are left to others.
SWEEP = """
    DELETE FROM login_attempt WHERE who IN (
        SELECT who FROM login_attempt WHERE ends_at <= statement_timestamp() LIMIT 100 FOR UPDATE SKIP LOCKED
    )
"""


class TooManyAttempts(Exception):  # noqa: N818  # named as the page says it
    """No password is looked at for ``seconds`` more."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = int(seconds) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A login that was counted, for an address and for it with a name."""

    address: bytes
    address_and_name: bytes


def begin(request: HttpRequest, username: str) -> Attempt:
    """Count an attempt to log in. Three statements; raises `TooManyAttempts`, and logs the first such of a window."""
    address = address_of(request)
    attempt = Attempt(address=digest(address), address_and_name=digest(address, username))
    with connection.cursor() as cursor:
        cursor.execute(SWEEP)
    # With the name first, so that going on with one name uses nothing up of what others at the address have.
    for who, most in ((attempt.address_and_name, OF_ONE_NAME), (attempt.address, OF_ALL_NAMES)):
        failures, seconds = count(who)
        if failures > most:
            if failures == most + 1:
                warn(address, username, most)
            raise TooManyAttempts(seconds)
    return attempt


def count(who: bytes) -> tuple[int, float]:
    """Count a failure; return how many there are in this window, and the seconds that are left of it."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, {"who": who, "window": WINDOW})
        failures, seconds = cursor.fetchone()
    return failures, seconds


def succeeded(attempt: Attempt) -> None:
    """Give an attempt back, and forget how often the password was mistyped before."""
    with connection.cursor() as cursor:
        cursor.execute(GIVE_BACK, {"who": attempt.address})
        cursor.execute(FORGET, {"who": attempt.address_and_name})


def warn(address: str, username: str, most: int) -> None:
    # What is no user's name may be a password, typed into the wrong field.
    known = User.objects.filter(username=username).exists()
    name = repr(username) if known else "somebody who doesn't exist"
    logger.warning(
        "%d logins failed from %s, the last as %s: none is tried until the window ends.", most, address, name
    )


def digest(*parts: str) -> bytes:
    return operations.digest("\0".join(parts))


def address_of(request: HttpRequest) -> str:
    """Return who asks, as the proxies that are trusted tell it; of an IPv6 address its network."""
    told: str = request.META.get("REMOTE_ADDR", "")
    if proxies := settings.TRUSTED_PROXIES:
        forwarded = [each.strip() for each in request.headers.get("X-Forwarded-For", "").split(",") if each.strip()]
        # Each proxy appends whom it was asked by; what stands further left anybody may have written.
        told = WITHOUT_PORT.sub(r"\1\2", forwarded[-proxies]) if len(forwarded) >= proxies else told
    try:
        address = ipaddress.ip_address(told)
    except ValueError:
        return told[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed, NETWORK), strict=False))
    return str(address)
