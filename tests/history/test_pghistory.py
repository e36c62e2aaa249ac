"""What django-pghistory has recorded, as its own triggers wrote it, arrives as events.

A test is one transaction, all of whose entries are of one moment to pghistory.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pghistory
import pytest
from django.contrib.auth.models import User

from emitter.history import snapshots, tables
from tests.history.conftest import Done, fields_of_order
from tests.history.store.models import Customer, Draft, Key, Order

pytestmark = pytest.mark.django_db

Bring = Callable[..., Done]
History: Any = Order.pgh_event_model  # type: ignore[attr-defined]


def order(**values: Any) -> Order:
    return Order.objects.create(**{"number": "2026-1", "price": Decimal("9.90"), "notes": "do not tell", **values})


def test_an_object_is_told_from_first_to_last(bring: Bring) -> None:
    customer = Customer.objects.create(name="Ann")
    made = order(customer=customer, options={"gift": True})
    key = made.pk
    Order.objects.update(status="paid", options={"gift": False})
    made.delete()

    created, updated, deleted = bring("pghistory").of("store.Order")
    fields = fields_of_order(key, customer.pk)
    assert [each["action"] for each in (created, updated, deleted)] == ["created", "updated", "deleted"]
    assert {each["subject"] for each in (created, updated, deleted)} == {f"store.Order/{key}"}
    assert len({each["time"] for each in (created, updated, deleted)}) == 1
    assert created["data"]["fields"] == fields
    assert updated["data"]["changes"] == {"status": ["new", "paid"], "options": [{"gift": True}, {"gift": False}]}
    assert updated["data"]["diff_source"] == "history"
    assert deleted["data"] == {
        "fields": {**fields, "status": "paid", "options": {"gift": False}},
        "imported": {"from": "pghistory", "table": "store_orderevent", "pk": History.objects.latest("pk").pk},
    }


@pytest.mark.parametrize(("page", "remembered"), [(2_000, 10_000), (1, 0), (7, 2)])
def test_changes_are_the_same_however_much_is_read_or_remembered_at_once(
    bring: Bring, page: int, remembered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PAGE", page)
    monkeypatch.setattr(snapshots, "OBJECTS", remembered)
    for number in range(5):
        order(number=str(number))
    for quantity in range(2, 7):
        Order.objects.update(quantity=quantity)

    updates = [event for event in bring("pghistory").of("store.Order") if event["action"] == "updated"]
    assert [event["data"]["changes"] for event in updates] == [
        {"quantity": [quantity - 1, quantity]} for quantity in range(2, 7) for _ in range(5)
    ]


def test_the_context_tells_who_where_and_what_belongs_together(bring: Bring) -> None:
    user = User.objects.create(username="ann")
    order(number="before it")
    with pghistory.context(user=user.pk, url="/reset/s3cr3t/", why="sale", password="hunter2") as context:
        made = order()
        Order.objects.filter(pk=made.pk).update(status="paid")

    earlier, created, paid = bring("pghistory").of("store.Order")
    assert {"actor", "correlationid"}.isdisjoint(earlier)
    assert created["subject"] == f"store.Order/{made.pk}"
    assert created["correlationid"] == paid["correlationid"] == str(context.id)
    assert created["actor"] == paid["actor"] == f"auth.User/{user.pk}"
    assert created["data"].items() >= {"route": "/reset/<str:token>/", "path": "/reset/[masked]/"}.items()
    assert created["data"]["context"] == {"why": "sale", "password": "[masked]"}
    assert paid["data"]["changes"] == {"status": ["new", "paid"]}


def test_an_event_of_the_projects_own_is_no_change(bring: Bring) -> None:
    made = order()
    pghistory.create_event(made, label="shown")
    Order.objects.update(status="paid")

    _, updated, shown = bring("pghistory").of("store.Order")  # the last by a clock that goes on in a transaction
    assert shown["type"] == "pghistory.shown"
    assert "action" not in shown
    assert shown["data"]["fields"]["status"] == "new"
    assert updated["data"]["changes"] == {"status": ["new", "paid"]}


def test_a_copy_of_what_was_before_is_not_told_as_what_is(bring: Bring) -> None:
    order(quantity=5)
    Order.objects.update(quantity=6)
    History.objects.filter(quantity=6).update(pgh_label="old", quantity=5)

    before = bring("pghistory").of("store.Order")[-1]
    assert before["type"] == "pghistory.old"
    assert before["data"]["before"]["quantity"] == 5
    assert "action" not in before


def test_nothing_private_leaves(bring: Bring) -> None:
    Customer.objects.create(name="Ann", password="hunter2", diagnosis="measles")
    Customer.objects.update(password="hunter3", diagnosis="mumps")
    Key.objects.create(token="t0ps3cret", label="theirs").delete()
    Draft.objects.create(text="hidden draft")
    order(remark="see https://ann:hunter2@example.com/")

    done = bring("pghistory")
    done.check_nothing_private()
