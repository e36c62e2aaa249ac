"""The service with some more addresses: of long and of streamed answers; what became of these is told at ``/state``."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import path

from service.api.problems import Problem
from service.urls import urlpatterns as own

CHUNK = b"0123456789abcdef" * 4096
LONG = 400 * CHUNK  # more than the kernel takes for a client that reads nothing
STATE = {"pulled": 0, "closed": 0}


def chunks(count: int) -> Iterator[bytes]:
    try:
        for _ in range(count):
            STATE["pulled"] += 1
            yield CHUNK
    finally:
        STATE["closed"] += 1


def large() -> Iterator[bytes]:
    for chunk in chunks(1_000_000):
        yield 32 * chunk


def failing(error: Exception) -> Iterator[bytes]:
    yield from chunks(3)
    raise error


async def ticks() -> AsyncIterator[bytes]:
    try:
        while True:
            STATE["pulled"] += 1
            yield b"tick\n"
            await asyncio.sleep(0.05)
    finally:
        STATE["closed"] += 1


def streamed(parts: Iterator[bytes] | AsyncIterator[bytes]) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts, content_type="text/plain")


def state(request: HttpRequest) -> HttpResponseBase:
    return JsonResponse(STATE)


urlpatterns = [
    *own,
    path("state", state),
    path("endless", lambda request: streamed(chunks(1_000_000))),
    path("long", lambda request: HttpResponse(LONG)),
    path("large", lambda request: streamed(large())),
    path("finite", lambda request: streamed(chunks(100))),
    path("failing", lambda request: streamed(failing(ValueError("no more")))),
    path("timing-out", lambda request: streamed(failing(TimeoutError("of a query")))),
    path("ending", lambda request: streamed(failing(Problem("enough", "That was enough.")))),
    path("ticks", lambda request: streamed(ticks())),
]
