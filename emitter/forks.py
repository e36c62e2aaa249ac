"""Notices that this process is a forked child, and has those begin anew who must. Knows no Django.

Python tells of its own forks. uWSGI forks without calling its hooks, unless told to: whoever takes an event looks.
"""

import os
import weakref
from collections.abc import Callable

pid = os.getpid()
_calls: list[Callable[[], Callable[[], object] | None]] = []


def in_child(call: Callable[[], object]) -> None:
    """Have ``call`` called in each forked child, in the order they came; a bound method as long as its object lives."""
    _calls.append(weakref.WeakMethod(call) if hasattr(call, "__self__") else lambda: call)


def notice() -> None:
    """Call all of them, if this is a child where that wasn't done yet."""
    global pid  # noqa: PLW0603 - a process is one
    if pid != os.getpid():
        pid = os.getpid()
        for reference in list(_calls):
            if (call := reference()) is not None:
                call()
            else:
                _calls.remove(reference)


if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
    os.register_at_fork(after_in_child=notice)
