"""The statistics that the API's documentation shows."""

from drf_spectacular.utils import OpenApiExample

SAVED = "django.db.models.signals.post_save"


def shown(name: str, value: object) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=["200"])


HISTOGRAM = shown(
    "Two days by action",
    {
        "interval": "day",
        "time__gte": "2026-11-19T00:00:00.000000Z",
        "time__lt": "2026-11-21T00:00:00.000000Z",
        "count": 1530,
        "times": ["2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z"],
        "counts": [702, 828],
        "group_by": "action",
        "groups": [
            {"value": "updated", "count": 1100, "counts": [500, 600]},
            {"value": "created", "count": 400, "counts": [200, 200]},
        ],
        "others": {"count": 30, "counts": [2, 28]},
    },
)
TOP = shown(
    "The senders of most events",
    {
        "by": "sender",
        "time__gte": "2026-10-22T00:00:00.000000Z",
        "time__lt": "2026-11-21T00:00:00.000000Z",
        "count": 2000,
        "values": 2,
        "results": [
            {"value": "shop.Order", "count": 1500, "share": 0.75},
            {"value": None, "count": 500, "share": 0.25},
        ],
    },
)
SIGNAL = shown(
    "Orders that were saved",
    {
        "type": SAVED,
        "sender": "shop.Order",
        "count": 1234,
        "first_seen": "2026-08-01T08:00:01.204117Z",
        "last_seen": "2026-11-20T10:15:00.000000Z",
        "last_hour": 12,
        "last_day": 480,
    },
)
