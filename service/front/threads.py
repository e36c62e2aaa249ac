"""The threads that run Django: few, because each has a connection to Postgres of its own."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Job = tuple[asyncio.Future[Any], Context, Callable[[], Any]]


class Threads:
    """``count`` threads, and room for ``waiting`` jobs beyond those that they run.

    A third of the cost of concurrent.futures, on the path of every request. Used from one event loop.
    """

    def __init__(self, count: int, waiting: int) -> None:
        self.count = count
        self.limit = count + waiting
        self.pending = 0
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.started = False

    @property
    def is_full(self) -> bool:
        return self.pending >= self.limit

    async def run(self, context: Context, function: Callable[[], T]) -> T:
        """Call ``function`` in one of the threads, and return what it returns or raise what it raises."""
        if not self.started:  # not before, since a fork would leave them behind
            self.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.pending += 1
        try:
            self.jobs.put((future, context, function))
            return await future
        finally:
            self.pending -= 1

    def start(self) -> None:
        self.started = True
        for number in range(self.count):
            threading.Thread(target=self.work, name=f"web-{number}", daemon=True).start()

    def work(self) -> None:
        while True:
            future, context, function = self.jobs.get()
            try:
                result = context.run(function)
            except BaseException as error:  # noqa: BLE001  # whoever awaits it gets it
                future.get_loop().call_soon_threadsafe(fail, future, error)
            else:
                future.get_loop().call_soon_threadsafe(settle, future, result)
            del future, context, function  # else the last request's body would stay until the next


def settle(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def fail(future: "asyncio.Future[T]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
