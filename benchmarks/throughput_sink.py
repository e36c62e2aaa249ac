"""A sink that speaks enough of three protocols to count: ``python -m benchmarks.throughput_sink FILE`` prints its port.

``/N/…`` is where the contender of number N posts. What arrived is counted in a file, which all processes map as memory.
"""

import mmap
import struct
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import msgspec

from benchmarks.emitter_sink import Answering

NAMES = ["heliograph", "posthog", "sentry events", "sentry logs"]


class Arrivals:
    """How many events each contender's sink has, and how many it was told are lost: in memory of both processes."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 16 * len(NAMES))

    @staticmethod
    def make(path: str) -> None:
        Path(path).write_bytes(bytes(16 * len(NAMES)))

    def read(self, number: int) -> tuple[int, int]:
        arrived, lost = struct.unpack_from("=QQ", self._memory, 16 * number)
        return arrived, lost

    def add(self, number: int, arrived: int, lost: int) -> None:
        before = self.read(number)
        struct.pack_into("=QQ", self._memory, 16 * number, before[0] + arrived, before[1] + lost)


class Sink(Answering):
    arrivals: Arrivals
    adding = threading.Lock()

    def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
        self.answer({})

    def do_POST(self) -> None:  # noqa: N802
        body = self.body()
        number = int(self.path.split("/")[1])
        arrived, lost = COUNT[NAMES[number]](body, self.path)
        with self.adding:
            self.arrivals.add(number, arrived, lost)
        self.answer({"status": "Ok", "accepted": arrived, "duplicates": 0, "rejected": 0, "errors": []})


def count_ours(body: bytes, path: str) -> tuple[int, int]:
    return (len(msgspec.json.decode(body, type=list[msgspec.Raw])) if path.endswith("/events/") else 0), 0


def count_posthog(body: bytes, path: str) -> tuple[int, int]:
    return (len(msgspec.json.decode(body)["batch"]) if path.endswith("/batch/") else 0), 0


def count_sentry(body: bytes, path: str) -> tuple[int, int]:
    """Count an envelope's events and log records, and what its client reports say was discarded."""
    arrived = lost = 0
    lines = iter(body.split(b"\n")[1:])
    for head in lines:
        if not head:
            continue
        item, payload = msgspec.json.decode(head), next(lines)
        if item["type"] == "client_report":
            discarded = msgspec.json.decode(payload)["discarded_events"]
            lost += sum(each["quantity"] for each in discarded if each["category"] in {"error", "log_item"})
        else:
            arrived += item.get("item_count", 1)
    return arrived, lost


COUNT = {
    "heliograph": count_ours,
    "posthog": count_posthog,
    "sentry events": count_sentry,
    "sentry logs": count_sentry,
}


if __name__ == "__main__":
    Sink.arrivals = Arrivals(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    print(server.server_port, flush=True)
    server.serve_forever()
