"""Posts what is brought along, in batches, and counts what became of each entry.

While a batch is on its way the next is made; never more than three are in memory.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from emitter.event import Event, Result
from emitter.exceptions import TemporaryError
from emitter.history.told import Found, LeftOut, Unreadable
from emitter.retry import RETRY, Retry


class Transport(Protocol):
    """What is needed of `HttpTransport`."""

    def send(self, events: Sequence[Event]) -> Result: ...


class Nowhere:
    """Stands for a transport in a dry run."""

    def send(self, events: Sequence[Event]) -> Result:
        """Return what a service would answer that has none of these yet, and takes all."""
        return Result(accepted=len(events), duplicates=0, rejected=0)


@dataclass(slots=True)
class Count:
    """What became of the entries. Each that was read is in one of the others; ``examples`` has a reason by code."""

    read: int = 0
    stored: int = 0
    duplicates: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def decided(self) -> int:
        return self.stored + self.duplicates + self.left_out.total() + self.refused.total()

    def refuse(self, code: str, detail: str) -> None:
        self.refused[code] += 1
        self.examples.setdefault(code, detail)

    def add(self, result: Result) -> None:
        self.stored += result.accepted
        self.duplicates += result.duplicates
        for each in result.errors:
            self.refuse(each.code, each.detail)
        for _ in range(result.unencodable):
            self.refuse("unencodable", "The entry holds what JSON can't.")


class Import:
    """One run. ``patience`` is in seconds: how long the service may fail in a row before this gives up."""

    def __init__(
        self,
        transport: Transport,
        *,
        batch_size: int,
        patience: float,
        told: Callable[[Count], None],
        retry: Retry = RETRY,
    ) -> None:
        self._transport = transport
        self._batch_size = batch_size
        self._patience = patience
        self._told = told
        self._retry = retry
        self._ended = threading.Event()
        self.count = Count()

    def bring(self, found: Iterable[Found]) -> None:
        """Send all of it, and return when the service has answered. Raises DeliveryError when it can't be sent."""
        waiting: Future[Result] | None = None
        with ThreadPoolExecutor(1, "heliograph-import") as pool:
            try:
                for batch in self._batches(found):
                    following = pool.submit(self._deliver, batch)
                    self._note(waiting)
                    waiting = following
                self._note(waiting)
            finally:
                self._ended.set()  # what was begun doesn't wait for better times

    def _note(self, waiting: Future[Result] | None) -> None:
        if waiting is not None:
            self.count.add(waiting.result())
        self._told(self.count)

    def _batches(self, found: Iterable[Found]) -> Iterator[list[Event]]:
        events = self._events(found)
        while batch := list(islice(events, self._batch_size)):
            yield batch

    def _events(self, found: Iterable[Found]) -> Iterator[Event]:
        for each in found:
            self.count.read += 1
            match each:
                case LeftOut(why):
                    self.count.left_out[why] += 1
                case Unreadable(code, detail):
                    self.count.refuse(code, detail)
                case event:
                    yield event

    def _deliver(self, events: Sequence[Event]) -> Result:
        ends, failures = time.monotonic() + self._patience, 0
        while True:
            try:
                return self._transport.send(events)
            except TemporaryError as error:
                if self._ended.is_set() or time.monotonic() >= ends:
                    raise
                self._ended.wait(self._retry.delay(failures, error.retry_after))
                failures += 1
