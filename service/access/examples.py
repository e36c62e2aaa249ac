"""The key and the project that the API's documentation shows."""

from drf_spectacular.utils import OpenApiExample

from service.events.examples import LATER, TIME

SHOWN = {
    "id": 7,
    "prefix": "hg_4Fh2kQz9",
    "label": "shop, web",
    "scopes": ["events:write"],
    "rate_limit": None,
    "created": "2026-11-20T10:15:00.412873Z",
    "last_used": None,
    "expires": LATER,
    "revoked": None,
    "successor": None,
}

NEW = OpenApiExample(
    "A key to send events with",
    value={"label": "shop, web", "scopes": ["events:write"], "expires": LATER},
    request_only=True,
)
LABEL = OpenApiExample("Where it is used now", value={"label": "shop, all of it"}, request_only=True)
ROTATION = OpenApiExample("A day for all who use it", value={"overlap": 86_400}, request_only=True)
RETENTION = OpenApiExample("As long as the service keeps any", value={"retention_days": None}, request_only=True)
KEY = OpenApiExample("A key to send events with", value=SHOWN, response_only=True, status_codes=["200"])
MADE = OpenApiExample("A new key", value={"token": "hg_4Fh2kQz9…", **SHOWN}, response_only=True, status_codes=["201"])
ID = OpenApiExample("A key of the list", value=7)
PROJECT = OpenApiExample(
    "As its key sees it",
    value={
        "name": "shop",
        "created": TIME,
        "role": None,
        "scopes": ["events:read"],
        "retention_days": 365,
    },
    response_only=True,
    status_codes=["200"],
)
NAME = OpenApiExample("A project of the list", value="shop")
