"""What django-simple-history has recorded, as its own signals wrote it, arrives as events."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from emitter.history import snapshots, tables
from tests.history.conftest import Done, fields_of_order
from tests.history.store.models import Customer, Draft, Key, Order, Tag

pytestmark = pytest.mark.django_db

Bring = Callable[..., Done]
History: Any = Order.history.model  # type: ignore[attr-defined]


def order(**values: Any) -> Order:
    return Order.objects.create(**{"number": "2026-1", "price": Decimal("9.90"), "notes": "do not tell", **values})


def test_an_object_is_told_from_first_to_last(bring: Bring) -> None:
    customer = Customer.objects.create(name="Ann")
    made = order(customer=customer, options={"gift": True})
    key = made.pk
    made.status, made.options, made.price = "paid", {"gift": False}, Decimal("9.9")
    made.save()
    made.save()
    made.delete()

    created, updated, same, deleted = bring("simple_history").of("store.Order")
    fields = fields_of_order(key, customer.pk)
    assert [each["action"] for each in (created, updated, same, deleted)] == [
        "created",
        "updated",
        "updated",
        "deleted",
    ]
    assert {each["subject"] for each in (created, updated, same, deleted)} == {f"store.Order/{key}"}
    assert created["data"]["fields"] == fields
    assert updated["data"]["diff_source"] == "history"
    assert updated["data"]["changes"] == {"status": ["new", "paid"], "options": [{"gift": True}, {"gift": False}]}
    assert "fields" not in updated["data"]
    assert same["data"]["changes"] == {}
    assert deleted["data"]["fields"] == {**fields, "status": "paid", "options": {"gift": False}}
    assert deleted["data"]["imported"] == {
        "from": "simple_history",
        "table": "store_historicalorder",
        "pk": History.objects.latest("pk").pk,
    }


@pytest.mark.parametrize(("page", "remembered"), [(2_000, 10_000), (1, 10_000), (2, 1), (7, 0)])
def test_changes_are_the_same_however_much_is_read_or_remembered_at_once(
    bring: Bring, page: int, remembered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PAGE", page)
    monkeypatch.setattr(snapshots, "OBJECTS", remembered)
    orders = [order(number=str(number)) for number in range(3)]
    for quantity in range(2, 7):
        for made in orders:
            made.quantity = quantity
            made.save()

    updates = [event for event in bring("simple_history").of("store.Order") if event["action"] == "updated"]
    assert [event["data"]["changes"] for event in updates] == [
        {"quantity": [quantity - 1, quantity]} for quantity in range(2, 7) for _ in orders
    ]


def test_what_was_before_the_span_is_known(bring: Bring) -> None:
    made = order()
    History.objects.update(history_date=datetime(2026, 1, 1, tzinfo=UTC))
    made.status = "paid"
    made.save()

    (event,) = bring("simple_history", "--since", "2026-01-02").events
    assert event["data"]["changes"] == {"status": ["new", "paid"]}


def test_a_change_of_which_nothing_is_known_before_is_told_as_fields(bring: Bring) -> None:
    made = order()
    History.objects.all().delete()
    made.status = "paid"
    made.save()

    (event,) = bring("simple_history").events
    assert event["action"] == "updated"
    assert event["data"]["fields"]["status"] == "paid"
    assert "changes" not in event["data"]


def test_few_queries_are_made_for_many_entries(bring: Bring, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        made = order(number=str(number))
        made.status = "paid"
        made.save()

    with django_assert_max_num_queries(25):  # a few a table, none an entry
        bring("simple_history")


def test_who_why_and_what_it_was_related_to_are_told(bring: Bring) -> None:
    user, tag = User.objects.create(username="ann"), Tag.objects.create(name="red")
    made: Any = order()
    made._history_user, made._change_reason = user, "sale, password=hunter2"
    made.save()
    made.tags.add(tag)

    *_, changed, related = bring("simple_history").of("store.Order")
    assert changed["actor"] == f"auth.User/{user.pk}"
    assert changed["data"]["change_reason"] == "sale, password=[masked]"
    assert related["data"]["relations"] == {"tags": [tag.pk]}
    assert changed["data"]["relations"] == {"tags": []}


def test_nothing_private_leaves(bring: Bring) -> None:
    customer = Customer.objects.create(name="Ann", password="hunter2", diagnosis="measles")
    customer.password, customer.diagnosis = "hunter3", "mumps"
    customer.save()
    Key.objects.create(token="t0ps3cret", label="theirs").delete()
    Draft.objects.create(text="hidden draft")
    order(remark="see https://ann:hunter2@example.com/")

    done = bring("simple_history")
    done.check_nothing_private()
