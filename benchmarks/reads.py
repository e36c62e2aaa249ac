"""How much slower reads are for being recorded. ``make bench-reads``.

Two services on one database of 100 thousand events, of which one records reads. They are asked in turn, in short
rounds: one question again and again, and a new one each time, so that each is recorded. Printed are the medians of all
rounds; it fails where `GET events/` takes more than 1.05 times as long.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.ingest import service
from benchmarks.query import OPTIONS, Asked, events, prepare
from service.launch.postgres import EmbeddedPostgres

EVENTS = 100_000
REQUESTS = 40  # in a round
GOAL = 1.05


@contextmanager
def served(dsn: str, folder: Path, *, recording: bool) -> Iterator[Asked]:
    os.environ["RECORD_READS"] = str(recording)
    with service(dsn, folder, "events:read") as (port, key):
        yield Asked(port, key)


def measure(services: dict[str, Asked], rounds: int) -> None:
    """Ask each service in turn; which is first changes with each round, and the first round warms up."""
    begun = datetime.now(UTC) - timedelta(days=30)
    asked = 0
    for number in range(rounds + 1):
        for each in list(services.values())[:: 1 if number % 2 else -1]:
            for _ in range(REQUESTS):
                asked += 1
                addresses = {"one": events(), "new": events(time__gte=(begun + timedelta(seconds=asked)).isoformat())}
                for question, address in addresses.items():
                    if number:
                        each.measure(question, address)
                    else:
                        each.ask(address)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-reads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        dsn = stack.enter_context(EmbeddedPostgres(folder, OPTIONS)).dsn
        prepare(dsn, folder, EVENTS)
        services = {
            "recorded": stack.enter_context(served(dsn, folder / "a", recording=True)),
            "unrecorded": stack.enter_context(served(dsn, folder / "b", recording=False)),
        }
        measure(services, rounds)
        missed = [question for question in ("one", "new") if report(services, question) > GOAL]
    sys.exit(f"Recording took more than {GOAL} times as long: {', '.join(missed)}" if missed else 0)


def report(services: dict[str, Asked], question: str) -> float:
    times = {name: each.times[question] for name, each in services.items()}
    medians = {name: statistics.median(found) for name, found in times.items()}
    slow = {name: statistics.quantiles(found, n=20)[-1] for name, found in times.items()}
    ratio = medians["recorded"] / medians["unrecorded"]
    told = ", ".join(f"{name} {medians[name]:.2f} (p95 {slow[name]:.2f}) ms" for name in times)
    print(f"{question:<5}{told}; {ratio:.3f} times, of {len(times['recorded'])} each")
    return ratio


if __name__ == "__main__":
    main()
