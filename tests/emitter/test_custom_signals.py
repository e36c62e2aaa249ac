"""Signals of the project's own, with whatever arguments."""

import math
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest
from django.db.models import QuerySet
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from emitter import payload
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
    assert payload.json_safe(SimpleLazyObject(lambda: pytest.fail("evaluated"))) is None


def test_an_evaluated_lazy_object_is_told_as_what_it_holds() -> None:
    lazy = SimpleLazyObject(lambda: 7)
    assert lazy + 1 == 8

    assert payload.json_safe(lazy) == 7


def test_a_queryset_is_never_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuerySet, "_fetch_all", lambda self: pytest.fail("evaluated"))

    assert payload.json_safe(Book.objects.all()) == "<QuerySet of library.Book>"


def test_a_circle_ends_at_a_depth() -> None:
    circle: list[Any] = []
    circle.append(circle)

    assert "<builtins.list>" in str(payload.json_safe(circle))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.datetimes(),
    lambda children: st.lists(children) | st.dictionaries(st.text() | st.integers(), children) | st.tuples(children),
    max_leaves=20,
)


@given(json_like)
def test_whatever_is_given_can_be_encoded(value: Any) -> None:
    event_id, time = stamp()

    data = {"value": payload.json_safe(value)}

    encode_batch([Event(id=event_id, time=time, source="/t", type="t", data=data)]).decode()
