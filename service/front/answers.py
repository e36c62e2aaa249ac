"""Run Django for a request, and send what it answers: whole, or piece by piece as the client takes it."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple

from django.core.handlers.wsgi import WSGIHandler
from django.http.response import HttpResponseBase

from service.api.problems import Problem, encoded
from service.front.bodies import Receive
from service.front.connections import cuts
from service.front.environ import Scope, environ_of
from service.front.memory import Share
from service.front.threads import Lane, Threads

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PIECE = 64 * 1024
QUEUE = 4  # messages that granian holds between us and what sends them


class ClientGone(Exception):  # noqa: N818  # no error of ours
    """The client closed the connection: nobody waits for the rest of the answer."""


class ClientStuck(Exception):  # noqa: N818  # no error of ours
    """The client read nothing for as long as it may: its connection was broken off."""


class Answer:
    """What Django answered. ``stream`` is the response while there is more of it to pull."""

    __slots__ = ("content", "headers", "status", "stream")

    def __init__(self) -> None:
        self.status = 500
        self.headers: Headers = []
        self.content = b""
        self.stream: Any = None

    @property
    def is_pulled(self) -> bool:
        """Tell whether pieces of it are still to be made, each in a thread."""
        return self.stream is not None and not self.stream.is_async

    def start(self, status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
        """Be WSGI's ``start_response``."""
        self.status = int(status[:3])
        self.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def of(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    answer = Answer()
    answer.start(str(status), list(headers.items()))
    answer.content = content
    return answer


def of_problem(problem: Problem) -> Answer:
    content, headers = encoded(problem)
    return of(problem.status_code, headers, content)


def of_probe() -> Answer:
    """Answer ``/healthz``: while all threads are busy too, or whoever asks would take the process for dead."""
    return of(200, {"Content-Type": "application/json"}, b'{"status":"ok"}')


def of_django(app: WSGIHandler, scope: Scope, body: bytes) -> Answer:
    """Call Django: an answer that isn't streamed is complete on return."""
    answer = Answer()
    response: HttpResponseBase = app(environ_of(scope, body), answer.start)  # type: ignore[arg-type]  # no write()
    if response.streaming and scope["method"] != "HEAD":
        answer.stream = response
        return answer
    try:
        if scope["method"] != "HEAD":
            answer.content = b"".join(response)
    finally:
        response.close()
    return answer


class Exchange(NamedTuple):
    """One request and its answer, as the server has them. A client gets ``patience`` seconds for each piece."""

    scope: Scope
    receive: Receive
    send: Send
    share: Share
    patience: float


async def send_answer(answer: Answer, exchange: Exchange, threads: Threads, lane: Lane) -> None:
    """Send ``answer``. Raises `ClientGone`, or `ClientStuck` after breaking off the connection of who doesn't read."""
    await exchange.send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    if answer.stream is not None:
        await send_pieces(pulled(answer.stream, threads, lane, exchange.share), exchange)
    elif len(answer.content) > PIECE:
        await send_pieces(pieces_of(answer.content, exchange.share), exchange)
    else:
        await exchange.send({"type": "http.response.body", "body": answer.content})


async def pieces_of(content: bytes, share: Share) -> AsyncGenerator[bytes]:
    """Yield an answer that is large, and hold from the budget what is left of it, with what may be queued."""
    share.restart()
    share.hold(len(content))
    share.memory.make_room(share)
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]
        if start >= QUEUE * PIECE:
            share.give_back(min(PIECE, share.held))


async def pulled(response: Any, threads: Threads, lane: Lane, share: Share) -> AsyncGenerator[bytes]:
    """Yield a streamed response, holding a thread only while a piece is made; close it at the end, come what may.

    One with an asynchronous iterator needs no thread at all: that's for what waits, such as a tail.
    """
    context = contextvars.copy_context()
    try:
        if response.is_async:
            async for part in response:
                yield part
        else:
            share.restart()
            share.hold(QUEUE * PIECE)  # about what the server keeps of it for a client that reads slowly
            parts = iter(response)
            while piece := await threads.run(lane, context, lambda: next_piece(parts)):
                share.hold(len(piece))
                share.memory.make_room(share)
                yield piece
                share.give_back(min(len(piece), share.held))
    finally:
        await threads.run(lane, context, response.close)


def next_piece(parts: Iterator[bytes]) -> bytes:
    """Join parts until they are worth a message; empty at the end."""
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= PIECE:
            break
    return bytes(piece)


async def send_pieces(pieces: AsyncGenerator[bytes], exchange: Exchange) -> None:
    share = exchange.share
    gone = asyncio.ensure_future(disconnected(exchange.receive))
    try:
        async for piece in pieces:
            await send_piece(piece, exchange)
            share.moved += len(piece)
            if gone.done():
                raise ClientGone
        for _ in range(QUEUE):  # nothing, which there is room for when the last piece has left the queue
            await send_piece(b"", exchange)
        await exchange.send({"type": "http.response.body", "body": b""})
    except ClientGone:
        raise
    except BaseException:
        await cuts.cut(exchange.scope)
        raise
    finally:
        gone.cancel()
        await pieces.aclose()


async def send_piece(piece: bytes, exchange: Exchange) -> None:
    share = exchange.share
    try:
        async with asyncio.timeout(exchange.patience) as share.deadline:
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        raise ClientStuck from None
    finally:
        share.deadline = None


async def disconnected(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
