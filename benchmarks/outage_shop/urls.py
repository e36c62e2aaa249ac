"""One view for each way of delivery. With its beginning and end, a request is `EVENTS` events."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.outage_shop.models import Order
from benchmarks.outage_shop.signals import packed

EVENTS = {"memory": 10, "outbox": 40}
OF_REQUEST = 2  # of those: they are about no database, and leave from memory whatever the delivery
ORDERS = 2  # each saved twice

CUSTOMER, ADDRESS = "Ada Lovelace", "12 St James's Square, London"


def pack(number: int) -> None:
    for item in range(number):
        packed.send(sender=None, item=item, customer=CUSTOMER, address=ADDRESS)


def memory(request: HttpRequest) -> HttpResponse:
    pack(EVENTS["memory"] - OF_REQUEST)
    return HttpResponse("ok")


def outbox(request: HttpRequest) -> HttpResponse:
    """Save and send in one transaction, that of the request."""
    for number in range(ORDERS):
        order = Order.objects.create(number=number, customer=CUSTOMER)
        order.is_paid = True
        order.save()
    pack(EVENTS["outbox"] - OF_REQUEST - 2 * ORDERS)
    return HttpResponse("ok")


urlpatterns = [path("memory", memory), path("outbox", outbox)]
