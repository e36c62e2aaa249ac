"""A service that can be down, and counts events by id: ``python -m benchmarks.outage_sink`` prints a port.

That is of its control: ``GET /up``, ``/down`` or ``/`` answers what has arrived, and at which port the service is.
"""

import threading
from http.server import ThreadingHTTPServer
from socket import SHUT_RDWR
from typing import Any
from uuid import UUID

import msgspec

from benchmarks.emitter_sink import Answering


class Told(msgspec.Struct):
    id: UUID
    sequence: str | None = None


class Service:
    """How often events came, and the server that takes them while it is up."""

    def __init__(self) -> None:
        self.numbered: set[bytes] = set()
        self.rows: set[bytes] = set()
        self.arrived = 0
        self.server: Sink | None = None
        self.port = 0
        self.counting = threading.Lock()

    def take(self, events: list[Told]) -> None:
        with self.counting:
            self.arrived += len(events)
            for event in events:
                (self.rows if event.sequence is None else self.numbered).add(event.id.bytes)

    def up(self) -> None:
        self.server = Sink(("127.0.0.1", self.port), Events)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            for connection in list(self.server.open):
                connection.shutdown(SHUT_RDWR)

    def counts(self) -> dict[str, int]:
        with self.counting:
            return {
                "port": self.port,
                "arrived": self.arrived,
                "numbered": len(self.numbered),
                "rows": len(self.rows),
            }


service = Service()


class Sink(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        self.open: set[Any] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Let connections break."""


class Events(Answering):
    decode = msgspec.json.Decoder(list[Told]).decode

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
        body = self.body()
        if self.path.endswith("/telemetry/"):
            self.answer(None)
            return
        events = self.decode(body)
        service.take(events)
        self.answer({"accepted": len(events), "duplicates": 0, "rejected": 0, "errors": []})

    def do_GET(self) -> None:  # noqa: N802
        self.answer({})


class Control(Answering):
    def do_GET(self) -> None:  # noqa: N802
        match self.path:
            case "/up":
                service.up()
            case "/down":
                service.down()
        self.answer(service.counts())


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    print(server.server_port, flush=True)
    server.serve_forever()
