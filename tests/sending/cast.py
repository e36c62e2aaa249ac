"""The parts that several tests of the sending half share: events, a service that answers as told, policies, clocks."""

import threading
import time

import msgspec

from emitter.event import Event, Limits, Result, stamp
from emitter.retry import Retry

PATIENCE = 10.0  # seconds, for what takes milliseconds unless it is broken
NEVER = 3600.0  # seconds, for what a test must not wait for


def an_event(number=None, kind="t", data=None):
    identity, moment = stamp()
    event = Event(id=identity, time=moment, source="/shop/web", type=kind)
    if data is not None:
        event.data = msgspec.Raw(msgspec.json.encode(data))
    if number is not None:
        event.sequence = str(number)
    return event


def taken(events, **counts):
    return Result(**{"accepted": len(events), "duplicates": 0, "rejected": 0, **counts})


class FakeService:
    """A transport that keeps what it is sent; `answers` are raised, called or returned in turn, then all is taken."""

    def __init__(self):
        self.limits = Limits()
        self.reports = []
        self.report_answers = []
        self.batches = []
        self.events = []
        self.timeouts = []
        self.answers = []
        self.always = None  # raised or called for each batch that no answer is left for
        self.resets = 0
        self.open = threading.Event()  # while clear, the service hangs
        self.open.set()
        self.called = threading.Semaphore(0)

    def send(self, events, *, timeout=None):
        self.batches.append([int(event.sequence) for event in events])
        self.timeouts.append(timeout)
        self.called.release()
        assert self.open.wait(PATIENCE)
        answer = self.answers.pop(0) if self.answers else self.always or taken
        if isinstance(answer, BaseException):
            raise answer
        result = answer(events)
        self.events.extend(events)
        return result

    def report(self, telemetry, *, timeout=None):
        self.reports.append(telemetry)
        answer = self.report_answers.pop(0) if self.report_answers else None
        if isinstance(answer, BaseException):
            raise answer

    def reset(self):
        self.resets += 1

    def wait_for_call(self):
        assert self.called.acquire(timeout=PATIENCE)

    @property
    def sequences(self):
        return [sequence for batch in self.batches for sequence in batch]

    @property
    def arrived(self):
        return [int(event.sequence) for event in self.events]


class Policy(Retry):
    """Waits always the same, and keeps what it was asked."""

    __slots__ = ("asked", "seconds")

    def __init__(self, seconds=0.0):
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "seconds", seconds)

    def delay(self, attempt, retry_after=None, random=None):
        self.asked.append((attempt, retry_after))
        return self.seconds


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def put(worker, number):
    return [worker.put(an_event()) for _ in range(number)]


def eventually(condition, patience=PATIENCE):
    """Wait until the condition holds, and return what it gave."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, "It never came true."
        time.sleep(0.002)
    return found
