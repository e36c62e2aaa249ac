"""Tell the events of a request who asks, by which route, and how it ended. Under WSGI and ASGI alike."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from emitter import contexts
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
        return finish(now, self.get_response(request))

    async def answer(self, request: HttpRequest) -> Any:
        now = begin(request)
        response: Any = self.get_response(request)
        return finish(now, await response)


def begin(request: HttpRequest) -> contexts.Context | None:
    try:
        now = contexts.of_request(request)
        now.request = request
        contexts.enter(now)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("request", "A request's context could not be made", error)
        return None
    return now


def finish(now: contexts.Context | None, response: Any) -> Any:
    """Note how the request ended, and have its context there when ``request_finished`` is sent."""
    try:
        if now is not None:
            now.status = response.status_code
            now.settle()
            # Django closes a response, and sends the signal, where async handlers have lost what was set in here.
            response._resource_closers.append(Entering(now))
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("request", "The end of a request could not be noted", error)
    return response


class Entering:
    """Enters a context when called. A pickle, which a cache may make of a response, keeps nothing of it."""

    def __init__(self, now: contexts.Context | None = None) -> None:
        self.now = now

    def __reduce__(self) -> Any:
        return Entering, ()

    def __call__(self) -> None:
        if self.now is not None:
            contexts.enter(self.now)
