"""Sends batches of events to the service over HTTP and says what became of each event.

Knows the service's contract (`POST events/`, `POST telemetry/`, `GET meta/`), not where events come from nor when to
try again. Never logs.
"""

import encodings.idna  # noqa: F401  # connecting would import it, and a child forked meanwhile wait for that for ever
import gzip
import platform
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID

import msgspec
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from emitter.answers import Item, Meta, all_refused, decode_meta, decode_result, problem_of, redirection_of, refused_of
from emitter.connection import LONGEST_ANSWER, Answer, Connection
from emitter.event import EncodingErrors, Event, Limits, Refusal, Result, Telemetry, encode
from emitter.exceptions import ConfigurationError, DeliveryError, PermanentError, TemporaryError
from emitter.limits import Allowance
from emitter.retry import RETRY, Retry, parse_retry_after

__all__ = ["LONGEST_ANSWER", "HttpTransport", "Meta"]

HURRY = 5.0  # seconds: a call that has less doesn't spend them on limits
# What urllib3 and http.client raise, and let pass of what others raise on the way, as int() does of a chunk's length.
TROUBLE = (HTTPError, HTTPException, OSError, ValueError, OverflowError)
NO_HEADERS: Mapping[str, str] = {}
DOUBTS = 3  # answers that don't add up, until what they were about is given up


