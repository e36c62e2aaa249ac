"""Has ASGI servers wait, as they stop, until what was captured is sent.

Some of them end by the signal that stopped them, after which no Python runs. What they tell before is the end of the
application's lifespan (https://asgi.readthedocs.io/en/latest/specs/lifespan.html), which Django refuses to be told of.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from django.core.handlers.asgi import ASGIHandler

from emitter import outlet
from emitter.complaints import complain

WRAPPED = "_heliograph_wrapped"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def connect() -> None:
    """Wrap ``ASGIHandler.__call__``, once a process."""
    if not hasattr(ASGIHandler.__call__, WRAPPED):
        ASGIHandler.__call__ = with_lifespan(ASGIHandler.__call__)  # type: ignore[assignment, method-assign]


def with_lifespan(call: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(call)
    async def method(self: ASGIHandler, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        else:
            await call(self, scope, receive, send)

    setattr(method, WRAPPED, True)
    return method


async def live(receive: Receive, send: Send) -> None:
    """Answer the server until its end, and have that wait for the emitter's, which is bounded."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await asyncio.get_running_loop().run_in_executor(None, leave)
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def leave() -> None:
    try:
        outlet.close()
    except Exception as error:  # noqa: BLE001  # the edge to the server, which ends all the same
        complain("lifespan", "Events may be lost at the end of the server", error)
