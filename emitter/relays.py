"""The relays of this process, in threads of their own."""

import threading
import time
from collections.abc import Callable

from emitter import forks
from emitter.relay import Relay


class Threads:
    """One relay, and one thread, for each database whose outbox this process has written to."""

    def __init__(self) -> None:
        self._begin()
        self._inherited: list[object] = []
        forks.in_child(self._begin_in_child)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal handler may save a model while its own thread is in here
        self._relays: dict[str, tuple[Relay, threading.Thread]] = {}

    def _begin_in_child(self) -> None:
        # Kept for ever: to let go of a connection that is the parent's would close it.
        self._inherited.append(self._relays)
        self._begin()

    def wake(self, using: str, make: Callable[[], Relay]) -> None:
        """Wake the relay of a database; start it if there is none."""
        forks.notice()
        found = self._relays.get(using)
        if found is None or not found[1].is_alive():
            found = self._start(using, make)
        found[0].wake()

    def _start(self, using: str, make: Callable[[], Relay]) -> tuple[Relay, threading.Thread]:
        with self._lock:
            found = self._relays.get(using)
            if found is None or not found[1].is_alive():
                made = make()
                found = made, threading.Thread(target=made.run, name=f"heliograph-relay-{using}", daemon=True)
                found[1].start()
                self._relays[using] = found
            return found

    def flush(self, timeout: float) -> bool:
        forks.notice()
        deadline = time.monotonic() + timeout
        return all(relay.flush(max(0.0, deadline - time.monotonic())) for relay, _ in list(self._relays.values()))

    def stop(self, seconds: float) -> list[threading.Thread]:
        """Let all have up to so many seconds to send the rest, and return their threads; what is left stays a row."""
        forks.notice()
        stopped, self._relays = self._relays, {}
        for relay, _ in stopped.values():
            relay.stop(seconds)
        return [thread for _, thread in stopped.values()]


threads = Threads()
wake = threads.wake
flush = threads.flush
stop = threads.stop
