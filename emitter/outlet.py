"""The way out of this process: its one worker, what is brought to that, and its relays, made as the settings say."""

import platform
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import django
from django.conf import settings

from emitter import ends, forks, outbox, privacy
from emitter.complaints import complain
from emitter.conf import conf
from emitter.event import Event, Limits, Result, Telemetry
from emitter.exceptions import ConfigurationError, PermanentError
from emitter.intake import Intake
from emitter.transport import HttpTransport, release
from emitter.worker import About, Transport, Worker

if TYPE_CHECKING:
    from emitter.relay import Relay

# What was seen and not sent, by reason: "no_op", "hole", "transaction_full", "thinned", "before_fork".
counts: Counter[str] = Counter()

_lock = threading.RLock()  # reentrant: a signal handler may save a model while its own thread is in here
_worker: Worker | None = None


def accept(event: Event) -> None:
    """Queue a complete ``event``. Never raises, as it may be any thread that does so."""
    try:
        (_worker or worker()).put(event)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("put", "An event could not be queued", error)


def wake() -> None:
    if not ends.is_before_forks_of_uwsgi():
        worker().start()


intake = Intake(accept, wake)
work = intake.work  # queue what was captured until now


def worker() -> Worker:
    """Return this process's worker, made on first use."""
    global _worker  # noqa: PLW0603  # one worker a process is the point
    if _worker is None:
        with _lock:
            if _worker is None:
                _worker = make_worker()
    return _worker


def begin_in_child() -> None:
    """Take a new lock, as a thread that isn't there may hold the parent's, and count anew."""
    global _lock  # noqa: PLW0603  # it guards the one worker a process
    _lock = threading.RLock()
    for each in (counts, outbox.counts, privacy.counts):
        each.clear()


forks.in_child(begin_in_child)


def make_worker() -> Worker:
    made = Worker(
        make_transport(),
        gather=work,
        queue_size=conf.queue_size,
        queue_bytes=conf.queue_bytes,
        priorities=conf.priorities,
        batch_size=conf.batch_size,
        interval=conf.interval,
        shutdown_timeout=conf.shutdown_timeout,
        spool=conf.spool,
        spool_bytes=conf.spool_bytes,
        telemetry_interval=conf.telemetry_interval,
        about=About(
            source=conf.source or default_source(),
            versions=versions(),
            delivery=conf.delivery,
            unsent=unnumbered_counts,
        ),
    )
    ends.before(close)
    ends.warn_without_threads()
    return made


def unnumbered_counts() -> dict[str, int]:
    """Return how much was seen and has no sequence number, by reason; ``outbox`` are those that are rows."""
    return {**counts, **privacy.counts, **{name: outbox.counts[name] for name in ("outbox", "dead_letters")}}


@cache
def default_source() -> str:
    """Return the project's name, as its URL configuration or settings module tell it."""
    module: str = getattr(settings, "ROOT_URLCONF", None) or settings.SETTINGS_MODULE or "django"
    return f"/{module.partition('.')[0]}"


def versions() -> dict[str, str]:
    return {"emitter": release(), "python": platform.python_version(), "django": django.__version__}


def make_http_transport() -> HttpTransport:
    """Return what the settings describe; raise ConfigurationError where they can't be right."""
    return HttpTransport(
        conf.url,
        conf.key.strip(),
        timeout=conf.timeout,
        connect_timeout=conf.connect_timeout,
        proxy=conf.proxy,
        ca_file=conf.ca_file,
        client_cert=conf.client_cert,
    )


def make_transport() -> Transport:
    try:
        return make_http_transport()
    except ConfigurationError as error:
        return Unusable(error)


class Unusable:
    """Stands for a transport where the settings allow none: what is sent is lost, counted and told."""

    limits = Limits()

    def __init__(self, error: ConfigurationError) -> None:
        self.error = error

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result:
        raise PermanentError(f"{self.error} See manage.py check.", status=0)

    def report(self, telemetry: Telemetry, *, timeout: float | None = None) -> None:
        raise PermanentError(f"{self.error} See manage.py check.", status=0)

    def reset(self) -> None:
        pass


def relay_from(using: str) -> None:
    """See to it that this process relays the outbox of a database, unless a command does. Never raises.

    Where uWSGI is going to fork, no thread may run: the rows wait for the first that a worker writes.
    """
    try:
        if ends.is_before_forks_of_uwsgi():
            return
        worker().start()  # which tells the service of this process
        if conf.relay == "thread":
            # They import models, and this module may be there before the apps are.
            from emitter import relay, relays

            relays.wake(using, lambda: make_relay(using, poll=relay.POLL))
    except Exception as error:  # noqa: BLE001  # no thread is to be had, as while Python ends: another process will
        complain("relay", "The outbox could not be relayed from this process", error)


def make_relay(using: str, poll: float) -> "Relay":
    from emitter.relay import Relay

    return Relay(
        using,
        make_transport(),
        batch_size=conf.batch_size,
        lease=conf.outbox_lease,
        interval=conf.interval,
        poll=poll,
    )


def close() -> None:
    """Send what was captured, for as long as an exit may take, and take no more: this process is about to end.

    The worker and the relays have the same seconds.
    """
    if _worker is None:  # which whoever starts a relay has started before
        return
    deadline = time.monotonic() + conf.shutdown_timeout
    threads = stop_relays(conf.shutdown_timeout)
    _worker.close(conf.shutdown_timeout)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def stop_relays(seconds: float) -> "list[threading.Thread]":
    relays = sys.modules.get("emitter.relays")
    return [] if relays is None else relays.stop(seconds)


def flush(timeout: float = 5.0) -> bool:
    """Send what was captured until now; False when ``timeout`` seconds didn't do."""
    deadline = time.monotonic() + timeout
    is_sent = worker().flush(timeout)
    if is_sent and conf.delivery == "outbox":
        from emitter import relays

        return relays.flush(max(0.0, deadline - time.monotonic()))
    return is_sent


def report() -> dict[str, int]:
    """Return how many events this process has captured, and how many were not sent or lost, by reason.

    ``outbox`` are those that are rows, and don't count as captured: they have no number, since none gets lost.
    """
    work()
    return {"captured": worker().captured, **counts, **privacy.counts, **outbox.counts, **worker().counts}
