"""Programs that capture, fork and end: ``python -m tests.processes.programs NAME``.

Each says at its very end what it has captured and lost.
"""

import atexit
import concurrent.futures
import faulthandler
import gc
import itertools
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from importlib import import_module

import django
from django.apps import apps

import emitter

SAID = "counts: "
FLUSH = 20.0  # seconds, for what takes a moment


def tell_counts(owner: int) -> None:
    if os.getpid() == owner:
        print(SAID + json.dumps(emitter.counts()), flush=True)


def mark(where: str, number: int = 0) -> None:
    if not apps.ready:  # in a process that was spawned
        django.setup()
    from tests.processes.shop import operations

    operations.mark(where, number)


def mark_some(where: str, until: int = 10) -> None:
    for number in range(1, until + 1):
        mark(where, number)


def worked(number: int) -> int:
    mark("worked", number)
    return os.getpid()


def processes(method: str) -> None:
    """Have children of multiprocessing capture, as the parent does before and after."""
    context = multiprocessing.get_context(method)
    mark_some("before")
    children = [context.Process(target=mark_some, args=("child",)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    mark_some("after")
    sys.exit(any(child.exitcode for child in children))


def pool(method: str) -> None:
    """Have the processes of a pool capture."""
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(worked, range(1, 21)))


def fork(end: str) -> None:
    """Fork, with no more than the operating system's call."""
    mark_some("before")
    if (child := os.fork()) == 0:
        mark_some("child")
        if end == "flush":
            assert emitter.flush(10)
        if end != "exit":
            os._exit(0)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    mark_some("after")


def storm(children: str) -> None:
    """Fork again and again while threads capture."""
    enough = threading.Event()

    def capture(name: str) -> None:
        for number in itertools.count(1):
            if enough.wait(0.0005):
                return
            mark(name, number)

    threads = [threading.Thread(target=capture, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    gc.freeze()  # else each child takes apart what Django made, page by page: Python's work, and most of all there is
    forked = []
    for number in range(int(children)):
        if (child := os.fork()) == 0:
            mark_some("child", 5)
            leave(number)
        forked.append(child)
    codes = {child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in forked}
    enough.set()
    for thread in threads:
        thread.join()
    assert not any(codes.values()), {child: code for child, code in codes.items() if code}


def leave(number: int) -> None:
    """Leave as Python does, or flush and leave at once; should that hang, say where."""
    if number % 2:
        sys.exit(0)
    if not emitter.flush(FLUSH):
        faulthandler.dump_traceback()
        os._exit(1)
    os._exit(0)


def executor() -> None:
    """End while threads of an executor still have work, which Python waits for."""
    threads = concurrent.futures.ThreadPoolExecutor(4)
    for number in range(1, 41):
        threads.submit(lambda number=number: (time.sleep(0.002), mark("worked", number)))


def daemon() -> None:
    """End while a daemon thread captures on and on, which Python doesn't wait for."""

    def capture() -> None:
        for number in itertools.count(1):
            mark("daemon", number)

    threading.Thread(target=capture, daemon=True).start()
    while emitter.counts()["captured"] < 100:
        time.sleep(0.001)


def serve_none() -> None:
    """Capture, say so, and wait for a signal, for which a container's programs have a handler."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    mark_some("program", 100)
    print("captured", flush=True)
    while True:
        time.sleep(60)


def capture_on() -> None:
    """Capture until killed."""
    for number in itertools.count(1):
        mark("program", number)
        time.sleep(0.001)


if __name__ == "__main__":
    atexit.register(tell_counts, os.getpid())  # the first one registered is the last one called
    django.setup()
    import_module("tests.processes.shop.operations")  # a child forked while a thread imports it would wait for that
    globals()[sys.argv[1]](*sys.argv[2:])
