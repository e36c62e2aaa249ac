"""Django REST framework, which finds out late who asks: the actor is seen and no query is added."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from rest_framework.authentication import BaseAuthentication, TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication, JWTStatelessUserAuthentication
from rest_framework_simplejwt.tokens import AccessToken

from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Book

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


class Buying(APIView):
    def post(self, request: Request) -> Response:
        Book.objects.create(title="Emma")
        return Response(status=201)


class ServiceAuthentication(BaseAuthentication):
    """A bearer that is nobody in the database."""

    def authenticate(self, request: Request) -> tuple[Any, None]:
        return Service(), None


class Service:
    is_authenticated = True
    pk = "billing"


urlpatterns = [
    path("token", Buying.as_view(authentication_classes=[TokenAuthentication])),
    path("jwt", Buying.as_view(authentication_classes=[JWTAuthentication])),
    path("stateless", Buying.as_view(authentication_classes=[JWTStatelessUserAuthentication])),
    path("service", Buying.as_view(authentication_classes=[ServiceAuthentication])),
    path("nobody", Buying.as_view(authentication_classes=[])),
]


def token_of(user: User) -> str:
    return f"Token {Token.objects.create(user=user).key}"


def jwt_of(user: User) -> str:
    return f"Bearer {AccessToken.for_user(user)}"


WAYS: list[tuple[str, Callable[[User], str], str]] = [
    ("token", token_of, "auth.User/{pk}"),
    ("jwt", jwt_of, "auth.User/{pk}"),
    ("stateless", jwt_of, "rest_framework_simplejwt.models.TokenUser/{pk}"),
    ("service", lambda user: "", "tests.emitter.test_drf.Service/billing"),
]


@pytest.mark.parametrize(("url", "credentials", "actor"), WAYS, ids=[way[0] for way in WAYS])
def test_whoever_authenticates_late_is_the_actor_of_all_the_request(
    facts: Arrived, client: Client, url: str, credentials: Callable[[User], str], actor: str
) -> None:
    user = User.objects.create_user("ada")
    authorization = credentials(user)
    before = len(facts())

    assert client.post(f"/{url}", headers={"Authorization": authorization}).status_code == 201

    told = facts()[before:]
    assert [event.type.rpartition(".")[2] for event in told] == ["request_started", "post_save", "request_finished"]
    assert {event.actor for event in told} == {actor.format(pk=user.pk)}


@pytest.mark.parametrize("url", ["token", "jwt"])
def test_seeing_who_it_is_costs_no_query(
    facts: Arrived, client: Client, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User.objects.create_user("ada")
    authorization = token_of(user) if url == "token" else jwt_of(user)

    with CaptureQueriesContext(connection) as captured:
        client.post(f"/{url}", headers={"Authorization": authorization})

    assert len(captured) == 2  # who it is, and the book


@pytest.mark.parametrize("authorization", ["", "Token wrong"])
def test_who_is_refused_is_no_actor(facts: Arrived, client: Client, authorization: str) -> None:
    status = client.post("/token", headers={"Authorization": authorization}).status_code

    assert status == (401 if authorization else 201)
    assert {event.actor for event in facts()} == {None}


def test_no_credential_is_told(facts: Arrived, client: Client) -> None:
    user = User.objects.create_user("ada")
    authorization = jwt_of(user)

    client.post("/jwt", headers={"Authorization": authorization})

    assert authorization.partition(" ")[2] not in str(facts())
