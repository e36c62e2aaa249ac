"""A process that captures events until its input ends, or it is killed: ``python -m tests.contract.captor``.

It reads one line of JSON: the service's ``url`` and ``key``, how many events to capture (``number``, where None is
without end), and what a `Worker` takes beside. It prints its emitter, and when its input has ended, closes its worker.
"""

import json
import sys
import threading
import time

import msgspec

from emitter.event import Event, stamp
from emitter.tally import About
from emitter.transport import HttpTransport
from emitter.worker import Worker

DATA = msgspec.Raw(b'{"fields":{"name":"' + b"x" * 200 + b'"}}')
BURST = 50  # events


def main() -> None:
    told = json.loads(sys.stdin.readline())
    transport, number = HttpTransport(told.pop("url"), told.pop("key")), told.pop("number")
    worker = Worker(transport, about=About(source="/captor"), telemetry_interval=0.1, interval=0.05, **told)
    print(worker.emitter_id, flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set() if number is None else worker.captured < number:
        identity, moment = stamp()
        worker.put(Event(id=identity, time=moment, source="/captor", type="captor.capture", data=DATA))
        if worker.captured % BURST == 0:
            time.sleep(0.001)  # else it would capture a hundred times what a service on the same machine stores
    ended.wait()
    worker.close(20)


if __name__ == "__main__":
    main()
