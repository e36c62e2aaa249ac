"""The shop's views: JSON in, JSON out."""

import json
from typing import Any

from django.contrib.auth import authenticate, get_user_model, login, logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404

from shop.models import Order, Tag
from shop.signals import order_paid


def body(request: HttpRequest) -> dict[str, Any]:
    return json.loads(request.body or b"{}")


def sign_up(request: HttpRequest) -> HttpResponse:
    sent = body(request)
    user = get_user_model().objects.create_user(sent["username"], password=sent["password"])
    login(request, user)
    return JsonResponse({"id": user.pk}, status=201)


def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, **body(request))
    if user is None:
        return JsonResponse({"detail": "wrong name or password"}, status=403)
    login(request, user)
    return JsonResponse({"id": user.pk})


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse(status=204)


def place_order(request: HttpRequest) -> HttpResponse:
    sent = body(request)
    order = Order.objects.create(customer=request.user, article=sent["article"], total=sent["total"])
    return JsonResponse({"id": order.pk}, status=201)


def one_order(request: HttpRequest, pk: int) -> HttpResponse:
    order = get_object_or_404(Order, pk=pk)
    if request.method == "DELETE":
        order.delete()
        return HttpResponse(status=204)
    for name, value in body(request).items():
        setattr(order, name, value)
    order.save()
    return JsonResponse({"id": order.pk, "status": order.status})


def tags(request: HttpRequest, pk: int) -> HttpResponse:
    order = get_object_or_404(Order, pk=pk)
    sent = body(request)
    order.tags.add(*(Tag.objects.get_or_create(name=name)[0] for name in sent.get("add", [])))
    order.tags.remove(*Tag.objects.filter(name__in=sent.get("remove", [])))
    return JsonResponse({"tags": [tag.name for tag in order.tags.all()]})


def pay(request: HttpRequest, pk: int) -> HttpResponse:
    with transaction.atomic():
        order = get_object_or_404(Order, pk=pk)
        order.status = "paid"
        order.save(update_fields=["status"])
        order_paid.send(Order, order=order, amount=order.total)
    return JsonResponse({"id": order.pk, "status": order.status})


def stocktaking(request: HttpRequest) -> HttpResponse:
    """Change every order, find the sum wrong, and roll all of it back."""
    try:
        with transaction.atomic():
            for order in Order.objects.all():
                order.status = "counted"
                order.save()
            raise ArithmeticError("the shelves and the books differ")
    except ArithmeticError as error:
        return JsonResponse({"detail": str(error)}, status=409)


def broken(request: HttpRequest) -> HttpResponse:
    raise LookupError("the cat sat on the till")
