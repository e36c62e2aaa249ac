"""The state that is rebuilt from our events equals the database, whatever was done to it.

The same operations each time; ``EQUIVALENCE_EXAMPLES=500 EQUIVALENCE_SEED=7 python -m tests`` for more and others.
"""

import os
from collections.abc import Callable
from zlib import crc32

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.equivalence.machine import Machine
from tests.equivalence.world import Cast

pytestmark = pytest.mark.django_db(transaction=True)

SEED = os.environ.get("EQUIVALENCE_SEED", "")
SETTINGS = settings(
    max_examples=int(os.environ.get("EQUIVALENCE_EXAMPLES", "40")),  # for each mode
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),  # they mind that a step takes a millisecond
    phases=[Phase.generate, Phase.shrink],
)


@pytest.mark.parametrize(
    ("app", "stale"),
    [
        ("loaded", False),  # without a query, a full save() of a stale instance can't be seen through
        ("selected", True),
        ("off", True),
    ],
)
def test_the_state_rebuilt_from_the_events_equals_the_database(
    cast: Callable[..., Cast], app: str, stale: bool
) -> None:
    given = cast(app, stale=stale)
    seeded = seed(crc32(f"{app} {SEED}".encode()))

    run_state_machine_as_test(seeded(lambda: Machine(given)), settings=SETTINGS)
