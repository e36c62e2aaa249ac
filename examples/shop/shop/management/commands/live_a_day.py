"""``manage.py live_a_day``: open the shop, have customers come in over HTTP, and tell how many events that made."""

import json
import threading
from secrets import token_hex
from typing import Any

import urllib3
from django.core.management.base import BaseCommand, CommandParser
from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer
from django.core.wsgi import get_wsgi_application

from emitter import outlet


class Customer:
    """A browser of sorts: it keeps its session cookie."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pool = urllib3.PoolManager(retries=False)
        self.cookie = ""

    def __call__(self, method: str, path: str, **sent: Any) -> Any:
        headers = {"Cookie": self.cookie, "Content-Type": "application/json"}
        answer = self.pool.request(method, self.address + path, body=json.dumps(sent), headers=headers)
        self.cookie = answer.headers.get("Set-Cookie", self.cookie).partition(";")[0]
        is_json = answer.headers.get("Content-Type") == "application/json"
        return answer.json() if is_json else None


class Command(BaseCommand):
    help = "Live through a day of a shop. The last line is the number of events captured."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--patience", type=float, default=30, help="seconds the service has to take all events")

    def handle(self, *args: Any, **options: Any) -> None:
        # One request after the other, so that the last has ended, signals and all, when the server has stopped.
        server = WSGIServer(("127.0.0.1", 0), WSGIRequestHandler, ipv6=False)
        server.set_app(get_wsgi_application())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            live(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            server.server_close()
        if not outlet.worker().flush(timeout=options["patience"]):
            self.stderr.write(f"The service did not take all events within {options['patience']:.0f} s.")
        self.stdout.write(str(outlet.worker().captured))


def live(address: str) -> None:
    names = [f"{name}-{token_hex(3)}" for name in ("ada", "grace", "edsger", "barbara", "donald")]
    customers = [Customer(address) for _ in names]
    for visit, name in zip(customers, names, strict=True):
        visit("POST", "/signup", username=name, password="a long enough password")
        visit("POST", "/logout")
        visit("POST", "/login", username=name, password="guessed")
        visit("POST", "/login", username=name, password="a long enough password")
    orders = [
        visit("POST", "/orders", article=f"Lamp no. {n}", total=f"{n}9.90") for n in (1, 2, 3) for visit in customers
    ]
    for number, order in enumerate(orders):
        visit, path = customers[number % len(customers)], f"/orders/{order['id']}"
        visit("POST", f"{path}/tags", add=["gift", "express"])
        visit("PATCH", path, article=f"A better lamp no. {number}")
        visit("POST", f"{path}/pay")
        visit("POST", f"{path}/tags", remove=["express"])
        if number % 5 == 4:
            visit("DELETE", path)
    customers[0]("POST", "/stocktaking")
    customers[1]("GET", "/broken")
    customers[2]("GET", "/nowhere")
