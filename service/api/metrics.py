"""What is counted for Prometheus. No label names a project or anything that a client could make up."""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service.api.calls import Call

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter("heliograph_requests", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "heliograph_request_seconds",
    "From a request's head to its answer's end.",
    ["method", "route"],
    buckets=BUCKETS,
)
IN_FLIGHT = Gauge("heliograph_requests_in_flight", "Requests begun and not answered.", multiprocess_mode="livesum")
CUT = Counter("heliograph_answers_cut", "Answers whose client left or didn't read, or that failed half-way.")
OVERLOADED = Counter("heliograph_overloaded", "Requests refused because too much was under way.")
BODY_BYTES = Counter("heliograph_body_bytes", "Bytes of bodies read, as they came on the wire.")
UNRECORDED_READS = Counter("heliograph_unrecorded_reads", "Reads of events that could not be recorded.")
DATABASE_ERRORS = Counter("heliograph_database_errors", "Requests that the database didn't answer.")
EVENTS = Counter("heliograph_events", "Events taken in, by what became of them.", ["outcome"])
for outcome in ("accepted", "duplicate", "rejected"):
    EVENTS.labels(outcome)  # told as 0 before the first


def count_request(call: Call) -> None:
    """Count a request that ended. One that no address of ours matched has no route."""
    method = call.method if call.method in METHODS else "other"
    REQUESTS.labels(method, call.route, call.status).inc()
    SECONDS.labels(method, call.route).observe(call.duration)
    if call.is_cut:
        CUT.inc()


def count_events(accepted: int, duplicates: int, rejected: int) -> None:
    for name, count in (("accepted", accepted), ("duplicate", duplicates), ("rejected", rejected)):
        if count:
            EVENTS.labels(name).inc(count)


def exposition() -> bytes:
    """Return the metrics of all processes of this server, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
