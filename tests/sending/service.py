"""A service on a loopback socket that answers what it is told, over TLS where that is asked for."""

import gzip
import json
import socket
import ssl
import struct
import threading
import uuid
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from emitter.event import Event

KEY = "hg_secret"
TAKEN = object()  # the answer of a service that has stored all it was sent
STORED = object()  # the same, by a service that knows duplicates


def an_event(number=1, **attributes):
    moment = {"time": "2026-11-22T10:00:00.000001Z", "source": "/shop/web", "type": "t"}
    return Event(id=uuid.UUID(int=number), **{**moment, **attributes})


def problem(title, detail):
    return {"type": "about:blank", "title": title, "detail": detail}


def reset_connection(request):
    """Close without the four-way farewell, as a crashed server's kernel does."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.close_connection = True


class Service(ThreadingHTTPServer):
    """A service that gives the answers it is told, in turn, the last one for ever, and keeps what it was sent."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, context: ssl.SSLContext | None = None):
        super().__init__(("127.0.0.1", 0), _Request)
        self.context = context
        self.answers = [(200, {}, TAKEN)]
        self.meta = (404, {}, b"")
        self.metas = 0
        self.requests = []
        self.ids = set()
        self.connections = set()

    @property
    def url(self):
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.server_port}"

    def finish_request(self, request, client_address):
        if not self.context:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def answer(self, status, body=b"", **headers):
        self.answers = [(status, headers, body)]

    def next_answer(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def handle_error(self, request, client_address):
        """Say nothing of clients that hang up."""

    def batches(self):
        return [[event["id"] for event in json.loads(request.body)] for request in self.requests]


class Received(NamedTuple):
    command: str
    path: str
    headers: Message
    body: bytes


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.metas += 1
        self.server.connections.add(self.client_address)
        self.answer(*self.server.meta)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        self.server.requests.append(Received(self.command, self.path, self.headers, body))
        self.server.connections.add(self.client_address)
        answer = self.server.next_answer()
        if callable(answer):
            answer(self)
            return
        status, headers, content = answer
        if content is TAKEN:
            content = {"accepted": len(json.loads(body)), "duplicates": 0, "rejected": 0, "errors": []}
        if content is STORED:
            ids = {event["id"] for event in json.loads(body)}
            content = {"accepted": len(ids - self.server.ids), "duplicates": len(ids & self.server.ids), "rejected": 0}
            self.server.ids |= ids
        self.answer(status, headers, content)

    def answer(self, status, headers, content):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def running(server):
    """Have a server answer while the block runs."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
