"""The ASGI application before Django: no thread and no connection to Postgres for who is slow, stuck or too much.

A request's body is read in the event loop, Django runs in a bounded pool of threads, and its answer is sent from the
event loop again.
"""

import contextvars
import logging
from dataclasses import dataclass
from functools import partial
from time import monotonic as now
from typing import Any

from django.core.handlers.wsgi import WSGIHandler

from service.api import calls, metrics
from service.api.calls import Call
from service.api.problems import Problem, failure
from service.front import answers
from service.front.answers import Answer, ClientGone, ClientStuck, Exchange, Send
from service.front.bodies import Body, Receive
from service.front.environ import Scope
from service.front.memory import Memory, Overloaded, Share
from service.front.threads import Threads

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a process does at once: ``waiting`` requests may wait for one of the ``threads``; bodies and large answers
    hold ``memory`` bytes; a client may lag ``patience`` seconds behind.
    """

    threads: int
    waiting: int
    memory: int
    patience: float


class Front:
    def __init__(self, app: WSGIHandler, capacity: Capacity) -> None:
        self.app = app
        self.patience = capacity.patience
        self.threads = Threads(capacity.threads, capacity.waiting)
        self.memory = Memory(capacity.memory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        elif scope["type"] == "http":
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

    async def handle(self, exchange: Exchange, call: Call) -> None:
        scope = exchange.scope
        body = Body(scope, exchange.receive, exchange.share, self.patience)
        try:
            answer = await self.answer(scope, body)
            call.status = answer.status
            answer.headers.append((b"x-request-id", call.request_id.encode()))
            if not body.is_complete:
                answer.headers.append((b"connection", b"close"))
            await answers.send_answer(answer, exchange, self.threads)
        except (ClientGone, ClientStuck):
            call.is_cut = True
        except Exception:  # of an iterator half-way; nobody else would tell
            call.is_cut = True
            logger.exception("The answer to %s %s broke off", call.method, call.path)

    async def answer(self, scope: Scope, body: Body) -> Answer:
        """Return what is answered, a refusal as well."""
        if scope["path"] == "/healthz":
            return answers.of_probe()
        try:
            self.refuse_too_many()
            content = await body.read()
            self.refuse_too_many()
            metrics.BODY_BYTES.inc(len(content))
            return await self.threads.run(contextvars.copy_context(), partial(self.ask_django, scope, content, now()))
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

    def ask_django(self, scope: Scope, body: bytes, since: float) -> Answer:
        """Run Django, in a thread; refuse a request that has waited for it for longer than its client may wait."""
        if now() - since > self.patience:
            raise Overloaded
        return answers.of_django(self.app, scope, body)

    def refuse_too_many(self) -> None:
        if self.threads.is_full:
            raise Overloaded


async def live(receive: Receive, send: Send) -> None:
    """Answer the server's start and end. It stops when each request that it took is answered."""
    while True:
        message: dict[str, Any] = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
