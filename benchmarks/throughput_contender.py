"""One contender of ``make bench-throughput``, in a process of its own that lives as long as the run.

Started as ``python -m benchmarks.throughput_contender NUMBER ADDRESS FILE``; reads one turn a line, a JSON list of how
many events to capture and how many may be on their way, and answers with what came of it.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.throughput_sink import NAMES, Arrivals

PAYLOAD: dict[str, Any] = {
    "number": "2026-000184",
    "status": "paid",
    "currency": "EUR",
    "total": 129.95,
    "items": 3,
    "customer": "Jane Austen",
    "city": "Winchester",
    "express": False,
    "placed": "2026-11-22T13:27:58.964686Z",
    "note": "Please leave it with the neighbours at number 8, they are in until six o'clock.",
}
PATIENCE = 3.0  # seconds without an arrival after which what is missing counts as lost

Capture = Callable[[], object]

Started = tuple[Capture, Callable[[], object], Callable[[], int]]  # to capture, to flush, and to ask what it lost


def start_heliograph(address: str) -> Started:
    import django
    from django.conf import settings

    from benchmarks.emitter_shop.signals import order_paid

    settings.configure(
        INSTALLED_APPS=["emitter"],
        HELIOGRAPH_URL=address,
        HELIOGRAPH_KEY="hg_bench",
        HELIOGRAPH_SIGNALS=[],
        HELIOGRAPH_CUSTOM_SIGNALS=["benchmarks.emitter_shop.signals.order_paid"],
    )
    django.setup()
    import emitter

    def told_lost() -> int:
        counts = emitter.counts()
        return sum(counts.get(reason, 0) for reason in ("queue_full", "failed_permanently", "refused", "spool_full"))

    return lambda: order_paid.send(sender=None, **PAYLOAD), lambda: emitter.flush(30), told_lost


def start_posthog(address: str) -> Started:
    from posthog import Posthog

    client = Posthog("phc_bench", host=address)
    refused = 0

    def capture() -> None:
        nonlocal refused
        refused += client.capture("order_paid", distinct_id="7", properties=PAYLOAD) is None

    return capture, client.flush, lambda: refused


def start_sentry(address: str) -> Started:
    import sentry_sdk

    sentry_sdk.init(dsn=dsn(address), default_integrations=False)
    event: Any = {"message": "order_paid", "level": "info", "extra": PAYLOAD}
    return lambda: sentry_sdk.capture_event(dict(event)), lambda: sentry_sdk.flush(timeout=30), lambda: 0


def start_sentry_logs(address: str) -> Started:
    import sentry_sdk
    from sentry_sdk import logger

    sentry_sdk.init(dsn=dsn(address), default_integrations=False, enable_logs=True)
    return (
        lambda: logger.info("order_paid", attributes=PAYLOAD),
        lambda: sentry_sdk.flush(timeout=30),
        lambda: 0,  # said in reports to the sink
    )


def dsn(address: str) -> str:
    return f"{address.replace('://', '://key@')}/1"


START = {
    "heliograph": start_heliograph,
    "posthog": start_posthog,
    "sentry events": start_sentry,
    "sentry logs": start_sentry_logs,
}


def compete(number: int, address: str, path: str) -> None:
    """Read one turn a line, take it, and print what came of it."""
    arrivals = Arrivals(path)
    capture, flush, told_lost = START[NAMES[number]](f"{address}/{number}")
    print("ready", flush=True)
    for line in sys.stdin:
        events, window = json.loads(line)
        lost_before = told_lost() + arrivals.read(number)[1]
        turn = take_turn(capture, flush, lambda: arrivals.read(number)[0], events, window)
        turn["told_lost"] = told_lost() + arrivals.read(number)[1] - lost_before
        print(json.dumps(turn), flush=True)


def take_turn(
    capture: Capture, flush: Callable[[], object], arrived: Callable[[], int], events: int, window: int
) -> dict[str, Any]:
    before = arrived()
    work, threads = time.thread_time(), thread_seconds()
    start = time.perf_counter()
    for done in range(1, events + 1):
        capture()
        if done % 10 == 0 and done - (arrived() - before) > window:
            wait_until(lambda: done - (arrived() - before) <= window, arrived)  # noqa: B023  # called at once
    capture_seconds = time.thread_time() - work
    flush()
    wait_until(lambda: arrived() - before >= events, arrived)
    seconds = time.perf_counter() - start
    flush()  # a report of losses found no place in a full queue
    return {
        "captured": events,
        "arrived": arrived() - before,
        "seconds": seconds - (PATIENCE if arrived() - before < events else 0),
        "capture_seconds": capture_seconds,
        "thread_seconds": thread_seconds() - threads,
    }


def wait_until(done: Callable[[], bool], progress: Callable[[], int]) -> None:
    """Wait, but not longer than `PATIENCE` seconds for any next arrival."""
    last, deadline = progress(), time.perf_counter() + PATIENCE
    while not done() and time.perf_counter() < deadline:
        time.sleep(0.0005)
        if (now := progress()) != last:
            last, deadline = now, time.perf_counter() + PATIENCE


def thread_seconds() -> float:
    """Return the processor time of all threads but this one."""
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(each.ident)) for each in others if each.ident)


if __name__ == "__main__":
    compete(int(sys.argv[1]), *sys.argv[2:])
