"""One view: the first 1,000 orders as JSON."""

from django.http import HttpRequest, JsonResponse
from django.urls import path

from benchmarks.emitter_shop.models import Order

NAMES = [field.attname for field in Order._meta.concrete_fields]


def orders(request: HttpRequest) -> JsonResponse:
    rows = Order.objects.order_by("pk")[:1000]
    return JsonResponse({"orders": [{name: getattr(row, name) for name in NAMES} for row in rows]})


urlpatterns = [path("orders/", orders)]
