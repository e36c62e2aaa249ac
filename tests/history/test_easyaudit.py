"""What django-easy-audit has recorded, as its own signals wrote it, arrives as events."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from easyaudit.middleware.easyaudit import clear_request, set_current_user
from easyaudit.models import CRUDEvent, LoginEvent, RequestEvent

from tests.history.conftest import Done, fields_of_order
from tests.history.store.models import Customer, Draft, Key, Order, Tag

pytestmark = pytest.mark.django_db

Bring = Callable[..., Done]


@pytest.fixture
def wrote(django_capture_on_commit_callbacks: Any) -> Any:
    """Have what is written in a block be committed, which easy-audit waits for."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


def order(**values: Any) -> Order:
    return Order.objects.create(**{"number": "2026-1", "price": Decimal("9.90"), "notes": "do not tell", **values})


def told(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event["data"].items() if name != "imported"}


def test_an_object_is_told_from_first_to_last(bring: Bring, wrote: Any) -> None:
    with wrote():
        first, second = Customer.objects.create(name="Ann"), Customer.objects.create(name="Bob")
    with wrote():
        made = order(customer=first, options={"gift": True})
    key, stored = made.pk, Order.objects.get()
    stored.status, stored.options, stored.customer = "paid", {"gift": False}, second
    stored.placed_at = datetime(2026, 3, 1, 12, 30, 15, 123000, tzinfo=UTC)
    with wrote():
        stored.save()
    with wrote():
        stored.delete()

    created, updated, deleted = bring("easyaudit").of("store.Order")
    fields = fields_of_order(key, first.pk)
    changes = {
        "status": ["new", "paid"],
        "placed_at": [None, "2026-03-01T12:30:15.123000Z"],
        "options": [{"gift": True}, {"gift": False}],
        "customer_id": [{"expression": "not recorded"}, second.pk],
    }
    assert [each["action"] for each in (created, updated, deleted)] == ["created", "updated", "deleted"]
    assert {each["subject"] for each in (created, updated, deleted)} == {f"store.Order/{key}"}
    assert told(created) == {"fields": fields}
    assert told(updated) == {
        "changes": changes,
        "diff_source": "easyaudit",
        "fields": {name: value for name, value in fields.items() if name not in changes},
    }
    assert told(deleted) == {"fields": {**fields, **{name: new for name, (_, new) in changes.items()}}}
    assert deleted["data"]["imported"]["table"] == "easyaudit_crudevent"


def test_relations_are_told_with_keys_from_either_side(bring: Bring, wrote: Any) -> None:
    made, tag = order(), Tag.objects.create(name="red")
    for change in (
        lambda: made.tags.add(tag),
        made.tags.clear,
        lambda: tag.order_set.add(made),
        lambda: tag.order_set.remove(made),
    ):
        with wrote():
            change()

    added, cleared, other_added, other_removed = (
        event for event in bring("easyaudit").events if event["type"].endswith(".m2m_changed")
    )
    relation = {"field": "store.Order.tags", "model": "store.Tag", "reverse": False}
    back = {"field": "store.Order.tags", "model": "store.Order", "reverse": True}
    assert (added["subject"], other_added["subject"]) == (f"store.Order/{made.pk}", f"store.Tag/{tag.pk}")
    assert told(added) == {**relation, "op": "add", "pks": [tag.pk]}
    assert told(cleared)["op"] == "clear"
    assert told(other_added) == {**back, "op": "add", "pks": [made.pk]}
    assert told(other_removed) == {**back, "op": "remove", "pks": [made.pk]}
    assert (added["action"], cleared["action"], other_removed["action"]) == ("added", "cleared", "removed")


def test_who_did_it_is_told_be_the_user_there_or_not(bring: Bring, wrote: Any) -> None:
    user = User.objects.create(username="ann")
    set_current_user(user)
    try:
        with wrote():
            order(number="1")
        with wrote():
            order(number="2")
    finally:
        clear_request()
    CRUDEvent.objects.filter(pk=CRUDEvent.objects.latest("pk").pk).update(user_id=None)

    events = [event for event in bring("easyaudit").events if event["sender"] == "store.Order"]
    assert [event["actor"] for event in events] == [f"auth.User/{user.pk}"] * 2


def test_logins_are_told_as_django_does(bring: Bring) -> None:
    user = User.objects.create(username="ann")
    LoginEvent.objects.create(login_type=0, username="ann", user=user, remote_ip="192.0.2.7")
    LoginEvent.objects.create(login_type=1, username="ann", user=user, remote_ip="")
    LoginEvent.objects.create(login_type=2, username="eve", remote_ip="192.0.2.8")

    logged_in, logged_out, failed = bring("easyaudit").events
    assert [each["type"].rpartition(".")[2] for each in (logged_in, logged_out, failed)] == [
        "user_logged_in",
        "user_logged_out",
        "user_login_failed",
    ]
    assert [each["action"] for each in (logged_in, logged_out, failed)] == ["logged_in", "logged_out", "login_failed"]
    assert logged_in["actor"] == logged_in["subject"] == f"auth.User/{user.pk}"
    assert told(logged_in) == {"username": "ann", "ip": "192.0.2.7"}
    assert told(failed) == {"credentials": {"username": "eve"}, "ip": "192.0.2.8"}


def test_requests_are_told_without_what_their_route_or_query_has_of_secrets(bring: Bring) -> None:
    for url, query in (("/orders/7/", "page=2&token=s3cr3t"), ("/reset/s3cr3t/", ""), ("/gone/s3cr3t", "")):
        RequestEvent.objects.create(url=url, method="GET", query_string=query, remote_ip="192.0.2.7")

    order, reset, gone = bring("easyaudit").events
    assert order["type"] == "django.core.signals.request_started"
    assert told(order) == {
        "method": "GET",
        "ip": "192.0.2.7",
        "route": "/orders/<int:number>/",
        "path": "/orders/7/",
        "query": "page=2&token=[masked]",
    }
    assert told(reset)["path"] == "/reset/[masked]/"
    assert told(gone) == {"method": "GET", "ip": "192.0.2.7", "route": None}


def test_nothing_private_leaves(bring: Bring, wrote: Any) -> None:
    with wrote():
        customer = Customer.objects.create(name="Ann", password="hunter2", diagnosis="measles")
    customer.password, customer.diagnosis = "hunter3", "mumps"
    with wrote():
        customer.save()
    with wrote():
        key = Key.objects.create(token="t0ps3cret", label="theirs")
    with wrote():
        key.delete()
    with wrote():
        Draft.objects.create(text="hidden draft")
    with wrote():
        order(remark="see https://ann:hunter2@example.com/")

    done = bring("easyaudit")
    done.check_nothing_private()


def test_an_entry_that_can_not_be_read_is_refused_and_the_others_are_told(bring: Bring, wrote: Any) -> None:
    for number in ("1", "2"):
        with wrote():
            order(number=number)
    CRUDEvent.objects.filter(pk=CRUDEvent.objects.earliest("pk").pk).update(object_json_repr='[{"fields"')

    done = bring("easyaudit")
    assert len(done.of("store.Order")) == 1
    assert "1 (unreadable_entry)" in done.said
    assert "1 entries were refused" in done.error
