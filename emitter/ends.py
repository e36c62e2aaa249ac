"""How the process that we are in ends, and whether its threads run. Knows no Django.

`atexit` is not enough for an end: children that multiprocessing forks leave by ``os._exit``. What is killed, or calls
that itself, can't be helped.
"""

import atexit
import os
import sys
from collections.abc import Callable

from emitter.complaints import complain

LAST = -1_000  # among the finalizers of multiprocessing, which run from the highest number to the lowest

Call = Callable[[], None]


def before(call: Call) -> None:
    """Have ``call`` called before this process ends, and before each that is forked from it does; maybe twice."""
    atexit.register(call)
    _in_child_of_multiprocessing(call)
    if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
        os.register_at_fork(after_in_child=lambda: _in_new_child(call))


def _in_child_of_multiprocessing(call: Call) -> None:
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _finalize(call)


def _in_new_child(call: Call) -> None:
    """Register once multiprocessing has cleared what its child has of the parent's, if it is its child at all."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(call, _finalize)  # holds it weakly


def _finalize(call: Call) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, call, exitpriority=LAST)


def warn_without_threads() -> None:
    """Say so in a uWSGI process whose threads stand still while it waits for a request."""
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    if options is not None and not {"enable-threads", "threads"} & {_text(name) for name in options}:
        complain("uwsgi", "uWSGI runs without enable-threads: events leave during later requests, or at the end.")


def is_before_forks_of_uwsgi() -> bool:
    """Say whether uWSGI is going to fork its workers from this process.

    It lets go of Python's lock for that. A worker forked while a thread of ours has it waits for it for ever, so that
    there must be no thread here.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or uwsgi.worker_id():
        return False
    master: int = uwsgi.masterpid()
    return master == os.getpid() or (master == 0 and uwsgi.numproc > 1)


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
