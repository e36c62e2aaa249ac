"""Tries out the way to the service, step by step: what ``manage.py heliograph_check`` says.

Each step says what it found and, where that is bad, what to do. No line holds the key or a proxy's password: what the
other side says comes through the transport, which takes them out.
"""

import os
import platform
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, NamedTuple

import urllib3.exceptions
from django.core.checks import ERROR, WARNING
from django.db import DatabaseError, connections, router
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from emitter import leases, outbox, pipeline, selection
from emitter.checks import check_configuration
from emitter.conf import conf
from emitter.event import Event, Result, stamp
from emitter.exceptions import ConfigurationError, DeliveryError, PermanentError
from emitter.models import Waiting
from emitter.parking import ParkedFile
from emitter.spool import listing
from emitter.transport import HttpTransport, Meta

SKEWED = 60.0  # seconds between the clocks from which on a trail is hard to read
REFUSED = 86_400.0  # seconds ahead from which on the service refuses events
LONG = timedelta(minutes=5)  # that a row waits: more than a relay ever does between two attempts

SPOOL = "Have HELIOGRAPH_SPOOL name a directory, on a local disk, that the user of this process may write to."

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

Status = Literal["ok", "warning", "FAILED", "skipped"]


class Line(NamedTuple):
    """What one step found; ``todo`` is "" where there is nothing to do."""

    name: str
    status: Status
    detail: str
    todo: str = ""


def lines() -> Iterator[Line]:
    """Take the steps, each when it is asked for. The last ones send an event, ``heliograph.check``, twice."""
    yield from settings()
    yield from way()
    yield delivery()
    if conf.spool:
        yield from spool(Path(conf.spool))
    if conf.delivery == "outbox":
        for alias in sorted({router.db_for_write(model) for model in selection.models()}):
            yield from rows(alias)


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
        transport = pipeline.make_http_transport()
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
        source=conf.source or pipeline.default_source(),
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


def delivery() -> Line:
    """Tell what this process captured and lost; the service knows of the others (``GET emitters/``)."""
    counts = pipeline.report()
    captured, lost = counts["captured"], sum(pipeline.worker().counts.values())
    detail = f"this process captured {captured} events and lost {lost}"
    if lost:
        reasons = ", ".join(f"{name} {count}" for name, count in pipeline.worker().counts.items() if count)
        return Line("delivery", "warning", f"{detail}: {reasons}", "See the log heliograph.")
    return Line("delivery", "ok", detail)


def spool(directory: Path) -> Iterator[Line]:
    """Tell what waits in the spool of all processes, and what the service refused."""
    try:
        found = list(listing(directory)) if directory.exists() else []
        parked = ParkedFile(directory).read()
        is_usable = may_write(directory)
    except OSError as error:
        yield Line("spool", "FAILED", f"{error}: events wait in memory only.", SPOOL)
        return
    if not is_usable:
        yield Line("spool", "FAILED", f"{directory} can't be written to: events wait in memory only.", SPOOL)
        return
    events = sum(number for _, number, _, _ in found)
    size = sum(size for _, _, size, _ in found)
    detail = f"{directory} can be used by this user, and {events} events wait there, {size} bytes"
    if size >= conf.spool_bytes * 0.9:
        yield Line(
            "spool", "warning", detail, "It is almost full: bring the service back, or raise HELIOGRAPH_SPOOL_BYTES."
        )
    else:
        yield Line("spool", "ok", detail)
    if parked:
        codes = ", ".join(sorted({each.code for each in parked}))
        todo = "manage.py heliograph_spool list says why; requeue has them sent again, purge deletes them."
        yield Line("parked", "warning", f"{len(parked)} events were refused ({codes})", todo)
    else:
        yield Line("parked", "ok", "no event was refused")


def may_write(directory: Path) -> bool:
    """Tell whether who runs this can use the directory. One that isn't there is left to whom it shall belong to."""
    if directory.exists():
        with TemporaryFile(dir=directory):
            return True
    there = next(each for each in directory.absolute().parents if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def rows(using: str) -> Iterator[Line]:
    """Tell what waits in a database's outbox, and what the service refused."""
    try:
        with outbox.at_work():
            if Waiting._meta.db_table not in connections[using].introspection.table_names():
                todo = f"Run manage.py migrate heliograph --database={using}"
                yield Line("outbox", "FAILED", f"{using!r} has none, so that its events leave from memory.", todo)
                return
            found = leases.summary(using)
    except DatabaseError as error:
        todo = f"Is the database there, and migrated? manage.py migrate heliograph --database={using}"
        yield Line("outbox", "FAILED", f"{using!r}: {' '.join(str(error).split())}", todo)
        return
    age = f", the oldest for {str(found.oldest).partition('.')[0]}" if found.oldest is not None else ""
    detail = f"{using!r}: {found.waiting} events wait{age}"
    if found.oldest is not None and found.oldest >= LONG:
        todo = (
            "Does the log heliograph say why? Does manage.py heliograph_relay run, or a process with a thread for it?"
        )
        yield Line("outbox", "warning", detail, todo)
    else:
        yield Line("outbox", "ok", detail)
    if found.dead:
        todo = f"manage.py heliograph_outbox dead --database={using} says why; requeue has them sent again."
        yield Line("dead", "warning", f"{using!r}: {found.dead} events were refused", todo)
    else:
        yield Line("dead", "ok", f"{using!r}: no event was refused")
