"""Signals of the project's own, with whatever arguments."""

import math
from collections import namedtuple
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from asgiref.sync import async_to_sync
from django.db.models import QuerySet
from django.utils.functional import SimpleLazyObject, lazy
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from emitter import payload, serialization
from emitter.event import Event, encode_batch, stamp
from tests.emitter.conftest import Arrived
from tests.emitter.library.models import Book
from tests.emitter.library.signals import book_lent


class Colour(Enum):
    RED = "red"


class Opaque:
    def __str__(self) -> str:
        raise AssertionError("never called")

    __repr__ = __str__


@pytest.mark.django_db(transaction=True)
def test_a_custom_signal_is_told_under_its_dotted_path(facts: Arrived) -> None:
    book = Book.objects.create(title="Emma")

    book_lent.send(Book, instance=book, days=14)

    event = facts()[-1]
    assert event.type == "tests.emitter.library.signals.book_lent"
    assert (event.sender, event.subject) == ("library.Book", f"library.Book/{book.pk}")
    assert event.data == {"instance": f"library.Book/{book.pk}", "days": 14}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (2**63, "9223372036854775808"),
        (-(2**63), -(2**63)),
        (True, True),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (Decimal("1.10"), "1.10"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(hours=1), "P0DT01H00M00S"),
        (Colour.RED, "red"),
        (gettext_lazy("red"), "red"),
        ("a\0b\ud800", "a\ufffdb\ufffd"),
        (b"bytes", "<builtins.bytes>"),
        (Opaque(), "<tests.emitter.test_custom_signals.Opaque>"),
        (Book, "tests.emitter.library.models.Book"),
        (Book(pk=7), "library.Book/7"),
        (Book(), "library.Book"),
        ({"a": {1: (2, {3})}}, {"a": {"1": [2, [3]]}}),
        ({"api_key": "k", "monkey": "m", "nested": [{"password": "p"}]},
         {"api_key": "[masked]", "monkey": "m", "nested": [{"password": "[masked]"}]}),
    ],
)  # fmt: skip
def test_any_argument_becomes_json_safe(value: Any, told: Any) -> None:
    found = payload.keywords({"value": value, "signal": book_lent, "sender": None})

    assert msgspec.json.decode(payload.encoded(found)) == {"value": told}


def test_a_lazy_object_is_never_evaluated() -> None:
    assert serialization.json_safe(SimpleLazyObject(lambda: pytest.fail("evaluated"))) is None


def test_an_evaluated_lazy_object_is_told_as_what_it_holds() -> None:
    lazy = SimpleLazyObject(lambda: 7)
    assert lazy + 1 == 8

    assert serialization.json_safe(lazy) == 7


def test_a_queryset_is_never_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuerySet, "_fetch_all", lambda self: pytest.fail("evaluated"))

    assert serialization.json_safe(Book.objects.all()) == "<QuerySet of library.Book>"


def test_a_circle_ends_at_a_depth() -> None:
    circle: list[Any] = []
    circle.append(circle)

    assert "<builtins.list>" in str(serialization.json_safe(circle))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.datetimes(),
    lambda children: st.lists(children) | st.dictionaries(st.text() | st.integers(), children) | st.tuples(children),
    max_leaves=20,
)


@given(json_like)
def test_whatever_is_given_can_be_encoded(value: Any) -> None:
    event_id, time = stamp()

    data = {"value": serialization.json_safe(value)}

    encode_batch([Event(id=event_id, time=time, source="/t", type="t", data=data)]).decode()


def seven(**_: Any) -> int:
    return 7


async def aseven(**_: Any) -> int:
    return 7


def test_what_send_returns_is_what_the_receivers_returned(facts: Arrived) -> None:
    assert not book_lent.has_listeners()
    book_lent.connect(seven)
    book_lent.connect(aseven)
    try:
        asked = [
            book_lent.send(None), book_lent.send_robust(None),
            async_to_sync(book_lent.asend)(None), async_to_sync(book_lent.asend_robust)(None),
        ]  # fmt: skip
    finally:
        book_lent.disconnect(seven)
        book_lent.disconnect(aseven)

    assert asked == [[(seven, 7), (aseven, 7)]] * 4
    assert len(facts()) == 4


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("sender", [Unhashable(), {}, [], Book(title="unsaved")])
def test_a_signal_that_nobody_hears_takes_any_sender(facts: Arrived, sender: Any) -> None:
    assert book_lent.send(sender) == []
    assert len(facts()) == 1


