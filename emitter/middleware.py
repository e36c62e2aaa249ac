"""Tell the events of a request who asks, by which route, and how it ended. Under WSGI and ASGI alike."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from emitter import contexts, receivers
from emitter.complaints import complain

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class HeliographMiddleware:
    """Put it first in ``MIDDLEWARE``, so that it sees what the others answer."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.answer(request)
        now = begin(request)
        response: Any = None
        try:
            response = self.get_response(request)
        finally:
            finish(now, response)
        return response

    async def answer(self, request: HttpRequest) -> Any:
        now = begin(request)
        response: Any = None
        try:
            asked: Any = self.get_response(request)
            response = await asked
        finally:
            finish(now, response, is_async=True)
        return response


def begin(request: HttpRequest) -> contexts.Context | None:
    try:
        now = contexts.of_request(request)
        if now.visit is not None:
            now.visit.request, now.visit.is_inside = request, True
        contexts.enter(now)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("request", "A request's context could not be made", error)
        return None
    return now


def finish(now: contexts.Context | None, response: Any, is_async: bool = False) -> None:
    """Note how the request ended, and have its context there when ``request_finished`` is sent.

    ``response`` is None where there was no answer, as when a server's time limit has ended it.
    """
    try:
        if now is not None and now.visit is not None:
            now.visit.is_inside = False
            if response is not None:
                now.visit.status = response.status_code
                now.known_actor()
                close(now, response, is_async)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("request", "The end of a request could not be noted", error)


def close(now: contexts.Context, response: Any, is_async: bool) -> None:
    """Have the end of a request told when its response is closed.

    Django closes it, and sends the signal, where async handlers have lost what was set in here. A response that another
    request is answered with too is closed once for both with what it holds: then this one's end is told at once.
    """
    if is_async and any(isinstance(each, Resuming) for each in response._resource_closers):
        receivers.finish(now)
    else:
        response._resource_closers.append(Resuming(now))


class Resuming:
    """Enters a context when called. A pickle, which a cache may make of a response, keeps nothing of it."""

    def __init__(self, now: contexts.Context | None = None) -> None:
        self.now = now

    def __reduce__(self) -> Any:
        return Resuming, ()

    def __call__(self) -> None:
        if self.now is not None:
            contexts.resume(self.now)
