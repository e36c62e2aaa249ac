"""The corpus of secrets through every signal: none leaves the process. And of look-alikes: none is masked."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.test.utils import isolate_apps
from django.urls import path

from emitter import selection, serialization
from emitter.event import encode_batch
from tests.emitter.conftest import Arrived
from tests.emitter.corpus import (
    BODY,
    HEX,
    INNOCENT_NAMES,
    INNOCENT_TEXTS,
    LINES,
    SECRET_NAMES,
    SECRET_VALUES,
    SECRETS_IN_PLACE,
)
from tests.emitter.library.models import Book, Token, Vault
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True)

NAMED = {name: f"hush{number}hush" for number, name in enumerate(SECRET_NAMES)}
TEXTS = [*SECRET_VALUES.values(), *(text for text, _, _ in SECRETS_IN_PLACE)]
EVERYTHING = {
    "named": NAMED,
    "texts": TEXTS,
    "nested": {"list": [{"named": NAMED}, ({"texts": tuple(TEXTS)},)]},
    "prose": [f"It was {text} that we had." for text in TEXTS],
    "keys": dict.fromkeys(SECRET_VALUES.values(), 1),
    "encoded": json.dumps(NAMED, ensure_ascii=False),
}
SECRETS = [
    *NAMED.values(),
    *SECRET_VALUES.values(),
    *(secret for _, secret, _ in SECRETS_IN_PLACE if secret != "1234"),  # which other things may hold as well
    *("hush", "hunter2", BODY[:20], HEX, LINES[:20]),
]


@pytest.fixture(params=["", "a secret"], autouse=True)
def mask_secret(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.HELIOGRAPH_MASK_SECRET = request.param


def leaked(arrived: Arrived) -> list[str]:
    """Return the secrets that stand in what has left; fail when nothing has."""
    events = arrived()
    assert events
    sent = encode_batch(events).decode()
    return [secret for secret in SECRETS if json.dumps(secret)[1:-1] in sent]


def test_in_the_fields_of_models(arrived: Arrived) -> None:
    for text in TEXTS:
        vault = Vault.objects.create(password="hush", text=text, address=text, details=EVERYTHING, labels=TEXTS)
        vault.text, vault.address, vault.details, vault.labels = "", "", {}, []
        vault.save()
        vault.text, vault.details = f"It was {text}.", {"it": text}
        vault.save(update_fields=["text", "details"])
        vault.delete()

    assert leaked(arrived) == []


def test_of_a_users_password_unlike_with_easy_audit_and_auditlog(arrived: Arrived) -> None:
    """easy-audit#219 logs the hashes of passwords whole, auditlog#300 by half."""
    user = User.objects.create_user("ada", password="hunter2")
    first = user.password
    user.set_password("hunter3")
    user.save()

    sent = encode_batch(arrived()).decode()
    assert [told for told in (first, user.password, "md5$", "hunter") if told in sent] == []
    changes = [event.data["changes"] for event in arrived() if event.data and "changes" in event.data]
    assert [list(each) for each in changes] == [["password"]]  # that it has changed is told


def test_in_the_calls_that_send_no_signal(arrived: Arrived) -> None:
    vaults = Vault.objects.bulk_create(
        [Vault(password="hush", text=text, address=text, details=EVERYTHING, labels=TEXTS) for text in TEXTS]
    )
    for text in TEXTS:
        Vault.objects.filter(text=text).update(password="hush2", text=f"It was {text}.", details={"it": text})
    for vault, text in zip(vaults, TEXTS, strict=True):
        vault.text, vault.password = text, "hush3"
    Vault.objects.bulk_update(vaults, ["text", "password"])
    Vault.objects.update_or_create(text="none", defaults={"password": "hush4", "details": EVERYTHING})
    Vault.objects.filter(details={"password": "hush5"}).delete()

    assert leaked(arrived) == []


def test_in_what_is_rolled_back(arrived: Arrived) -> None:
    with transaction.atomic():
        Vault.objects.create(password="hush", text=TEXTS[0], details=EVERYTHING)
        transaction.set_rollback(True)
    Book.objects.create(title="Emma")

    assert leaked(arrived) == []


@pytest.mark.parametrize("key", ["hush", HEX + HEX[:8], SECRET_VALUES["GitHub"], SECRET_VALUES["Django's signature"]])
def test_in_the_key_of_an_object(arrived: Arrived, key: str) -> None:
    token = Token.objects.create(key=key)
    token.label = "new"
    token.save()
    vault = Vault.objects.create(opener=token)
    vault.tokens.add(token)
    token.vaults.remove(vault)
    vault.tokens.set([token])
    vault.tokens.clear()
    book_lent.send(Vault, instance=token, lender=[token])
    vault.delete()
    token.delete()

    assert [told for told in (key, *leaked(arrived)) if told in encode_batch(arrived()).decode()] == []


