"""What a killed process lost is told: by its successor on the same spool, and by the gaps in ``emitters/``."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import urllib3

from service.events.models import Event
from tests import live
from tests.contract.tenants import Tenant

Start = Callable[..., "Captor"]


class Captor:
    """A process of `tests.contract.captor`."""

    def __init__(self, tenant: Tenant, options: dict[str, Any]) -> None:
        self.tenant = tenant
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.captor"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"url": tenant.url, "key": tenant.write_key, **options}), file=self.process.stdin, flush=True)
        self.emitter_id = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0

    def told(self) -> dict[str, Any]:
        """Return what ``emitters/`` says of it; nothing while that doesn't know it."""
        url = f"{self.tenant.url}/api/v1/emitters/{self.emitter_id}/"
        answer = urllib3.request("GET", url, headers={"Authorization": f"Bearer {self.tenant.read_key}"})
        assert answer.status in {200, 404}, answer.data
        return answer.json() if answer.status == 200 else {}

    def numbers(self) -> list[int]:
        """Return the sequence numbers that are stored, one for each row."""
        rows = Event.objects.filter(project_id=self.tenant.id, emitter_id=self.emitter_id)
        return sorted(rows.values_list("sequence", flat=True))

    def found(self) -> tuple[dict[str, Any], list[int]]:
        """Return both of one moment: what was under way when it was killed may be stored in between."""

        def at_once() -> tuple[dict[str, Any], list[int]] | None:
            numbers, told = self.numbers(), self.told()
            return (told, numbers) if numbers == self.numbers() else None

        return live.eventually(at_once)


@pytest.fixture
def start(tenant: Tenant) -> Iterator[Start]:
    """Start processes that share nothing but what they are told; none of them outlives the test."""
    started = []

    def start(*, number: int | None = None, **options: Any) -> Captor:
        started.append(Captor(tenant, {"number": number, **options}))
        return started[-1]

    yield start
    for captor in started:
        if captor.process.poll() is None:
            captor.kill()


def gaps(numbers: list[int], captured: int) -> list[list[int]]:
    """Return the ranges of numbers up to the last one captured that aren't there."""
    return [[before + 1, after - 1] for before, after in pairwise([0, *numbers, captured + 1]) if after - before > 1]


def check(told: dict[str, Any], numbers: list[int]) -> None:
    """Each number up to the last one known is stored once, or one of those the service knows not to have."""
    check_stored(told, numbers)
    unstored = told["captured"] - told["stored"]
    assert unstored == told["missing"] + told["queued"] + told["spooled"] + sum(told["lost"].values())


def check_stored(told: dict[str, Any], numbers: list[int]) -> None:
    assert len(numbers) == len(set(numbers)) == told["stored"]
    assert told["gaps"] == gaps(numbers, told["captured"])[:100]


def kill_amid(captor: Captor, seed: int) -> dict[str, Any]:
    """Kill it somewhere in its work; return what was last known of it before."""
    moment = random.Random(seed).randint(1_000, 4_000)
    live.eventually(lambda: captor.told().get("stored", 0) >= moment)
    known = captor.told()
    captor.kill()
    return known


@pytest.mark.parametrize("seed", [1, 2])
def test_a_successor_tells_what_a_killed_process_had_counted(start: Start, tmp_path: Path, seed: int) -> None:
    spool = str(tmp_path / "spool")
    killed = start(spool=spool, spool_bytes=200_000, queue_size=500)
    kill_amid(killed, seed)
    counted = json.loads((tmp_path / "spool" / killed.emitter_id / "counters").read_text())["telemetry"]

    successor = start(spool=spool, number=1)
    live.eventually(lambda: killed.told().get("ended"))
    successor.end()

    told, numbers = killed.found()
    check(told, numbers)
    assert (told["queued"], told["spooled"]) == (0, 0)
    assert told["captured"] >= counted["captured"]
    assert all(told["lost"][reason] >= number for reason, number in counted["lost"].items())
    stored = sum(number <= counted["captured"] for number in numbers)  # the others were still in memory
    assert stored + sum(told["lost"].values()) >= counted["captured"] - counted["queued"]
    assert not (tmp_path / "spool" / killed.emitter_id).exists()


def test_without_a_spool_the_gap_up_to_the_last_report_is_told(start: Start) -> None:
    killed = start(queue_size=500, batch_size=50)
    known = kill_amid(killed, 3)

    told, numbers = killed.found()

    check_stored(told, numbers)
    assert not told["ended"]
    assert told["captured"] >= known["captured"]
    assert told["gaps"]
    unstored = told["captured"] - told["stored"]
    # Of those that were queued at the last report, some may have been stored since.
    assert told["missing"] == max(0, unstored - told["queued"] - sum(told["lost"].values()))


@pytest.mark.parametrize("has_spool", [False, True])
def test_after_a_normal_end_nothing_is_missing(start: Start, tmp_path: Path, has_spool: bool) -> None:
    captor = start(number=2_000, **({"spool": str(tmp_path / "spool")} if has_spool else {}))
    captor.end()

    told = captor.told()

    check(told, captor.numbers())
    assert told["ended"]
    assert (told["captured"], told["missing"], told["queued"], told["spooled"]) == (2_000, 0, 0, 0)
    assert told["stored"] == 2_000
