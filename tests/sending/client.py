"""A process that captures events until it is told to stop, or killed: ``python -m tests.sending.client URL SPOOL``.

Its settings come as JSON in the third argument. It prints its emitter, then, when its input ends, closes its worker and
prints what it captured and lost.
"""

import http.client
import json
import logging
import sys
import threading
import time
from urllib.parse import urlsplit

import msgspec

from emitter.event import Event, Limits, Result, encode_batch, stamp
from emitter.exceptions import TemporaryError
from emitter.worker import Worker

logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
DATA = msgspec.Raw(b'{"fields":{"name":"' + b"x" * 200 + b'"}}')


class Wire:
    """Posts JSON to the sink of the test, over one connection a call."""

    limits = Limits()

    def __init__(self, url):
        self._address = urlsplit(url).netloc

    def _post(self, path, body, timeout):
        connection = http.client.HTTPConnection(self._address, timeout=timeout or 5)
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise TemporaryError(str(error)) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise TemporaryError(f"answered {answer.status}", status=answer.status)

    def send(self, events, *, timeout=None):
        self._post("/events/", encode_batch(events), timeout)
        return Result(accepted=len(events), duplicates=0, rejected=0)

    def report(self, telemetry, *, timeout=None):
        self._post("/telemetry/", msgspec.json.encode(telemetry), timeout)

    def reset(self):
        pass


def main(url, spool, options):
    settings = json.loads(options)
    number, pause = settings.pop("number", 0), settings.pop("pause", 0.0005)
    worker = Worker(Wire(url), spool=spool, **settings)
    print(worker.emitter_id, flush=True)
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    put = 0
    while not stop.is_set() if not number else put < number:
        identity, moment = stamp()
        worker.put(Event(id=identity, time=moment, source="/s", type="t", data=DATA))
        put += 1
        if pause and put % 10 == 0:
            time.sleep(pause)
    stop.wait()
    worker.close()
    print(json.dumps({"captured": worker.captured, "lost": worker.counts}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
