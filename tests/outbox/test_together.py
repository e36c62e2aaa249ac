"""With HELIOGRAPH_OUTBOX_ATOMIC, a save without a transaction is committed together with its event, or not at all."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Model
from django.db.models.query import QuerySet
from django.db.models.signals import post_save

from emitter import together
from emitter.event import Event
from tests.outbox.store.models import Box, Item
from tests.outbox.test_failures import broken, interrupted
from tests.outbox.test_transactions import create, told

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Events = Callable[[], list[Event]]


@pytest.fixture(autouse=True)
def _together(settings: Any) -> Iterator[None]:
    settings.HELIOGRAPH_OUTBOX_ATOMIC = True
    before = {name: getattr(QuerySet, name) for name in together.CALLS}
    together.wrap()
    together.wrap()
    yield
    for name, method in before.items():
        setattr(QuerySet, name, method)
    for model in (Item, Box):
        del model.save_base


CALLS: dict[str, Callable[[str], Any]] = {
    "save": lambda using: Item(name="new").save(using=using),
    "create": lambda using: create(using, "new"),
    "update": lambda using: Item.objects.using(using).update(price=1),
    "delete": lambda using: Item.objects.using(using).get().delete(),
    "delete many": lambda using: Item.objects.using(using).all().delete(),
    "bulk_create": lambda using: Item.objects.using(using).bulk_create([Item(name="new")]),
    "bulk_update": lambda using: Item.objects.using(using).bulk_update(Item.objects.using(using).all(), ["price"]),
    "update_or_create": lambda using: Item.objects.using(using).update_or_create(name="old", defaults={"price": 1}),
    "relation": lambda using: Box.objects.using(using).get().items.add(Item.objects.using(using).get()),
    "other side": lambda using: Item.objects.using(using).get().boxes.set(Box.objects.using(using).all()),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_write_is_one_commit_with_its_events(using: str, waiting: Events, name: str) -> None:
    create(using, "old")
    Box.objects.using(using).create()
    before = len(waiting())

    CALLS[name](using)

    told = waiting()[before:]
    assert told
    assert {event.outcome for event in told} == {"committed"}


def test_nothing_is_written_of_what_cannot_be_told(using: str, waiting: Events, settings: Any) -> None:
    settings.HELIOGRAPH_FAIL_CLOSED = ["store.Item"]

    with pytest.raises(Exception, match="outbox"), interrupted(using, broken):
        create(using, "gone")

    assert not Item.objects.using(using).exists()


def test_a_receiver_that_raises_takes_the_row_along(using: str, waiting: Events) -> None:
    def fail(**_: Any) -> None:
        raise LookupError

    post_save.connect(fail, sender=Item)
    try:
        with pytest.raises(LookupError):
            create(using, "gone")
    finally:
        post_save.disconnect(fail, sender=Item)

    assert not Item.objects.using(using).exists()
    assert waiting() == []


def test_in_a_transaction_of_the_project_it_makes_none(using: str, waiting: Events) -> None:
    def fail(**_: Any) -> None:
        raise LookupError

    with transaction.atomic(using=using):
        create(using, "one")
        post_save.connect(fail, sender=Item)
        try:
            with pytest.raises(LookupError):
                create(using, "two")
        finally:
            post_save.disconnect(fail, sender=Item)
        assert not connections[using].needs_rollback

    assert told(waiting()) == [("one", "committed"), ("two", "committed")]


def test_a_database_given_by_position_is_the_one(using: str, waiting: Events) -> None:
    Item(name="one").save_base(False, False, False, using)

    assert told(waiting()) == [("one", "committed")]


def test_each_method_is_wrapped_once() -> None:
    assert not hasattr(Item.save_base.__wrapped__, together.WRAPPED)
    assert not hasattr(QuerySet.update.__wrapped__, together.WRAPPED)


def test_without_the_setting_nothing_is_wrapped(settings: Any) -> None:
    assert Model.save_base is not Item.save_base
    settings.HELIOGRAPH_OUTBOX_ATOMIC = False
    del Item.save_base, Box.save_base

    together.wrap()

    assert Model.save_base is Item.save_base
    together_again(settings)


def together_again(settings: Any) -> None:
    settings.HELIOGRAPH_OUTBOX_ATOMIC = True
    together.wrap()
