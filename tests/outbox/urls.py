"""One page that writes, and fails if asked to."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.outbox.store.models import Item


def page(request: HttpRequest) -> HttpResponse:
    Item.objects.create(name=request.GET["name"])
    if "fail" in request.GET:
        raise LookupError
    return HttpResponse()


urlpatterns = [path("", page)]
