"""The operations of ``openapi.yaml``, and a client that calls them: for tests that cover the ones to come, too."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
import yaml
from urllib3.exceptions import ReadTimeoutError

from tests import live

DOCUMENT: dict[str, Any] = yaml.safe_load((live.ROOT / "openapi.yaml").read_text())
METHODS = ("get", "put", "post", "patch", "delete")
EVENT_STREAM = "text/event-stream"
STREAMED_FOR = 0.2  # seconds of silence, after which nothing of what was there before comes any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    path: str
    method: str
    told: Mapping[str, Any]

    def __str__(self) -> str:
        return str(self.told["operationId"])

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.told["x-scopes"])

    @property
    def endless(self) -> bool:
        return EVENT_STREAM in self.told["responses"].get("200", {}).get("content", {})

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.told.get("parameters", ()) if each["in"] == place}

    def address(self, values: Mapping[str, str]) -> str:
        """Return its path with ``values`` in it; raises KeyError for a part that has none."""
        return re.sub(r"\{(\w+)\}", lambda part: quote(values[part[1]], safe=""), self.path)


def operations(document: Mapping[str, Any] = DOCUMENT) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            if method in METHODS:
                yield Operation(path=path, method=method.upper(), told=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    media_type: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Calls the live service, with or without a key, or as who ``said`` tells that he is."""

    url: str
    http: urllib3.PoolManager
    authorization: str | None = None
    said: Mapping[str, str] = field(default_factory=dict)

    def call(
        self,
        operation: Operation,
        path: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        body: object = None,
        method: str = "",
    ) -> Answer:
        return self.ask(
            method or operation.method, operation.address(path), query or {}, body, endless=operation.endless
        )

    def ask(
        self, method: str, address: str, query: Mapping[str, str], body: object = None, *, endless: bool = False
    ) -> Answer:
        headers = {**self.said} | ({} if self.authorization is None else {"Authorization": self.authorization})
        answer = self.http.request(
            method,
            f"{self.url}{address}" + (f"?{urlencode(query)}" if query else ""),
            body=None if body is None else json.dumps(body).encode(),
            headers=headers | ({} if body is None else {"Content-Type": "application/json"}),
            timeout=urllib3.Timeout(connect=10, read=STREAMED_FOR if endless else 30),
            preload_content=False,
            redirect=False,
        )
        received = b"".join(chunks(answer, endless=endless and answer.status == 200))
        media_type = answer.headers.get("Content-Type", "")
        return Answer(status=answer.status, media_type=media_type, body=received.decode(errors="replace"))


def chunks(answer: Any, *, endless: bool) -> Iterator[bytes]:
    """Yield what comes; of a stream that doesn't end, until it is silent."""
    try:
        yield from answer.stream(4096)
    except ReadTimeoutError:
        if not endless:
            raise
    finally:
        answer.close() if endless else answer.release_conn()
