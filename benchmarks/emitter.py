"""What capturing adds to a project's own work, beside the libraries that do part of it. ``make bench-emitter``.

One run, one Postgres (embedded, durable as ``make up`` has it), autocommit, a database and a long-lived process for
each contender. A round is cut into turns: in each, every contender makes a few calls of the same operation, in a new
random order, so that what else the machine does meets all alike. The first round warms up and isn't counted.

What is timed, outside a request unless said otherwise, one by one, garbage collection off:

create       ``Order.objects.create(…)`` of the ten-field model
update       ``order.save()`` of a row just loaded, two fields changed; loading is not timed
delete       ``order.delete()`` of a row just loaded
list         a GET through the WSGI handler, Django's usual middleware and the library's: 1,000 rows as JSON
bulk_create  ``Order.objects.bulk_create(…)``, one call

Printed are medians over the turns of all rounds: of the calls' median, and of what is added to bare Django's in the
same turn, by the clock and in processor time of the calling thread, which a busy machine disturbs less. Queries and
records are counted in the round that warms up. Trips are the queries with BEGIN and COMMIT, which Django sends where it
opens a transaction. Records are what the library stores, or sends, for one call: what is cheap may also do nothing.
"bare, again" is a second bare Django: what it adds is this machine's noise.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.emitter_libraries import AGAIN, BARE, LIBRARIES, US, US_OUTBOX, US_SENDING, Library
from service.launch.postgres import EmbeddedPostgres, dsn

WRITES = ("create", "update", "delete")
OPERATIONS = (*WRITES, "list", "bulk_create")
SAVES = ("create", "update")  # what the goals about a save are measured on
MOST_ADDED = 60  # µs on a save
LIST_RATIO = 1.03
SHARE = 0.1  # of what each Python peer adds to a save


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    rounds: int
    turns: int  # of a round
    bulks: int  # turns of a bulk_create
    writes: int  # calls in a turn; of the others, one
    cold: int  # writes more, at the turn's begin, that aren't timed: another process had the caches
    rows: int  # of a bulk_create

    def calls(self, operation: str) -> int:
        return self.cold + self.writes if operation in WRITES else 1

    def timed(self, taken: Sequence[Any]) -> Sequence[Any]:
        return taken[-self.writes :]

    def turns_of(self, operation: str) -> int:
        return self.bulks if operation == "bulk_create" else self.turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One contender's calls in one turn, in microseconds."""

    median: float
    mean: float
    work: float  # processor time


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What one call does."""

    queries: int
    trips: int
    records: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: medians over the turns."""

    operation: str
    contender: str
    count: Count
    median_us: float
    added_us: float
    added_mean_us: float  # of the turns' means, in the mean, so that what happens seldom shows
    added_cpu_us: float
    times_bare: float


@dataclass(frozen=True, slots=True)
class Goal:
    text: str
    figure: str
    met: bool

    def __str__(self) -> str:
        return f"{'PASS' if self.met else 'MISS'}  {self.text}: {self.figure}"


Turns = dict[tuple[str, str], list[Turn]]  # by operation and contender
Counts = dict[tuple[str, str], Count]


