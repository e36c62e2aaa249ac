"""What ``manage.py heliograph_check`` finds of events that wait: in this process, in the spool, in the outbox."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, NamedTuple

from django.db import DatabaseError, connections, router

from emitter import leases, outbox, outlet, selection
from emitter.conf import conf
from emitter.folders import listing
from emitter.models import Waiting
from emitter.parking import ParkedFile

LONG = timedelta(minutes=5)  # that a row waits: more than a relay ever does between two attempts
SPOOL = "Have HELIOGRAPH_SPOOL name a directory, on a local disk, that the user of this process may write to."

Status = Literal["ok", "warning", "FAILED", "skipped"]


class Line(NamedTuple):
    """What one step found; ``todo`` is "" where there is nothing to do."""

    name: str
    status: Status
    detail: str
    todo: str = ""


def waiting() -> Iterator[Line]:
    """Tell of this process, and of the spool and the outbox where the settings have one."""
    yield delivery()
    if conf.spool:
        yield from spool(Path(conf.spool))
    if conf.delivery == "outbox":
        for alias in sorted({router.db_for_write(model) for model in selection.models()}):
            yield from rows(alias)


def delivery() -> Line:
    """Tell what this process captured and lost; the service knows of the others (``GET emitters/``)."""
    counts = outlet.report()
    captured, lost = counts["captured"], sum(outlet.worker().counts.values())
    detail = f"this process captured {captured} events and lost {lost}"
    if lost:
        reasons = ", ".join(f"{name} {count}" for name, count in outlet.worker().counts.items() if count)
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
    tried = f", tried {found.attempts} times at the most" if found.attempts else ""
    detail = f"{using!r}: {found.waiting} events wait{age}{tried}"
    if found.oldest is not None and found.oldest >= LONG:
        todo = (
            "Does the log heliograph say why? Does manage.py heliograph_relay run, or a process with a thread for it? "
            f"manage.py heliograph_outbox failing --database={using} lists what was tried in vain."
        )
        yield Line("outbox", "warning", detail, todo)
    else:
        yield Line("outbox", "ok", detail)
    if found.dead:
        todo = f"manage.py heliograph_outbox dead --database={using} says why; requeue has them sent again."
        yield Line("dead", "warning", f"{using!r}: {found.dead} events were refused", todo)
    else:
        yield Line("dead", "ok", f"{using!r}: no event was refused")
