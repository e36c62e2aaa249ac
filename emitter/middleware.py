"""Tell the events of a request who asks, by which route, and how it ended. Under WSGI and ASGI alike."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from emitter import context

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


def begin(request: HttpRequest) -> context.Context:
    now = context.of_request(request)
    now.request = request
    context.enter(now)
    return now


def finish(now: context.Context, response: Any) -> Any:
    """Note how the request ended, and have its context there when ``request_finished`` is sent."""
    now.status = response.status_code
    # Django closes a response, and sends the signal, where async handlers have lost what was set in here.
    response._resource_closers.append(partial(context.enter, now))
    return response