def test_an_object_that_sends_a_signal_is_what_it_is_about(facts: Arrived) -> None:
    book_lent.send(Book(pk=3))

    assert (facts()[0].sender, facts()[0].subject) == ("library.Book", "library.Book/3")


def test_a_lazy_object_is_not_woken_wherever_it_stands(facts: Arrived) -> None:
    def wake() -> Any:
        raise SystemExit("evaluated")

    lazy_object: Any = SimpleLazyObject(wake)
    book_lent.send(lazy_object, instance=lazy_object, using=lazy_object, other=[lazy_object])

    assert facts()[0].subject is None


def test_a_lazy_text_of_the_projects_own_is_not_made() -> None:
    made = lazy(lambda: pytest.fail("evaluated"), str)()

    assert serialization.json_safe(made) == "<django.utils.functional.lazy.<locals>.__proxy__>"


class Shouting(str):
    def __str__(self) -> str:
        raise AssertionError("never called")


class Cents(int):
    pass


class Secrets(Enum):
    PASSWORD = 1


Login = namedtuple("Login", "user password")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Shouting("quiet"), "quiet"),
        (Cents(5), 5),
        (Cents(2**64), str(2**64)),
        ([("Authorization", "hunter2"), ("Accept", "json")], [["Authorization", "[masked]"], ["Accept", "json"]]),
        ([["token", "hunter2"]], [["token", "[masked]"]]),
        (Login("ada", "hunter2"), {"user": "ada", "password": "[masked]"}),
        ({"name": "password", "value": "hunter2"}, {"name": "password", "value": "[masked]"}),
        ({"name": "colour", "value": "red"}, {"name": "colour", "value": "red"}),
        ({b"password": "hunter2"}, {"password": "[masked]"}),
        ({Secrets.PASSWORD: "hunter2"}, {"PASSWORD": "[masked]"}),
    ],
)  # fmt: skip
def test_values_of_many_kinds_become_json_without_their_secrets(value: Any, told: Any) -> None:
    assert msgspec.json.decode(payload.encoded(payload.keywords({"value": value}))) == {"value": told}


def test_a_number_too_long_to_be_written_costs_itself_only() -> None:
    assert payload.keywords({"value": [10**5000, 1]}) == {"value": ["<builtins.int>", 1]}


def test_a_name_that_no_store_can_hold_is_told_without_it(facts: Arrived) -> None:
    book_lent.send(None, **{"a\ud800": 1})

    assert facts()[0].data == {"a\ufffd": 1}


def test_texts_without_end_are_told_in_part() -> None:
    told = payload.keywords({"pages": [["x" * 10_000] * 200] * 50})

    assert sum(len(text) for page in told["pages"] for text in page) < 3_000_000


def test_what_is_left_out_of_many_is_counted() -> None:
    told = payload.keywords({"list": [0] * 250, "mapping": dict.fromkeys(map(str, range(201)), 0)})

    assert told["list"] == [0] * 200 + ["<50 more>"]
    assert told["mapping"]["…"] == "<1 more>"


def test_a_signal_may_be_mocked_as_without_us() -> None:
    with patch("django.dispatch.Signal.send", return_value=["mocked"]) as send:
        assert book_lent.send(None) == ["mocked"]

    send.assert_called_once()


def test_a_signal_that_is_not_sent_is_not_told(facts: Arrived) -> None:
    with pytest.raises(TypeError):
        book_lent.send()

    assert facts() == []


@pytest.mark.parametrize(
    ("key", "told"), [(True, "true"), (None, "null"), (Colour.RED, "red"), (1, "1"), (Secrets.PASSWORD, "PASSWORD")]
)
def test_keys_are_told_as_json_writes_them(key: Any, told: str) -> None:
    assert list(serialization.json_safe({key: 1})) == [told]
