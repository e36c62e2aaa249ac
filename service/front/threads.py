"""The threads that run Django: few, because each has a connection to Postgres of its own."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from typing import Any, TypeVar

from service.front.memory import Overloaded

T = TypeVar("T")
Job = tuple[asyncio.Future[Any], Context, Callable[[], Any]]


class Lane:
    """Requests of one kind: ``threads`` of them are run at once at the most, and ``waiting`` more have a place."""

    def __init__(self, threads: int, waiting: int) -> None:
        self.gate = asyncio.Semaphore(threads)
        self.places = threads + waiting

    @property
    def is_full(self) -> bool:
        return self.places <= 0

    def __enter__(self) -> None:
        """Take a place. Raises `Overloaded` when there is none."""
        if self.is_full:
            raise Overloaded
        self.places -= 1

    def __exit__(self, *_error: object) -> None:
        self.places += 1


class Threads:
    """``count`` threads; what they are to do waits in the event loop that this is used from.

    A third of the cost of concurrent.futures, on the path of every request.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.free = asyncio.Semaphore(count)
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.started = False

    async def run(self, lane: Lane, context: Context, function: Callable[[], T], *, patience: float | None = None) -> T:
        """Call ``function`` in one of the threads, and return what it returns or raise what it raises.

        Raises `Overloaded` if none is free for it within ``patience`` seconds.
        """
        await self.turn(lane, patience)
        try:
            future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            self.jobs.put((future, context, function))
            return await future
        finally:
            self.free.release()
            lane.gate.release()

    async def turn(self, lane: Lane, patience: float | None) -> None:
        """Wait for a thread that nobody uses."""
        if not self.started:  # not before, since a fork would leave them behind
            self.start()
        try:
            async with asyncio.timeout(patience):
                await lane.gate.acquire()
                try:
                    await self.free.acquire()
                except BaseException:
                    lane.gate.release()
                    raise
        except TimeoutError:
            raise Overloaded from None

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
