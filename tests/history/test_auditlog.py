"""What django-auditlog has recorded, as its own signals wrote it, arrives as events."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from auditlog.context import set_actor
from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.test import override_settings

from emitter.history import tables
from tests.history.conftest import Done, Shelf
from tests.history.store.models import Customer, Draft, Key, Order, Tag

pytestmark = pytest.mark.django_db

Bring = Callable[..., Done]


def order(**values: Any) -> Order:
    return Order.objects.create(
        **{
            "number": "2026-1",
            "price": Decimal("9.90"),
            "placed_at": datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC),
            "due_on": date(2026, 3, 2),
            "options": {"gift": True, "lines": [1, 2]},
            "notes": "do not tell",
            **values,
        }
    )


TEXT_OR_JSON = pytest.mark.parametrize("stored_as_json", [False, True])


@TEXT_OR_JSON
def test_a_new_object_is_told_with_typed_fields(bring: Bring, stored_as_json: bool) -> None:
    customer = Customer.objects.create(name="Ann")
    with override_settings(AUDITLOG_STORE_JSON_CHANGES=stored_as_json):
        made = order(customer=customer)

    (event,) = bring("auditlog").of("store.Order")
    entry = LogEntry.objects.get_for_object(made).get()
    assert (event["type"], event["action"]) == ("django.db.models.signals.post_save", "created")
    assert event["subject"] == f"store.Order/{made.pk}"
    assert event["outcome"] == "committed"
    assert event["data"] == {
        "fields": {
            "id": made.pk,
            "number": "2026-1",
            "status": "new",
            "quantity": 1,
            "price": "9.90",
            "weight": 0.5,
            "paid": False,
            "placed_at": "2026-03-01T12:30:15.123456Z",
            "due_on": "2026-03-02",
            "options": {"gift": True, "lines": [1, 2]},
            "customer_id": customer.pk,
        },
        "imported": {"from": "auditlog", "table": "auditlog_logentry", "pk": entry.pk},
    }


@TEXT_OR_JSON
def test_an_update_is_told_as_changes_and_none_is_null(bring: Bring, stored_as_json: bool) -> None:
    made = order(remark=None)
    made.remark, made.paid, made.quantity = "None of it", True, 2
    made.placed_at = made.due_on = None
    with override_settings(AUDITLOG_STORE_JSON_CHANGES=stored_as_json):
        made.save()

    _, event = bring("auditlog").of("store.Order")
    assert event["action"] == "updated"
    assert event["data"]["diff_source"] == "auditlog"
    assert event["data"]["changes"] == {
        "remark": [None, "None of it"],
        "paid": [False, True],
        "quantity": [1, 2],
        "placed_at": ["2026-03-01T12:30:15.123456Z", None],
        "due_on": ["2026-03-02", None],
    }


@TEXT_OR_JSON
def test_a_text_that_is_never_null_may_say_none(bring: Bring, stored_as_json: bool) -> None:
    made = order()
    made.status = "None"
    with override_settings(AUDITLOG_STORE_JSON_CHANGES=stored_as_json):
        made.save()

    assert bring("auditlog").events[-1]["data"]["changes"] == {"status": ["new", "None"]}


def test_a_deleted_object_is_told_as_it_was(bring: Bring) -> None:
    made = order()
    key = made.pk
    made.delete()

    event = bring("auditlog").of("store.Order")[-1]
    assert (event["type"], event["action"]) == ("django.db.models.signals.post_delete", "deleted")
    assert event["subject"] == f"store.Order/{key}"
    assert event["data"]["fields"]["price"] == "9.90"
    assert event["data"]["fields"]["paid"] is False


def test_who_when_and_from_where_are_told(bring: Bring) -> None:
    user = User.objects.create(username="ann")
    with set_actor(user, remote_addr="192.0.2.7", remote_port=4711):
        order()
    entry = LogEntry.objects.latest("pk")
    LogEntry.objects.filter(pk=entry.pk).update(
        cid="req-1", actor_email="ann@example.com", additional_data={"reason": "sale", "password": "hunter2"}
    )

    event = bring("auditlog").events[-1]
    assert event["actor"] == f"auth.User/{user.pk}"
    assert event["correlationid"] == "req-1"
    assert event["time"] == entry.timestamp.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert int(event["id"][:8] + event["id"][9:13], 16) == int(entry.timestamp.timestamp() * 1000)
    assert event["data"].items() >= {"ip": "192.0.2.7", "port": 4711, "actor_email": "ann@example.com"}.items()
    assert event["data"]["additional_data"] == {"reason": "sale", "password": "[masked]"}


def test_a_relation_is_told_without_keys_that_nobody_wrote_down(bring: Bring) -> None:
    made, tag = order(), Tag.objects.create(name="red")
    made.tags.add(tag)
    made.tags.remove(tag)

    added, removed = (event for event in bring("auditlog").events if event["type"].endswith(".m2m_changed"))
    assert (added["action"], removed["action"]) == ("added", "removed")
    assert added["subject"] == f"store.Order/{made.pk}"
    assert {name: value for name, value in added["data"].items() if name != "imported"} == {
        "field": "store.Order.tags",
        "op": "add",
        "model": "store.Tag",
        "pks": None,
        "objects": ["red"],
        "reverse": False,
    }
    assert removed["data"]["op"] == "remove"


@TEXT_OR_JSON
def test_nothing_private_leaves(bring: Bring, stored_as_json: bool) -> None:
    with override_settings(AUDITLOG_STORE_JSON_CHANGES=stored_as_json):
        customer = Customer.objects.create(name="Ann", password="hunter2", diagnosis="measles")
        customer.password, customer.diagnosis = "hunter3", "mumps"
        customer.save()
        Key.objects.create(token="t0ps3cret", label="theirs").delete()
        Draft.objects.create(text="hidden draft")
        order(remark="see https://ann:hunter2@example.com/")

    done = bring("auditlog")
    done.check_nothing_private()
    assert done.error == ""


def test_a_model_that_is_gone_is_told_by_what_is_left_of_its_name(bring: Bring) -> None:
    order()
    entry = LogEntry.objects.latest("pk")
    type(entry.content_type).objects.filter(pk=entry.content_type_id).update(model="gone")

    event = bring("auditlog").events[-1]
    assert event["sender"] == "store.gone"
    assert event["data"]["fields"]["number"] == "2026-1"


def test_a_field_that_is_gone_is_told_as_text_and_masked_by_its_name(bring: Bring) -> None:
    order()
    LogEntry.objects.update(action=1, changes={"colour": ["None", "red"], "api_token": ["None", "abcdef"]})

    event = bring("auditlog").events[-1]
    assert event["data"]["changes"] == {"colour": ["None", "red"], "api_token": ["[masked]", "[masked]"]}


def test_an_action_that_nobody_knows_is_refused_and_said(bring: Bring) -> None:
    order()
    LogEntry.objects.update(action=9)

    done = bring("auditlog")
    assert done.events == []
    assert "1 (unknown_action)" in done.said
    assert "1 entries were refused" in done.error


@pytest.mark.parametrize("page", [1, 3, 29, 30, 2_000])
def test_a_repeat_sends_the_same_events_and_an_entry_that_was_committed_late_too(
    bring: Bring, shelf: Shelf, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PAGE", page)
    for number in range(30):
        order(number=str(number))
    late = LogEntry.objects.order_by("pk")[3]
    late.delete()
    first = bring("auditlog", "--batch-size", "7")
    late.save()

    again = bring("auditlog", "--batch-size", "7")
    assert len(first.events) == 29
    assert len(again.events) == 30
    assert "30 entries: 1 stored, 29 there already, 0 left out, 0 refused" in again.said
    assert shelf.batches == [7, 7, 7, 7, 1, 7, 7, 7, 7, 2]


def test_entries_of_one_moment_are_in_the_order_of_their_keys(bring: Bring) -> None:
    made = order()
    for status in "abcdefgh":
        made.status = status
        made.save()
    LogEntry.objects.update(timestamp=datetime(2026, 1, 1, tzinfo=UTC))

    changes = [event["data"]["changes"]["status"][1] for event in bring("auditlog").events[1:]]
    assert changes == list("abcdefgh")


def test_a_span_is_from_its_first_moment_to_before_its_last(bring: Bring) -> None:
    for day in (1, 2, 3):
        order(number=str(day))
        LogEntry.objects.filter(pk=LogEntry.objects.latest("pk").pk).update(
            timestamp=datetime(2026, 1, day, tzinfo=UTC)
        )

    done = bring("auditlog", "--since", "2026-01-02T00:00Z", "--until", "2026-01-03T00:00Z")
    assert [event["data"]["fields"]["number"] for event in done.events] == ["2"]


def test_a_dry_run_sends_nothing_and_counts(bring: Bring, shelf: Shelf) -> None:
    order()

    done = bring("auditlog", "--dry-run")
    assert shelf.batches == []
    assert "1 entries: 1 would be sent" in done.said
