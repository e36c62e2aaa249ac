"""A service that takes every event and keeps none: it counts. ``python -m benchmarks.emitter_sink`` prints its port.

``POST /<name>/…`` answers as the ingest endpoint does, or that of telemetry; ``GET /<name>`` answers how many events
came for that name.
"""

import gzip
import json
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

count = msgspec.json.Decoder(list[msgspec.Raw])
arrived: Counter[str] = Counter()


class Answering(BaseHTTPRequestHandler):
    """What a sink needs of HTTP."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet: in two, the second would wait for a delayed acknowledgement

    def body(self) -> bytes:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Sink(Answering):
    @property
    def contender(self) -> str:
        return self.path.split("/")[1]

    def do_POST(self) -> None:
        body = self.body()
        if self.path.endswith("/telemetry/"):
            self.answer(None)
            return
        number = len(count.decode(body))
        arrived[self.contender] += number
        self.answer({"accepted": number, "duplicates": 0, "rejected": 0, "errors": []})

    def do_GET(self) -> None:
        meta = {"version": "0", "time": "2026-01-01T00:00:00Z"}
        self.answer(meta if self.path.endswith("/meta/") else arrived[self.contender])


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    print(server.server_port, flush=True)
    server.serve_forever()
