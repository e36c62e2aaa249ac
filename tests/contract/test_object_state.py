"""What the service says an object was is what the client's own database held: at each moment of a random life."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from service.events import objects
from service.events.objects import AsOf
from service.events.objects_serializers import represent
from service.events.objects_told import Ref
from tests import live
from tests.contract.tenants import Tenant

STEPS = int(os.environ.get("LIBRARIAN_STEPS", "80"))
SEEDS = range(int(os.environ.get("LIBRARIAN_SEEDS", "1")))
EACH = 9  # of so many moments one is looked at


@dataclass(frozen=True)
class Moment:
    """What the client did, and what its database held then."""

    moment: str
    done: str
    rows: dict[str, Any]


def lived(tenant: Tenant, seed: int) -> list[Moment]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.librarian", tenant.url, tenant.write_key, str(seed), str(STEPS)],
        cwd=live.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [Moment(**json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_object_is_rebuilt_as_the_clients_database_held_it(tenant: Tenant, seed: int) -> None:
    moments = lived(tenant, seed)
    everything = sorted(
        {name for moment in moments for name in moment.rows}, key=lambda name: int(name.rpartition("/")[2])
    )
    everything = everything[:60] + everything[-10:]  # most are of one bulk_create()
    seen: Counter[str] = Counter()

    for moment in [*moments[::EACH], moments[-1]]:
        for name in everything:
            sender, _, key = name.partition("/")
            state = objects.state(tenant.id, Ref(sender, key), AsOf(event_id=UUID(moment.moment)))
            assert state is not None, name
            found = represent(state)
            assert faults(found, moment.rows.get(name)) == [], f"{name} {moment.done} {found} {moment.rows.get(name)}"
            seen["complete" if found["complete"] else "incomplete"] += 1
            seen.update(reason["code"] for reason in found["reasons"])

    assert seen["complete"] > seen["incomplete"] / 2 > 0
    assert seen["bulk_call"] + seen["value_not_told"] > 0
    assert not {"contradiction", "too_many_events"} & seen.keys()


def same(name: str, held: Any, told: Any) -> bool:
    """Tell whether two values are one in the database: a bulk call's are told as they were written."""
    return held == told or (name == "price" and Decimal(held) == Decimal(told))


def faults(found: dict[str, Any], row: dict[str, Any] | None) -> list[str]:
    """Return where a rebuilt object isn't what the row was, beyond what it says not to know."""
    if found["exists"] is None and not (found["complete"] or found["fields"]):
        return []
    if found["exists"] is not (row is not None) or row is None:
        return [] if found["exists"] is False and row is None and not found["fields"] else ["exists"]
    wrong = [name for name, value in found["fields"].items() if not same(name, row["fields"].get(name, ...), value)]
    missing = row["fields"].keys() - found["fields"].keys() - set(found["unknown"])
    related = {
        each["field"] + (", reverse" if each["reverse"] else ""): each["object_ids"] for each in found["relations"]
    }
    pairs = {name: sorted(keys) for name, keys in row["relations"].items()}
    return [*wrong, *missing, *(name for name in related | pairs if related.get(name, []) != pairs.get(name, []))]
