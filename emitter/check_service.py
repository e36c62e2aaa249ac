"""Tries out the way to the service, step by step: what ``manage.py heliograph_check`` says.

Each step says what it found and, where that is bad, what to do. No line holds the key or a proxy's password: what the
other side says comes through the transport, which takes them out.
"""

import platform
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import urllib3.exceptions
from django.core.checks import ERROR, WARNING
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from emitter import outlet
from emitter.answers import Meta
from emitter.check_waiting import Line, waiting
from emitter.checks import check_configuration
from emitter.conf import conf
from emitter.event import Event, Result, stamp
from emitter.exceptions import ConfigurationError, DeliveryError, PermanentError
from emitter.transport import HttpTransport

SKEWED = 60.0  # seconds between the clocks from which on a trail is hard to read
REFUSED = 86_400.0  # seconds ahead from which on the service refuses events

# What to do, by what went wrong; the first that fits, as some of these are kinds of others.
REMEDIES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (
        (NameResolutionError, LocationParseError, UnicodeError),
        "DNS knows no such name: is HELIOGRAPH_URL spelled right, and can this machine look it up?",
    ),
    (
        (SSLError, ssl.SSLError),
        "TLS can't be agreed on: does that port speak https? Does it ask for a certificate (HELIOGRAPH_CLIENT_CERT)?",
    ),
    ((ConfigurationError,), "Mend HELIOGRAPH_CA_FILE or HELIOGRAPH_CLIENT_CERT."),
    (
        (NewConnectionError, ConnectionRefusedError),
        "Nothing listens there: is the service running, and the port right?",
    ),
    (
        (ConnectTimeoutError,),
        "Nothing answers there within HELIOGRAPH_CONNECT_TIMEOUT: does a firewall keep us from it?",
    ),
    (
        (urllib3.exceptions.TimeoutError, TimeoutError),
        "It is there and doesn't answer within HELIOGRAPH_TIMEOUT: see the service's log, or give it longer.",
    ),
)


def lines() -> Iterator[Line]:
    """Take the steps, each when it is asked for. The last ones send an event, ``heliograph.check``, twice."""
    yield from settings()
    yield from way()
    yield from waiting()


def settings() -> Iterator[Line]:
    messages = [each for each in check_configuration() if each.level >= WARNING and not each.is_silenced()]
    for each in messages:
        yield Line(
            "settings", "FAILED" if each.level >= ERROR else "warning", f"{each.msg} ({each.id})", each.hint or ""
        )
    if not messages:
        yield Line("settings", "ok", "nothing to complain about")


def way() -> Iterator[Line]:
    if not conf.url:
        todo = "Set HELIOGRAPH_URL to the address of your service, and HELIOGRAPH_KEY to a key of it."
        yield Line("address", "FAILED", "HELIOGRAPH_URL is not set, so nothing is captured.", todo)
        yield from skipped("service", "key", "clock", "event", "again")
        return
    try:
        transport = outlet.make_http_transport()
    except ConfigurationError as error:
        yield Line("address", "FAILED", str(error), "Mend the setting: see the lines before.")
        yield from skipped("service", "key", "clock", "event", "again")
        return
    yield from meeting(transport)


def skipped(*names: str) -> Iterator[Line]:
    for name in names:
        yield Line(name, "skipped", "needs what failed before")


def meeting(transport: HttpTransport) -> Iterator[Line]:
    """Ask the service what it is, then send it something."""
    through = f" through the proxy {transport.proxy}" if transport.proxy else ""
    began = datetime.now(UTC)
    started = time.monotonic()
    try:
        meta = transport.meta()
    except DeliveryError as error:
        if not error.status:
            yield Line("address", "FAILED", str(error), remedy(error, transport))
            yield from skipped("service", "key", "clock", "event", "again")
            return
        yield Line("address", "ok", f"{conf.url} answers{through}")
        yield from unwelcome(error)
        if error.status in {401, 403}:
            yield from skipped("event", "again")
            return
    else:
        taken = time.monotonic() - started
        yield Line("address", "ok", f"{conf.url} answers{through}, in {taken * 1000:.0f} ms")
        yield Line("service", "ok", f"a Heliograph service, version {meta.version}")
        yield Line("key", "ok", "is one of the service's")
        yield clock(meta, began.timestamp() + taken / 2)
    yield from there_and_back(transport)


