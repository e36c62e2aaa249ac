"""A service that keeps what arrives in files: ``python -m tests.processes.sink FOLDER`` prints its port.

``http://…/NAME`` takes the place of a service of that name. Before its answer, every event is a line of
``FOLDER/NAME.events``, repeats too, and every report of an emitter a line of ``NAME.telemetry``. A service whose name
begins with ``hanging`` takes requests and never answers.
"""

import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

LIMITS = {"events": 1000, "body": 5 << 20, "inflated": 20 << 20, "event": 256 << 10, "depth": 32}

writing = threading.Lock()
known: dict[str, set[str]] = {}  # ids, by name of the service


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet
    folder: Path

    @property
    def name(self) -> str:
        return self.path.split("/")[1]

    def do_GET(self) -> None:
        self.hang()
        self.answer({"version": "0", "limits": LIMITS, "retention_days": 30})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hang()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        value = msgspec.json.decode(body)
        if self.path.endswith("/telemetry/"):
            self.keep("telemetry", [value])
            self.answer(None, 204)
        else:
            self.answer(self.take(value if isinstance(value, list) else [value]))

    def take(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        with writing:
            self.keep("events", events)
            ids = known.setdefault(self.name, set())
            new = {event["id"] for event in events} - ids
            ids |= new
        return {"accepted": len(new), "duplicates": len(events) - len(new), "rejected": 0, "errors": []}

    def keep(self, what: str, values: list[Any]) -> None:
        with (self.folder / f"{self.name}.{what}").open("ab") as file:
            file.write(b"".join(msgspec.json.encode(value) + b"\n" for value in values))

    def hang(self) -> None:
        if self.name.startswith("hanging"):
            self.rfile.read(1)  # until the other side gives up
            self.close_connection = True
            raise ConnectionAbortedError

    def answer(self, value: object, status: int = 200) -> None:
        body = b"" if status == 204 else msgspec.json.encode(value)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Stay silent: clients are killed here."""


if __name__ == "__main__":
    Sink.folder = Path(sys.argv[1])
    server = Server(("127.0.0.1", 0), Sink)
    print(server.server_port, flush=True)
    server.serve_forever()
