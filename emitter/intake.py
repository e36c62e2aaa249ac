"""Completes events several at a time, in the thread of one of those that made them, before they are queued.

Between two waits for a database, the processor has forgotten our code and its data: to complete an event alone costs
several times as much as to complete it behind another one.
"""

import os
import threading
from collections import deque
from collections.abc import Callable

from emitter import forks
from emitter.event import Event, Later

AT_ONCE = 16  # events; a thread that completes as many is held up for less than a query takes


class Intake:
    """Takes events from all threads and passes those that leave on to ``accept``, complete and in order.

    That is the work of whoever brings the last of ``at_once``, or of who calls `work`. ``wake`` is called when there is
    some, so that somebody does before long. Of a forked process, the child starts empty.
    """

    def __init__(self, accept: Callable[[Event], object], wake: Callable[[], object], at_once: int = AT_ONCE) -> None:
        self.at_once = at_once
        self._accept = accept
        self._wake = wake
        self.begin()
        forks.in_child(self.begin)

    def begin(self) -> None:
        """Forget all: what was brought before a fork is the parent's."""
        # Reentrant: a signal handler or a finalizer may come here while its own thread is here.
        self._lock = threading.RLock()
        self._is_at_work = False
        self._incomplete: deque[Later] = deque()  # of which it isn't known yet whether and when they leave
        self._leaving: deque[Event | Later] = deque()

    def expect(self, event: Later) -> None:
        """Have an event completed soon that may leave later, or never."""
        if forks.pid != os.getpid():
            forks.notice()
        self._incomplete.append(event)
        self._look(len(self._incomplete))

    def put(self, event: Event | Later) -> None:
        """Have an event leave soon."""
        if forks.pid != os.getpid():
            forks.notice()
        self._leaving.append(event)
        self._look(len(self._leaving))

    def _look(self, number: int) -> None:
        if number >= self.at_once:
            self.work(is_urgent=False)
        elif number == 1:
            self._wake()

    def work(self, *, is_urgent: bool = True) -> None:
        """Complete what is incomplete and pass on what leaves.

        While another thread is at it: wait for that if it ``is_urgent``, else leave it all to that. So does what has
        interrupted its own thread at it, or would pass on what comes later first.
        """
        if forks.pid != os.getpid():
            forks.notice()
        if not self._lock.acquire(blocking=is_urgent):
            return
        was_at_work, self._is_at_work = self._is_at_work, True
        try:
            if is_urgent or not was_at_work:
                self._complete()
                self._pass_on()
        finally:
            self._is_at_work = was_at_work
            self._lock.release()

    def _complete(self) -> None:
        while self._incomplete:
            self._incomplete.popleft().complete()

    def _pass_on(self) -> None:
        while self._leaving:
            brought = self._leaving.popleft()
            try:
                event = brought.complete()
            except Exception:
                raise
            except BaseException:  # a signal has ended the thread or the process, which sends the rest before it goes
                self._leaving.appendleft(brought)
                raise
            if event is not None:
                self._accept(event)