class HttpTransport:
    """Posts batches over one kept-alive connection, for one thread at a time.

    `url` is where the service is (`HELIOGRAPH_URL`), with a path where it lives below one. `timeout` is in seconds, for
    one request from its beginning to its end, of which `connect_timeout` for connecting. Bodies above `gzip_above`
    bytes are compressed. See `Connection` for the others. Raises ConfigurationError when one of these can't be right;
    touches no network.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 10.0,
        connect_timeout: float = 5.0,
        proxy: str | None = None,
        ca_file: str = "",
        client_cert: str = "",
        gzip_above: int = 1024,
        retry: Retry = RETRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = _checked_url(url)
        self._url = f"{parts.scheme}://{parts.netloc}{(parts.path or '').rstrip('/')}/api/v1/"
        self._key = _checked_key(key)
        self._timeout = timeout
        self._gzip_above = gzip_above
        self._retry = retry
        self._connection = Connection(
            parts, connect_timeout=connect_timeout, proxy=proxy, ca_file=ca_file, client_cert=client_cert
        )
        self._secrets = [key, *self._connection.secrets]
        self._headers = {
            "Authorization": f"Bearer {key}",
            "User-Agent": f"django-heliograph/{release()} python/{platform.python_version()}",
        }
        self._allowance = Allowance(clock)
        self._doubts = 0
        self._settled: dict[UUID, Refusal | None] = {}  # by id, of the batch under way: why it was refused, if it was

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url}>"

    @property
    def proxy(self) -> str:
        """The proxy that is used, without its password; "" for none."""
        return self._connection.proxy

    @property
    def limits(self) -> Limits:
        """What one request may hold, as far as it is known."""
        return self._allowance.limits

    def reset(self) -> None:
        """Forget batch and connection, which after a fork are the parent's; no farewell goes over it."""
        self._settled.clear()
        self._doubts = 0
        self._connection.reset()

    def send(self, events: Sequence[Event], *, timeout: float | None = None) -> Result:
        """Send the events and return what became of each; those that can't be sent are refused here.

        `timeout` is in seconds, for the whole of the call. What the service would find too large, or did, goes in
        parts, so one call may post many times. Raises TemporaryError when of some event nothing is known: call it again
        with the same events, of which those then known aren't sent again. Raises PermanentError when all was refused as
        a whole; where only parts of it were, their events are refused one by one, with a code such as `http_401`.
        """
        ends = float("inf") if timeout is None else time.monotonic() + timeout
        self._keep_limits(timeout)
        items, result = self._sendable(events)
        waiting = deque([items] if items else [])
        taken, refused = bool(self._settled), []
        while waiting:
            part = waiting.popleft()
            try:
                answer = self._send_part(part, ends)
            except PermanentError as error:
                refused.append((part, error))
                continue
            if answer is None:
                middle = len(part) // 2
                waiting.extendleft((part[middle:], part[:middle]))
            else:
                taken = True
                result += answer
                if waiting:
                    self._settle(part, answer)
        self._doubts = 0
        self._settled.clear()
        if refused and not taken:
            raise refused[0][1]
        return sum((all_refused(part, f"http_{error.status}", str(error)) for part, error in refused), result)

    def report(self, telemetry: Telemetry, *, timeout: float | None = None) -> None:
        """Post what the emitter tells of itself. Raises TemporaryError or PermanentError where that wasn't taken."""
        try:
            body = encode(telemetry)
        except EncodingErrors as error:
            raise PermanentError("The telemetry can't be written as JSON.", status=0) from error
        headers = {"Content-Type": "application/json"}
        answer = self._exchange("POST", "telemetry/", self._seconds(timeout), body=body, headers=headers)
        if not 200 <= answer.status <= 299:
            raise self._failure("telemetry/", answer)

    def meta(self, timeout: float | None = None) -> Meta:
        """Ask the service what it is, and keep its limits. Raises TemporaryError or PermanentError."""
        answer = self._exchange("GET", "meta/", self._seconds(timeout))
        if answer.status != 200:
            raise self._failure("meta/", answer)
        try:
            meta = decode_meta(answer.body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise TemporaryError(self._strange("meta/"), status=answer.status) from error
        self._allowance.told(meta.limits)
        return meta

    def _keep_limits(self, timeout: float | None) -> None:
        """Ask for the limits when it is time to; where they can't be had, those of before go on."""
        if (timeout is None or timeout >= HURRY) and self._allowance.due():
            with suppress(DeliveryError):
                self.meta(timeout)

    def _sendable(self, events: Sequence[Event]) -> tuple[list[Item], Result]:
        """Return the events that may go, as JSON, and what became of the others."""
        items: list[Item] = []
        refusals: list[Refusal] = []
        unencodable: list[int] = []
        arrived = 0
        limit = self.limits.event
        for position, event in enumerate(events):
            try:
                item = Item(position, event, encode(event))
            except EncodingErrors:
                unencodable.append(position)
                continue
            if self._settled and event.id in self._settled:
                refusal = self._settled[event.id]
                arrived += refusal is None
                refusals += [item.refused(refusal.code, refusal.detail)] if refusal else []
            elif len(item.body) > limit:
                detail = f"The event is {len(item.body)} bytes of JSON, and the service takes {limit}."
                refusals.append(item.refused("too_large", detail))
            else:
                items.append(item)
        return items, Result(
            accepted=0,
            duplicates=arrived,
            rejected=len(refusals),
            errors=tuple(refusals),
            unencodable=len(unencodable),
            unencodable_at=tuple(unencodable),
        )

    def _settle(self, part: Sequence[Item], result: Result) -> None:
        """Keep what became of a part, in case that a later one has the batch sent again."""
        refused = {refusal.index: refusal for refusal in result.errors}
        self._settled |= {item.event.id: refused.get(item.position) for item in part}

    def _send_part(self, part: Sequence[Item], ends: float) -> Result | None:
        """Return what became of the items; None when they are too many or too large for one request."""
        limits, headers = self.limits, {"Content-Type": "application/cloudevents-batch+json"}
        body = b"[%b]" % b",".join(item.body for item in part)
        if len(part) > 1 and (len(part) > limits.events or len(body) > limits.inflated):
            return None
        if len(body) > self._gzip_above:
            # Level 1: 5.8 times smaller in 1.0 ms for 500 events; level 6 is 7.0 times in 2.9 ms.
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        if len(part) > 1 and len(body) > limits.body:
            return None
        seconds = self._seconds(ends - time.monotonic())
        answer = self._exchange("POST", "events/", seconds, body=body, headers=headers)
        if answer.status in {200, 207}:
            return self._result(part, answer.body)
        if answer.status == 413 and len(part) > 1:
            self._allowance.refused(len(part), len(body), problem_of(answer.body).code)
            return None
        failure = self._failure("events/", answer)
        if answer.status == 413:  # refused like any item, so that the rest of its batch goes on
            return all_refused(part, "too_large", str(failure))
        raise failure

    def _result(self, part: Sequence[Item], body: bytes) -> Result:
        """Read the answer to a part.

        One that doesn't add up says of no event for certain what became of it. Sending again does no harm, so that is
        done twice; then all of the part counts as refused, as `unaccounted`: it may have arrived, and is not lost
        untold, nor sent for ever.
        """
        try:
            result = decode_result(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise TemporaryError(self._strange("events/")) from error
        refused = refused_of(part, result.errors)
        if min(result.accepted, result.duplicates) < 0 or (
            result.accepted + result.duplicates + len(refused) != len(part)
        ):
            return self._doubt(part)
        errors = tuple(
            part[place].refused(self._redacted(refusal.code)[:100], self._redacted(refusal.detail))
            for place, refusal in sorted(refused.items())
        )
        return Result(accepted=result.accepted, duplicates=result.duplicates, rejected=len(errors), errors=errors)

    def _doubt(self, part: Sequence[Item]) -> Result:
        self._doubts += 1
        message = f"{self._url}events/ gave an answer that doesn't add up to the {len(part)} events it was sent"
        if self._doubts < DOUBTS:
            raise TemporaryError(message)
        return all_refused(part, "unaccounted", message)

    def _seconds(self, left: float | None) -> float:
        return self._timeout if left is None else max(0.001, min(self._timeout, left))  # 0 is an error

    def _exchange(
        self,
        method: str,
        path: str,
        seconds: float,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        try:
            return self._connection.exchange(
                method, self._url + path, headers={**self._headers, **headers}, timeout=seconds, body=body
            )
        except (*TROUBLE, ConfigurationError) as error:
            raise TemporaryError(self._redacted(f"{self._url}{path}: {error}")) from error

    def _failure(self, path: str, answer: Answer) -> DeliveryError:
        status = answer.status
        detail = self._redacted(str(problem_of(answer.body)) or redirection_of(answer) or answer.reason)
        message = f"{self._url}{path} answered {status}: {detail}"
        if self._retry.retries(status):
            after = parse_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
            return TemporaryError(message, retry_after=after, status=status)
        return PermanentError(message, status=status, detail=detail)

    def _strange(self, path: str) -> str:
        return f"{self._url}{path} gave an answer that isn't the service's: is something else there?"

    def _redacted(self, text: str) -> str:
        """Make one short line of what the other side said, without our secrets, should it repeat those."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]" if secret == self._key else "[masked]")
        return " ".join(text.split())[:500]


def _checked_url(url: str) -> Url:
    try:
        parts = parse_url(url)
    except LocationParseError as error:
        raise ConfigurationError("The service's URL can't be parsed.") from error
    if any(character.isspace() for character in url):  # which old releases of urllib3 let pass
        raise ConfigurationError("The service's URL can't be parsed: it holds whitespace.")
    if parts.scheme not in {"http", "https"}:
        raise ConfigurationError("The service's URL must begin with http:// or https://.")
    if not parts.host:
        raise ConfigurationError("The service's URL names no host.")
    if parts.auth:
        raise ConfigurationError("The service's URL holds a user or a password; only the key is sent.")
    if parts.query is not None or parts.fragment is not None:
        raise ConfigurationError("The service's URL must end with its path, without ? or #.")
    return parts


def _checked_key(key: str) -> str:
    if not key:
        raise ConfigurationError("The key is empty.")
    if not all("!" <= character <= "~" for character in key):
        raise ConfigurationError("The key holds whitespace or characters that no header can carry.")
    return key


@cache
def release() -> str:
    """Return the emitter's own version."""
    try:
        return version("django-heliograph")
    except PackageNotFoundError:  # run from a checkout
        return "unreleased"


def _user_agent() -> str:
    return f"django-heliograph/{release()} python/{platform.python_version()}"
