"""A forward proxy that tunnels (CONNECT), for a test."""

import base64
import contextlib
import select
import socket
import socketserver


class Proxy(socketserver.ThreadingTCPServer):
    """Tunnels to wherever it is asked to, for whoever knows ``password``, if there is one; ``asked`` is where to."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.expected = base64.b64encode(f"me:{password}".encode()).decode() if password else ""
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        method, target, _ = self.rfile.readline().decode().split()
        head = ""
        while (line := self.rfile.readline().decode()).strip():
            head += line
        self.server.asked.append(f"{method} {target}")
        if self.server.expected and f"Basic {self.server.expected}" not in head:
            tried = base64.b64decode(head.partition("Basic ")[2].split("\r\n")[0]).decode()
            self.wfile.write(f"HTTP/1.1 407 Not for {tried}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        host, _, port = target.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as other:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.pass_on(other)

    def pass_on(self, other: socket.socket) -> None:
        ends = {self.request: other, other: self.request}
        while True:
            for end in select.select(list(ends), [], [])[0]:
                if not (data := end.recv(65536)):
                    return
                ends[end].sendall(data)
