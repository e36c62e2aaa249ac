import os
import threading

from django.db import transaction

from tests.processes.shop.models import Order
from tests.processes.shop.signals import order_paid


def mark(where: str, number: int = 0) -> None:
    """Send the signal that tells which process it was sent in: of what arrives, whose it is can be seen."""
    order_paid.send(sender=None, pid=os.getpid(), where=where, number=number)


@transaction.atomic
def pay(number: int) -> None:
    Order.objects.create(number=number)
    mark("request", number)


def mark_much(where: str, seconds: threading.Event) -> None:
    number = 0
    while not seconds.is_set():
        mark(where, number := number + 1)
