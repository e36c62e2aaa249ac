"""What the rules draw: few different values, so that conditions meet rows and saves meet what is there already."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from django.db.models.functions import Now
from hypothesis import strategies as st

texts = st.sampled_from(["", "One", "Two", "Zwölf 📚", "x' --", "{}"])
numbers = st.sampled_from([None, 0, 1, 2, 3, "2", -5])
json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just(0.5) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
prices = st.sampled_from([Decimal("9.90"), "9.9", Decimal("0"), 7, "12.50", 2.5])
moments = st.sampled_from(
    [
        None,
        datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
        datetime(2026, 1, 2, 5, 4, 5, 678, timezone(timedelta(hours=2))),
        "2026-02-03T04:05:06Z",
        Now(),
    ]
)
index = st.integers(0, 20)  # of a row or an instance, modulo how many there are
indexes = st.lists(index, min_size=1, max_size=3)

fields = {
    "title": texts,
    "pages": numbers,
    "price": prices,
    "details": json,
    "bought_at": moments,
    "edition": st.sampled_from([1, 2]),
}
some = st.fixed_dictionaries({}, optional=fields)  # values of a book
column = st.sampled_from(["title", "pages", "price", "details", "bought_at", "author", "publisher"])