def unwelcome(error: DeliveryError) -> Iterator[Line]:
    """Say what an answer means that isn't the one to ``GET meta/``."""
    match error.status:
        case 401 | 403:
            yield Line("service", "ok", "asks for a key")
            todo = (
                "Make one with the service's manage.py create_key, scope events:write, and put it into HELIOGRAPH_KEY."
            )
            yield Line("key", "FAILED", f"{error}", todo)
        case status if 300 <= status <= 399:
            yield Line(
                "service", "FAILED", f"{error}", "Set HELIOGRAPH_URL to where it leads, as https:// if it says so."
            )
            yield from skipped("key")
        case 200 | 404 | 405:
            todo = (
                "Something else answers there, or a service too old to tell: is HELIOGRAPH_URL the address of its"
                " first page, with the path where it lives below one?"
            )
            yield Line("service", "FAILED", f"{error}", todo)
            yield from skipped("key")
        case _:
            todo = "The service, or what stands before it, has trouble: see its log. Events wait and are sent again."
            yield Line("service", "FAILED", f"{error}", todo)
            yield from skipped("key")
    yield from skipped("clock")


def remedy(error: DeliveryError, transport: HttpTransport) -> str:
    """Say what to do about a service that can't be reached, for each way in which that can be."""
    found = list(causes(error))
    said = " ".join(str(each) for each in found)
    if "Tunnel connection failed" in said or any(isinstance(each, ProxyError) for each in found):
        return proxys_remedy(said, transport.proxy)
    if "verify failed" in said:
        return "TLS: the certificate isn't trusted. HELIOGRAPH_CA_FILE names that of an authority of your own."
    for kinds, todo in REMEDIES:
        if any(isinstance(each, kinds) for each in found):
            return todo
    return "It hangs up or speaks something else than HTTP: is the port right? Is it https:// that it wants?"


def proxys_remedy(said: str, proxy: str) -> str:
    if "407" in said:
        return f"The proxy {proxy} asks for another user and password: HELIOGRAPH_PROXY, or HTTPS_PROXY."
    return f"The proxy {proxy} is in the way: is it right, and may it lead there? HELIOGRAPH_PROXY = '' does without."


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that led to this one, of which urllib3 keeps some as an argument of another."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, *(arg for arg in each.args if isinstance(arg, BaseException))]


def clock(meta: Meta, ours: float) -> Line:
    try:
        moment = datetime.fromisoformat(meta.time)
        ahead = ours - moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return Line("clock", "FAILED", "The service tells no time that could be read.", "See the service's log.")
    detail = f"ours is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the service's"
    todo = "Have both machines keep time (NTP): the times of your events are those of this machine."
    if abs(ahead) >= REFUSED:
        return Line("clock", "FAILED", f"{detail}: events are refused from a day on", todo)
    if abs(ahead) >= SKEWED:
        return Line("clock", "warning", detail, todo)
    return Line("clock", "ok", detail)


def there_and_back(transport: HttpTransport) -> Iterator[Line]:
    """Send an event, and again: a key to write can't read, but a duplicate is what the service has stored."""
    identity, moment = stamp()
    event = Event(
        id=identity,
        time=moment,
        source=conf.source or outlet.default_source(),
        type="heliograph.check",
        data={"host": platform.node()},
    )
    first = sent(transport, event)
    if isinstance(first, Line):
        yield first
        yield from skipped("again")
    elif first.errors:
        refusal = first.errors[0]
        todo = "The clock is wrong, here or there." if refusal.code == "id_out_of_range" else "See the service's log."
        yield Line("event", "FAILED", f"refused, as {refusal.code}: {refusal.detail}", todo)
        yield from skipped("again")
    else:
        yield Line("event", "ok", f"heliograph.check {identity} was taken, so the key may write")
        yield again(transport, event)


def again(transport: HttpTransport, event: Event) -> Line:
    second = sent(transport, event)
    if isinstance(second, Line):
        return second._replace(name="again")
    if second.duplicates == 1:
        return Line("again", "ok", "sent again it is a duplicate, so it is stored")
    todo = "Its database may have been put back in between, or something answers in its place. See the service's log."
    return Line("again", "FAILED", "The service took the event and doesn't know it.", todo)


def sent(transport: HttpTransport, event: Event) -> Result | Line:
    try:
        return transport.send([event])
    except PermanentError as error:
        todo = "See the service's log."
        if error.status == 401:
            todo = "Make a key with the service's manage.py create_key, and put it into HELIOGRAPH_KEY."
        elif error.status == 403:
            todo = "The key lacks the scope events:write: make another with the service's manage.py create_key."
        elif error.status == 404:
            todo = "Is HELIOGRAPH_URL the address of the service's first page?"
        return Line("event", "FAILED", str(error), todo)
    except DeliveryError as error:
        if error.status:
            return Line("event", "FAILED", str(error), "The service has trouble: see its log. Events are sent again.")
        return Line("event", "FAILED", str(error), remedy(error, transport))
