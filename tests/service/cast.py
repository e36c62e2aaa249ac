"""What the service's tests are played with: fresh and valid events, and clients that have a key or are logged in."""

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.test import Client
from django.utils import timezone

EVENTS = "/api/v1/events/"
TELEMETRY = "/api/v1/telemetry/"
EMITTERS = "/api/v1/emitters/"
PROBLEM = "application/problem+json"


def uuid7(moment: datetime | None = None) -> UUID:
    """Return a new UUIDv7 of ``moment``, by default of now."""
    milliseconds = int((moment or timezone.now()).timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62))


def event(**attributes: Any) -> dict[str, Any]:
    """Return a valid event with a fresh id; an attribute that is given as None is left out."""
    whole = {"specversion": "1.0", "id": str(uuid7()), "source": "/shop/web", "type": "shop.signals.order_paid"}
    return {name: value for name, value in (whole | attributes).items() if value is not None}


def numbered(emitter: object, *numbers: int, **attributes: Any) -> list[dict[str, Any]]:
    """Return fresh events of ``emitter`` with these sequence numbers."""
    return [event(emitterid=str(emitter), sequence=str(number), **attributes) for number in numbers]


def report(emitter: object, **members: Any) -> dict[str, Any]:
    """Return a valid report of ``emitter``; a member that is given as ... is left out."""
    now = timezone.now().isoformat()
    whole = {"emitterid": str(emitter), "source": "/shop/web", "started": now, "time": now, "captured": 0} | members
    return {name: value for name, value in whole.items() if value is not ...}


def raw_event(**members: str | None) -> bytes:
    """Return a valid event as bytes, with members whose JSON is given as text; None leaves one out."""
    whole = {name: json.dumps(value) for name, value in event().items()} | members
    pairs = [f"{json.dumps(name)}: {text}" for name, text in whole.items() if text is not None]
    return ("{" + ", ".join(pairs) + "}").encode()


def problem(answer: Any, status: int, code: str, named: str | None = None) -> dict[str, Any]:
    """Return the problem document of ``answer``, which has to be as RFC 9457 and the contract want it."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == PROBLEM
    document: dict[str, Any] = json.loads(answer.content)
    assert document.keys() - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert document["type"] == f"urn:heliograph:problem:{code}"
    assert document["status"] == status
    assert document["code"] == code
    assert document["title"]
    assert document["detail"]
    assert "{" not in document["title"]
    if named is not None:
        assert [error["field"] for error in document["errors"]] == [named]
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API as the holder of ``key`` meets it, or who is logged in with ``client`` and asks about ``project``."""

    key: str | None
    project: str | None = None
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def send(self, content: object, media_type: str = "application/json", **headers: str) -> Any:
        """POST ``content``: bytes as they are, anything else as JSON. ``Content_Encoding`` is a header's name too."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.call("POST", EVENTS, body, media_type, **headers)

    def list(self, **parameters: object) -> Any:
        return self.client.get(EVENTS, parameters, headers=self.headers())

    def tell(self, content: object, media_type: str = "application/json", **headers: str) -> Any:
        """POST a report: bytes as they are, anything else as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.call("POST", TELEMETRY, body, media_type, **headers)

    def told(self, emitter: object, **members: Any) -> None:
        """POST a report of ``emitter``, which has to be taken."""
        answer = self.tell(report(emitter, **members))
        assert (answer.status_code, answer.content) == (204, b""), answer.content

    def emitters(self, **parameters: object) -> Any:
        """Return the first page of emitters."""
        answer = self.client.get(EMITTERS, parameters, headers=self.headers())
        assert answer.status_code == 200, answer.content
        return answer.json()["results"]

    def emitter(self, emitter: object) -> Any:
        answer = self.get(f"{EMITTERS}{emitter}/")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def read(self, event_id: object) -> Any:
        return self.get(f"{EVENTS}{event_id}/")

    def get(self, address: str, **headers: str) -> Any:
        return self.client.get(address, headers=self.headers(headers))

    def call(self, method: str, address: str, body: bytes = b"", media_type: str = "", **headers: str) -> Any:
        return self.client.generic(method, address, body, media_type, headers=self.headers(headers))

    def headers(self, given: dict[str, str] | None = None) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in (given or {}).items()}
        own = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        about = {} if self.project is None else {"Heliograph-Project": self.project}
        return own | about | named

    def listed(self, **parameters: object) -> "list[str]":
        """Return the ids of the first page."""
        answer = self.list(**parameters)
        assert answer.status_code == 200, answer.content
        return [each["id"] for each in answer.json()["results"]]
