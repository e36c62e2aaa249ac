"""The ASGI application before Django: no thread and no connection to Postgres for who is slow, stuck or too much.

A request's body is read in the event loop, Django runs in a bounded pool of threads, and its answer is sent from the
event loop again.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.handlers.wsgi import WSGIHandler

from service.api import calls, metrics
from service.api.calls import Call
from service.api.problems import Problem, failure
from service.front import answers, connections
from service.front.answers import Answer, ClientGone, ClientStuck, Exchange, Send
from service.front.bodies import Body, Receive
from service.front.environ import Scope
from service.front.memory import Memory, Overloaded, Share
from service.front.threads import Lane, Threads

logger = logging.getLogger(__name__)

STREAMS = 32  # exports at once; their pieces wait for each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a process does at once: ``waiting`` requests may wait for one of the ``threads``, for ``patience`` seconds;
    bodies and large answers hold ``memory`` bytes; a client may lag ``patience`` seconds behind.
    """

    threads: int
    waiting: int
    memory: int
    patience: float


Quick = Callable[[Scope, bytes], Awaitable[Answer | None]]


def no_end() -> None:
    pass


class Front:
    """``quick`` answers the most usual requests in the event loop; where it returns None, Django does, in a thread.

    ``end`` is called in a thread, too, when each request that the process took is answered.
    """

    def __init__(self, app: WSGIHandler, capacity: Capacity, quick: Quick, end: Callable[[], None] = no_end) -> None:
        self.app = app
        self.quick = quick
        self.end = end
        self.patience = capacity.patience
        self.threads = Threads(capacity.threads)
        self.posts = Lane(capacity.threads, capacity.waiting)
        # Slow questions leave threads for what comes in.
        self.questions = Lane(max(1, capacity.threads // 2), capacity.waiting)
        self.streams = Lane(max(1, capacity.threads // 4), STREAMS)
        self.memory = Memory(capacity.memory)
        self.has_port = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["type"] == "http":
            if not self.has_port:  # granian listens after it has asked whether we are ready
                self.has_port = True
                connections.end_of_who_reads_nothing(int(scope["server"][1]), self.patience)
            call = calls.begin(scope)
            share = Share(self.memory)
            metrics.IN_FLIGHT.inc()
            try:
                await self.handle(
                    Exchange(scope=scope, receive=receive, send=send, share=share, patience=self.patience), call
                )
            finally:
                share.close()
                metrics.IN_FLIGHT.dec()
                metrics.count_request(call)
                calls.write_access_line(call)

    async def live(self, receive: Receive, send: Send) -> None:
        """Answer the server's start and end. It stops when each request that it took is answered."""
        while True:
            message: dict[str, Any] = await receive()
            is_end = message["type"] == "lifespan.shutdown"
            if is_end:
                await asyncio.to_thread(self.end)
            await send({"type": f"{message['type']}.complete"})
            if is_end:
                return

    async def handle(self, exchange: Exchange, call: Call) -> None:
        scope = exchange.scope
        body = Body(scope, exchange.receive, exchange.share, self.patience)
        try:
            answer = await self.answer(scope, body)
            call.status = answer.status
            answer.headers.append((b"x-request-id", call.request_id.encode()))
            if not body.is_complete:
                answer.headers.append((b"connection", b"close"))
            with self.streams if answer.is_pulled else nullcontext():
                await answers.send_answer(answer, exchange, self.threads, self.streams)
        except (ClientGone, ClientStuck):
            call.is_cut = True
        except Problem as problem:  # of an iterator half-way, which knows what it is
            call.is_cut = True
            logger.warning("The answer to %s %s broke off: %s", call.method, call.path, problem.detail)
        except Exception:  # of an iterator half-way; nobody else would tell
            call.is_cut = True
            logger.exception("The answer to %s %s broke off", call.method, call.path)

    async def answer(self, scope: Scope, body: Body) -> Answer:
        """Return what is answered, a refusal as well."""
        if scope["path"] == "/healthz":
            return answers.of_probe()
        lane = self.questions if is_question(scope) else self.posts
        try:
            if lane.is_full:
                raise Overloaded
            content = await body.read()
            metrics.BODY_BYTES.inc(len(content))
            with lane:
                return await self.quick(scope, content) or await self.ask_django(scope, content, lane)
        except Problem as problem:
            body.share.close()
            if isinstance(problem, Overloaded):
                metrics.OVERLOADED.inc()
            await body.drain()
            return answers.of_problem(problem)
        except Exception:  # of what is around Django's own handling
            logger.exception("Django did not answer")
            return answers.of_problem(failure())
        finally:
            body.share.close()

    async def ask_django(self, scope: Scope, content: bytes, lane: Lane) -> Answer:
        """Run Django in a thread. Raises `Overloaded`, for one stream too many as well."""
        context = contextvars.copy_context()
        ask = partial(answers.of_django, self.app, scope, content)
        answer = await self.threads.run(lane, context, ask, patience=self.patience)
        if answer.is_pulled and self.streams.is_full:
            await self.threads.run(lane, context, answer.stream.close)
            raise Overloaded
        return answer


def is_question(scope: Scope) -> bool:
    """Tell whether a request reads: all but probes, which others wait for, and what comes in."""
    return scope["method"] in {"GET", "HEAD", "OPTIONS"} and scope["path"] not in {"/readyz", "/metrics"}
