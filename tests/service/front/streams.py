"""The service with some more addresses, whose answers are streamed; what became of them is told at ``/state``."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import path

from service.urls import urlpatterns as own

CHUNK = b"0123456789abcdef" * 4096
STATE = {"pulled": 0, "closed": 0}


def chunks(count: int) -> Iterator[bytes]:
    try:
        for _ in range(count):
            STATE["pulled"] += 1
            yield CHUNK
    finally:
        STATE["closed"] += 1


def failing() -> Iterator[bytes]:
    yield from chunks(3)
    raise ValueError("no more")


def timing_out() -> Iterator[bytes]:
    yield from chunks(3)
    raise TimeoutError("of a query")


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
    path("finite", lambda request: streamed(chunks(100))),
    path("failing", lambda request: streamed(failing())),
    path("timing-out", lambda request: streamed(timing_out())),
    path("ticks", lambda request: streamed(ticks())),
]
