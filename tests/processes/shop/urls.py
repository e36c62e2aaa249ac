import os

from django.http import HttpRequest, JsonResponse
from django.urls import path

from tests.processes.shop import operations


def pay(request: HttpRequest, number: int) -> JsonResponse:
    operations.pay(number)
    return JsonResponse({"pid": os.getpid()})


urlpatterns = [path("pay/<int:number>/", pay)]