class Contender:
    """A contender's process, and the questions it answers."""

    def __init__(self, library: Library, address: str, sink: str) -> None:
        command = [sys.executable, "-m", "benchmarks.emitter_contender", library.name, address, sink]
        # Equal hashes, so that no two contenders differ by the order of their dictionaries.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONHASHSEED": "0"}
        )
        self.name = library.name

    def ask(self, *command: object) -> Any:
        assert self.process.stdin
        print(json.dumps(command), file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise EOFError(f"{self.name} ended with code {self.process.wait()}: see above")
        return json.loads(line)

    def close(self) -> None:
        with self.process:
            assert self.process.stdin
            self.process.stdin.close()


@contextmanager
def sink() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.emitter_sink"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def contenders(libraries: Iterable[Library]) -> Iterator[list[Contender]]:
    """Start the contenders, each on a database of its own; the one that can't start is told and left out."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        server = stack.enter_context(EmbeddedPostgres(folder))
        address = stack.enter_context(sink())
        started = []
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            for number, library in enumerate(libraries):
                database = f"contender_{number}"
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
                started.append(Contender(library, dsn(folder, database=database), address))
                stack.callback(started[-1].close)
        yield [contender for contender in started if is_ready(contender)]


def is_ready(contender: Contender) -> bool:
    try:
        return bool(contender.answer())
    except EOFError as error:
        print(f"NOT MEASURED: {error}", flush=True)
        return False


def is_installed(library: Library) -> bool:
    try:
        return library.package is None or bool(version(library.package))
    except PackageNotFoundError:
        print(f"NOT MEASURED: {library.package} is not installed; is the dependency group bench?", flush=True)
        return False


def measure(competing: list[Contender], size: Size) -> Iterator[Line]:
    warm_up = replace(size, turns=min(size.turns, 5), bulks=1)
    turns: Turns = {(operation, each.name): [] for operation in OPERATIONS for each in competing}
    counts: Counts = {}
    for number in range(size.rounds + 1):
        for operation in OPERATIONS:
            found = one_round(competing, operation, size if number else warm_up)
            for each in competing:
                if number:
                    turns[operation, each.name] += found[each.name]
                else:
                    counts[operation, each.name] = Count(**each.ask("count", operation, size.rows))
        print(f"round {number} of {size.rounds} done", file=sys.stderr, flush=True)
    for (operation, contender), taken in turns.items():
        yield line(operation, contender, counts[operation, contender], taken, turns[operation, BARE])


def one_round(competing: list[Contender], operation: str, size: Size) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {contender.name: [] for contender in competing}
    for contender in competing:
        contender.ask("prepare")
    for _ in range(size.turns_of(operation)):
        for contender in random.sample(competing, len(competing)):
            taken = contender.ask("run", operation, size.calls(operation), size.rows)
            turns[contender.name].append(turn(size.timed(taken)))
    return turns


def turn(taken: Sequence[tuple[int, int]]) -> Turn:
    spans, works = zip(*taken, strict=True)
    return Turn(
        median=statistics.median(spans) / 1000,
        mean=statistics.mean(spans) / 1000,
        work=statistics.median(works) / 1000,
    )


def line(operation: str, contender: str, count: Count, turns: list[Turn], bare: list[Turn]) -> Line:
    pairs = list(zip(turns, bare, strict=True))
    return Line(
        operation=operation,
        contender=contender,
        count=count,
        median_us=round(statistics.median(own.median for own in turns), 1),
        added_us=round(statistics.median(own.median - other.median for own, other in pairs), 1),
        added_mean_us=round(statistics.mean(own.mean - other.mean for own, other in pairs), 1),
        added_cpu_us=round(statistics.median(own.work - other.work for own, other in pairs), 1),
        times_bare=round(statistics.median(own.median / other.median for own, other in pairs), 3),
    )


class Table:
    def __init__(self, lines: Iterable[Line]) -> None:
        self.lines = list(lines)
        self._found = {(line.operation, line.contender): line for line in self.lines}

    def __call__(self, operation: str, contender: str) -> Line:
        return self._found[operation, contender]

    def show(self) -> None:
        form = "{:<12} {:<20} {:>10} {:>8} {:>6} {:>8} {:>9} {:>9} {:>7} {:>6}"
        heads = ("median µs", "queries", "trips", "records", "added µs", "CPU µs", "/ bare", "/ us")
        print(form.format("operation", "contender", *heads))
        for operation in OPERATIONS:
            print()
            for line in self.lines:
                if line.operation == operation:
                    print(form.format(operation, line.contender, *self._figures(line)))

    def _figures(self, line: Line) -> tuple[str, ...]:
        bare, ours = line.contender == BARE, self(line.operation, US).added_us
        return (
            f"{line.median_us:,.0f}",
            f"{line.count.queries}",
            f"{line.count.trips}",
            f"{line.count.records:,g}",
            "" if bare else f"{line.added_us:+,.0f}",
            "" if bare else f"{line.added_cpu_us:+,.0f}",
            f"{line.times_bare:.3f}",
            "" if bare or ours <= 0 else f"{line.added_us / ours:.1f}",
        )


def goals(table: Table, libraries: Iterable[Library]) -> Iterator[Goal]:
    """Yield each goal with its figure. A peer that couldn't be measured is a goal missed."""
    recorded = {operation: table(operation, US).count.records for operation in WRITES}
    figure = ", ".join(f"{operation} {number:g}" for operation, number in recorded.items())
    yield Goal("every write captured", figure, all(number >= 1 for number in recorded.values()))
    yield queries_goal(table)
    for operation in SAVES:
        yield added_goal(table(operation, US), table(operation, US_SENDING), table(operation, AGAIN))
    for library in libraries:
        if library.package and library.python:
            yield from (share_goal(table, library, operation) for operation in SAVES)
            yield from (outbox_goal(table, library, operation) for operation in SAVES)
    ratio, again = table("list", US).times_bare, table("list", AGAIN).times_bare
    yield Goal(f"list at most {LIST_RATIO} of bare", f"{ratio:.3f} ({AGAIN}: {again:.3f})", ratio <= LIST_RATIO)


def queries_goal(table: Table) -> Goal:
    pairs = [(each, table(each, US).count, table(each, BARE).count) for each in OPERATIONS]
    figures = ", ".join(f"{each} {ours.queries - bare.queries:+d}" for each, ours, bare in pairs)
    trips = ", ".join(f"{each} {ours.trips - bare.trips:+d}" for each, ours, bare in pairs if ours.trips != bare.trips)
    met = all(ours.queries == bare.queries for _, ours, bare in pairs)
    return Goal("no extra query", f"{figures} (with BEGIN and COMMIT: {trips or 'the same'})", met)


def added_goal(ours: Line, sending: Line, again: Line) -> Goal:
    figure = (
        f"{ours.added_us:.0f} µs, {ours.added_cpu_us:.0f} µs of CPU; "
        f"while sending {sending.added_us:.0f} µs, in the mean {sending.added_mean_us:.0f} µs; "
        f"{again.contender} {again.added_us:.0f} µs"
    )
    return Goal(f"at most {MOST_ADDED} µs added to {ours.operation}", figure, ours.added_us <= MOST_ADDED)


def share_goal(table: Table, peer: Library, operation: str) -> Goal:
    text = f"at most {SHARE} of what {peer.name} adds to {operation}"
    try:
        ours, theirs = table(operation, US), table(operation, peer.name)
    except KeyError:
        return Goal(text, "not measured", False)
    figure = (
        f"{ours.added_us:.0f} of {theirs.added_us:.0f} µs; of CPU {ours.added_cpu_us:.0f} of {theirs.added_cpu_us:.0f}"
    )
    return Goal(text, figure, ours.added_us <= SHARE * theirs.added_us)


def outbox_goal(table: Table, peer: Library, operation: str) -> Goal:
    text = f"the outbox under what {peer.name} adds to {operation}"
    try:
        ours, theirs = table(operation, US_OUTBOX), table(operation, peer.name)
    except KeyError:
        return Goal(text, "not measured", False)
    return Goal(text, f"{ours.added_us:.0f} of {theirs.added_us:.0f} µs", ours.added_us < theirs.added_us)


def versions(libraries: Iterable[Library]) -> str:
    packages = ["Django", "psycopg", *(library.package for library in libraries if library.package)]
    return ", ".join([f"Python {platform.python_version()}", *(f"{each} {version(each)}" for each in packages)])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000, help="of a bulk_create")
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it works")
    parser.add_argument("--strict", action="store_true", help="fail if a goal is missed")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    size = Size(rounds=asked.rounds, turns=30, bulks=2, writes=12, cold=3, rows=asked.rows)
    if asked.quick:
        size = Size(rounds=1, turns=2, bulks=1, writes=2, cold=1, rows=500)
    libraries = [library for library in LIBRARIES if is_installed(library)]
    load = os.getloadavg()[0]
    print(versions(libraries), f"{os.cpu_count()} CPUs, load average before {load:.1f}, {size}", sep="\n", flush=True)
    if load > 0.5:
        print(
            "OTHERS ARE AT WORK HERE: each wait for Postgres takes longer than it would, by milliseconds.", flush=True
        )
    with contenders(libraries) as competing:
        if missing := {BARE, AGAIN, US, US_SENDING, US_OUTBOX} - {each.name for each in competing}:
            sys.exit(f"Nothing to compare without {', '.join(sorted(missing))}")
        table = Table(measure(competing, size))
    table.show()
    print()
    print(json.dumps({"size": asdict(size), "lines": [asdict(line) for line in table.lines]}))
    if asked.quick:
        print("too few calls for figures that mean anything: this only shows that it works")
    judged = list(goals(table, LIBRARIES))
    print(*judged, sep="\n")
    if asked.strict and not all(goal.met for goal in judged):
        sys.exit(1)


if __name__ == "__main__":
    main()
