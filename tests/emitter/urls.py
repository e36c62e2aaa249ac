"""Views that do what a request's events are made of."""

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.emitter.library.models import Book


def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=403)
    login(request, user)
    return HttpResponse()


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def buy(request: HttpRequest, title: str) -> HttpResponse:
    asked = request.GET.get("ask") and request.user.pk
    Book.objects.create(title=title)
    return HttpResponse(str(asked), status=201)


def buy_and_fail(request: HttpRequest) -> HttpResponse:
    Book.objects.create(title="Emma")
    raise LookupError("no money")


async def buy_async(request: HttpRequest, title: str) -> HttpResponse:
    await Book.objects.acreate(title=title)
    return HttpResponse(status=201)


def broken(request: HttpRequest) -> HttpResponse:
    raise LookupError("no such shelf")


urlpatterns = [
    path("login", log_in),
    path("logout", log_out),
    path("buy/<str:title>", buy),
    path("abuy/<str:title>", buy_async),
    path("buy-and-fail", buy_and_fail),
    path("broken", broken),
]
