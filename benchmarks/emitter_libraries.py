"""The contenders: how each is installed, registered and asked how much it recorded. As the docs of each recommend."""

import contextlib
import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

Call = Callable[[], object]

BARE = "bare Django"
AGAIN = "bare, again"
US = "heliograph"
US_SENDING = "heliograph, sending"
US_OUTBOX = "heliograph, outbox"


def nothing(*_: object) -> None:
    """Stand in for a step that a library doesn't need."""


def same(call: Call) -> Call:
    return call


def count_rows(library: "Library") -> int:
    from django.apps import apps

    return sum(apps.get_model(name)._base_manager.count() for name in library.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """One contender. ``package`` is what PyPI calls it; None for Django and for us.

    ``first`` and ``last`` are middleware before and after Django's own. ``settings`` may hold ``{sink}``, the sink's
    address. ``migrated`` completes the installation. ``around`` makes of a write what the library wants written.
    ``settle`` is called when a pass has ended. ``tables`` are the models that hold its records; ``recorded`` counts
    them.
    """

    name: str
    package: str | None = None
    python: bool = True  # False: works in the database
    apps: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    register: Callable[[type], object] = nothing
    migrated: Callable[[], object] = nothing
    around: Callable[[Call], Call] = same
    settle: Callable[[], None] = nothing
    tables: tuple[str, ...] = ()
    recorded: Callable[["Library"], int] = count_rows


def register_auditlog(model: type) -> None:
    from auditlog.registry import auditlog

    auditlog.register(model)


def register_simple_history(model: type) -> None:
    from simple_history import register

    register(model)


def register_pghistory(model: type) -> None:
    import pghistory

    pghistory.track(pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())(model)


def install_triggers() -> None:
    import pgtrigger

    pgtrigger.install()  # the shop has no migrations that would


def register_reversion(model: type) -> None:
    import reversion

    reversion.register(model)


def in_a_revision(call: Call) -> Call:
    """Return ``call`` in a revision of its own, as reversion's middleware puts a request's writes in one."""
    import reversion

    def revised() -> object:
        with reversion.create_revision():
            return call()

    return revised


def flush_heliograph() -> None:
    from emitter import outlet

    assert outlet.worker().flush(120), "the sink did not take the events"


def count_arrived(library: Library) -> int:
    """Ask the sink how many events this library has sent it."""
    from django.conf import settings

    address = urlsplit(settings.HELIOGRAPH_URL)
    with contextlib.closing(http.client.HTTPConnection(address.hostname or "", address.port)) as connection:
        connection.request("GET", address.path)
        return int(connection.getresponse().read())


def heliograph(name: str, **settings: Any) -> Library:
    return Library(
        name=name,
        apps=("emitter",),
        first=("emitter.middleware.HeliographMiddleware",),
        settings={"HELIOGRAPH_URL": "{sink}/" + name.replace(", ", "-"), "HELIOGRAPH_KEY": "bench", **settings},
        settle=flush_heliograph,
        recorded=count_arrived,
    )


LIBRARIES = [
    Library(name=BARE),
    Library(name=AGAIN),  # what two equal processes differ by: less than that is noise
    # Sends nothing until a pass has ended: what the caller's own thread pays.
    heliograph(US, HELIOGRAPH_INTERVAL=3600, HELIOGRAPH_BATCH_SIZE=1_000, HELIOGRAPH_QUEUE_SIZE=100_000),
    # Sends all the time, twenty times as often as by default, beside the caller's thread.
    heliograph(US_SENDING, HELIOGRAPH_INTERVAL=0.05, HELIOGRAPH_QUEUE_SIZE=100_000),
    # A row for each event, committed with what it tells of. Relayed by another process, as `heliograph_relay` does.
    replace(
        heliograph(US_OUTBOX, HELIOGRAPH_DELIVERY="outbox", HELIOGRAPH_OUTBOX_ATOMIC=True, HELIOGRAPH_RELAY="command"),
        settle=nothing,
        recorded=count_rows,
        tables=("heliograph.Waiting",),
    ),
    Library(
        name="auditlog",
        package="django-auditlog",
        apps=("auditlog",),
        last=("auditlog.middleware.AuditlogMiddleware",),
        register=register_auditlog,
        tables=("auditlog.LogEntry",),
    ),
    Library(
        name="simple-history",
        package="django-simple-history",
        apps=("simple_history",),
        last=("simple_history.middleware.HistoryRequestMiddleware",),
        register=register_simple_history,
        tables=("emitter_shop.HistoricalOrder",),
    ),
    Library(
        name="easy-audit",
        package="django-easy-audit",
        apps=("easyaudit",),
        last=("easyaudit.middleware.easyaudit.EasyAuditMiddleware",),
        tables=("easyaudit.CRUDEvent", "easyaudit.RequestEvent"),
    ),
    Library(
        name="reversion",
        package="django-reversion",
        apps=("reversion",),
        last=("reversion.middleware.RevisionMiddleware",),
        register=register_reversion,
        around=in_a_revision,
        tables=("reversion.Version",),
    ),
    Library(
        name="pghistory",
        package="django-pghistory",
        python=False,
        apps=("pgtrigger", "pghistory"),
        last=("pghistory.middleware.HistoryMiddleware",),
        register=register_pghistory,
        migrated=install_triggers,
        tables=("emitter_shop.OrderEvent",),
    ),
]


def named(name: str) -> Library:
    return next(library for library in LIBRARIES if library.name == name)
