"""Read a request's body whole, before it costs a thread: within the limit, in reasonable time, within the budget."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from service.api import limits
from service.api.body import Malformed, too_large
from service.api.problems import Problem
from service.front.environ import Scope
from service.front.memory import Overloaded, Share

Receive = Callable[[], Awaitable[dict[str, Any]]]

RATE = 16 * 1024  # bytes a second below which a client lags
DRAINED = 4 * limits.BODY_BYTES  # read of a body that was refused, so that its sender reads the answer


class TooSlow(Problem):
    status_code = 408
    title = "The request took too long to arrive"

    def __init__(self) -> None:
        super().__init__("request_timeout", f"The body came slower than {RATE} bytes a second. Send it again.")


class Body:
    """The body of one request, whose client may lag ``patience`` seconds behind.

    ``is_complete`` tells whether all of it was read from the connection, ``is_lost`` that nothing more will come.
    """

    def __init__(self, scope: Scope, receive: Receive, share: Share, patience: float) -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length")
        self.length = None if length is None else int(length)
        self.receive = receive
        self.share = share
        self.patience = patience
        self.is_lost = False
        self.waits_to_be_asked = b"expect" in headers
        self.is_complete = self.length == 0 or (length is None and b"transfer-encoding" not in headers)

    async def read(self) -> bytes:
        """Return the body. Raises TooLarge, `TooSlow`, `Overloaded`, or Malformed for one that was cut off."""
        if self.is_complete:
            return b""
        if self.length is not None and self.length > limits.BODY_BYTES:
            raise too_large("body", limits.BODY_BYTES)
        try:
            async with asyncio.timeout(self.patience) as deadline:
                return await self.read_until(deadline)
        except TimeoutError:
            self.is_lost = True
            raise (Overloaded() if self.share.is_evicted else TooSlow()) from None

    async def read_until(self, deadline: asyncio.Timeout) -> bytes:
        clock = asyncio.get_running_loop().time
        begun = clock()
        share, parts = self.share, []
        share.deadline = deadline
        try:
            while not self.is_complete:
                part = await self.next_part()
                share.moved += len(part)
                share.take(len(part))
                if share.moved > limits.BODY_BYTES:
                    raise too_large("body", limits.BODY_BYTES)
                parts.append(part)
                if not self.is_complete:
                    deadline.reschedule(self.patience + min(clock(), begun + share.moved / RATE))
        finally:
            share.deadline = None
        return b"".join(parts) if len(parts) > 1 else parts[0]

    async def next_part(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            self.is_lost = True
            raise Malformed("body_cut_off", "The body ended early. Send it again.")
        part: bytes = message["body"]
        # All is here with the last byte: no need to be told so.
        self.is_complete = not message["more_body"] or self.share.moved + len(part) == self.length
        return part

    async def drain(self) -> None:
        """Read what is left, and forget it: who still writes when a connection closes doesn't see the answer.

        Of a body that is far too large or comes too slowly, not all: `is_complete` stays false then.
        """
        if self.waits_to_be_asked and not self.share.moved:
            return
        room = DRAINED
        with contextlib.suppress(TimeoutError, Malformed):
            async with asyncio.timeout(self.patience):
                while room > 0 and not (self.is_complete or self.is_lost):
                    room -= len(await self.next_part())
