"""Work on many events that nobody waits for: in batches, each a short transaction, with rests in between."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import DatabaseError

logger = logging.getLogger(__name__)

BATCH = 500  # events in one transaction, some 20 ms
RESTS = 3


@dataclass(slots=True)
class Pace:
    """Ends the work of one run after so many ``seconds``: the worker has other things to do, and comes back to it.

    After each batch it rests for `RESTS` times as long as that took, so that ingest has most of the machine.
    """

    seconds: float = 20.0
    began: float = field(default_factory=time.monotonic)

    @property
    def goes_on(self) -> bool:
        return time.monotonic() - self.began < self.seconds

    @contextmanager
    def batch(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        rest(began)


def rest(began: float) -> None:
    time.sleep(min(RESTS * (time.monotonic() - began), 2.0))


def with_rests(batches: Iterable[None]) -> None:
    """Carry out ``batches``, each with a rest after it."""
    began = time.monotonic()
    for _ in batches:
        rest(began)
        began = time.monotonic()


def in_turns(works: Iterable[Iterator[int]], pace: Pace) -> int:
    """Carry out ``works``, a batch of each in turn, as long as ``pace`` goes on; return how much that was.

    One that fails is left to the next run, and holds up no other.
    """
    waiting, done = deque(works), 0
    while waiting and pace.goes_on:
        work = waiting.popleft()
        try:
            with pace.batch():
                done += next(work)
            waiting.append(work)
        except StopIteration:
            continue
        except DatabaseError:
            logger.exception("What is to be removed of a project failed; the next run tries again")
    return done
