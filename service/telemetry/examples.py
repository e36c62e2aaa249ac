"""The emitter that the API's documentation shows."""

from drf_spectacular.utils import OpenApiExample

EMITTER_ID = "0b9c7a52-4f1e-4d0a-9a55-6c1f2e7d8b30"

TOLD = {
    "emitterid": EMITTER_ID,
    "source": "/shop/web",
    "started": "2026-11-20T08:00:00.000000Z",
    "time": "2026-11-20T10:15:00.000000Z",
    "versions": {"emitter": "0.1.0", "python": "3.12.1", "django": "5.2.1"},
    "host": "web-1",
    "pid": 123,
    "delivery": "memory",
    "captured": 1234,
    "queued": 12,
    "spooled": 0,
    "lost": {"queue_full": 3},
    "unsent": {"no_op": 5, "masked": 7},
    "ended": False,
}
SHOWN = {
    **{name: value for name, value in TOLD.items() if name != "time"},
    "first_seen": "2026-11-20T08:00:01.204117Z",
    "last_seen": "2026-11-20T10:15:00.412873Z",
    "clock_skew": 0.412873,
    "stored": 1217,
    "missing": 2,
    "gaps": [[411, 415], [1223, 1234]],
}

REPORT = OpenApiExample("A web process", value=TOLD, request_only=True)
EMITTER = OpenApiExample("A web process that lost two events", value=SHOWN, response_only=True, status_codes=["200"])
ID = OpenApiExample("The emitter of the example that reports", value=EMITTER_ID)