@isolate_apps("tests.emitter.library")
def test_in_a_key_that_is_anothers() -> None:
    class Made(models.Model):
        class Meta:
            abstract = True
            app_label = "library"

    class Door(Made):
        api_key = models.CharField(max_length=40, primary_key=True)
        below = models.ForeignKey("self", models.CASCADE, null=True)

    class Gate(Door):
        """Its key points to its parent."""

    class Bell(Made):
        door = models.OneToOneField(Gate, models.CASCADE, primary_key=True)

    class Lock(Made):
        pk = models.CompositePrimaryKey("number", "pin")
        number = models.IntegerField()
        pin = models.CharField(max_length=10)

    class Lodger(Made):
        session_key = models.CharField(max_length=40, unique=True)
        bell = models.ForeignKey(Bell, models.CASCADE)
        host = models.ForeignKey("self", models.CASCADE, to_field="session_key")
        friend = models.ForeignKey("self", models.CASCADE, related_name="+")

    assert all(map(selection.has_secret_key, [Door, Gate, Bell, Lock]))
    assert not any(map(selection.has_secret_key, [Lodger, Book]))
    secret = [each.name for model in (Door, Lodger) for each in model._meta.fields if selection.is_secret_field(each)]
    assert secret == ["api_key", "below", "session_key", "bell", "host"]


def test_in_the_arguments_of_a_signal(arrived: Arrived) -> None:
    book_lent.send(Book, **EVERYTHING)
    book_lent.send(Book, **NAMED)
    book_lent.send(Book, cookies=NAMED, credentials=[NAMED], user={"password": {"old": "hush", "new": ["hush"]}})
    for text in TEXTS:
        book_lent.send(text, note=text, lender=Vault(pk=1, text=text))

    assert leaked(arrived) == []


def test_in_a_text_that_is_cut(arrived: Arrived) -> None:
    """What is left of a secret at the cut may no longer look like one."""
    for text in SECRET_VALUES.values():
        book_lent.send(Book, note="so " * (serialization.TEXT // 3 - 6) + text)

    sent = encode_batch(arrived()).decode()
    assert [text for text in SECRET_VALUES.values() if json.dumps(text[:15])[1:-1] in sent] == []


def test_in_the_credentials_of_a_failed_login(arrived: Arrived) -> None:
    user_login_failed.send("tests", credentials=NAMED, request=None)
    user_login_failed.send("tests", credentials=EVERYTHING, request=None)
    for text in TEXTS:
        authenticate(username=text, password="hush")

    assert leaked(arrived) == []


def answer(request: HttpRequest, rest: str = "") -> HttpResponse:
    return HttpResponse()


def fail(request: HttpRequest, rest: str = "") -> HttpResponse:
    raise LookupError(f"no {rest}", EVERYTHING)


ROUTE = SECRET_VALUES["Telegram"]  # whose webhooks have the token in their route

urlpatterns = [
    path("answer/<path:rest>", answer),
    path("fail/<path:rest>", fail),
    path(f"hooks/{ROUTE}/<path:rest>", answer),
]


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize("start", ["answer/", "fail/", f"hooks/{ROUTE}/", "nowhere/"])
def test_in_a_request(arrived: Arrived, start: str) -> None:
    client = Client(raise_request_exception=False)
    for text in TEXTS:
        query = urlencode({"q": text, "token": "hush"})
        headers = {"Authorization": "Bearer hush", "Cookie": "sessionid=hush", "X-Api-Key": "hush", "Referer": "/hush"}
        client.post(f"/{start}{quote(text)}?{query}", {"password": "hush", "note": text}, headers=headers)

    assert leaked(arrived) == []


def test_in_the_id_that_a_caller_sends(arrived: Arrived, client: Client) -> None:
    for text in TEXTS:
        client.get("/buy/Emma", headers={"X-Request-ID": quote(text, safe=":;,?/=$&@")})

    assert leaked(arrived) == []


def test_of_a_setting_that_a_test_changes(arrived: Arrived, settings: Any) -> None:
    settings.HELIOGRAPH_SIGNALS = [*settings.HELIOGRAPH_SIGNALS, "setting_changed"]
    with override_settings(SECRET_KEY="hush", EXTRA=EVERYTHING, BROKER_URL="amqp://ada:hunter2@mq"):
        Book.objects.create(title="Emma")

    assert leaked(arrived) == []


def test_no_look_alike_is_masked(arrived: Arrived) -> None:
    texts = [text for text in INNOCENT_TEXTS if not text.startswith("[masked") and text.isprintable()]
    named = {name: "told" for name in INNOCENT_NAMES if name}
    told = {"texts": texts, "named": named, "nested": [{"named": named, "texts": [texts]}]}

    book_lent.send(Book, **told)
    Vault.objects.create(details=told)

    lent, saved = [event.data for event in arrived() if event.type.endswith(("book_lent", "post_save"))]
    assert lent == told
    assert saved is not None
    assert saved["fields"]["details"] == told
