"""What random tests draw from: JSON of any shape, as the service takes it."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

INT64 = st.integers(-(2**63), 2**63 - 1)
# Postgres has no NUL, UTF-8 no surrogates.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
scalars = st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | text
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5), max_leaves=25
)


def bounded(examples: int) -> Callable[[Any], Any]:
    """Try as many examples, on one database: each makes rows of its own."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(one: Any, other: Any) -> bool:
    """Tell whether two documents are one JSON value: 1e2 is 100 there, and true is not 1."""
    match one, other:
        case bool() | None, _:
            return one is other
        case int() | float(), int() | float():
            return not isinstance(other, bool) and (one == other or float(one) == float(other))
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return type(one) is type(other) and bool(one == other)
