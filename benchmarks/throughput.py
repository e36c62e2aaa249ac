"""How many events a second one process captures and has acknowledged, beside two other SDKs. ``make bench-throughput``.

One run: a sink in a process of its own, and a long-lived process for each contender, with the settings that it comes
with. In each round every contender takes a turn, in a random order; the first round warms up and isn't counted. A turn
captures the same payload, of ten fields, again and again from one thread:

sustained  at most half of what its queue holds is on its way, so that nothing has to be dropped; the clock stops when
           the sink has everything
burst      as fast as the thread can, and nothing waits; what the sink has when it is over, and what its sender says
           it has lost

What each does for an event:

heliograph          sends a Django signal; masks secrets; encodes when captured; 500 events a request, gzip level 1
posthog             a copy with properties of the system; 100 events a request, not compressed, JSON made by the thread
sentry events       an event with its contexts, scrubbed, a request of its own, gzip
sentry logs         a log record with attributes; 100 records a request, gzip

Printed are medians over the rounds. "thread" is the processor time of all threads but the capturing one, by the clock
and for an event; "capture" is that of the capturing thread. The sink shares the machine with them.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version

from benchmarks.throughput_sink import NAMES, Arrivals

# Events that may be on their way while the rate is measured: half of what each one's queue holds.
WINDOWS = {"heliograph": 5_000, "posthog": 5_000, "sentry events": 50, "sentry logs": 500}
SHARES = {"sentry events": 10}  # it takes a tenth of the events, each of which is a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    captured: int
    arrived: int
    told_lost: int
    seconds: float
    capture_seconds: float  # of processor time
    thread_seconds: float


KINDS = ("sustained", "burst")
Turns = dict[tuple[str, str], list[Turn]]  # by kind and contender


@contextmanager
def child(module: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", module, *(str(each) for each in arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def contenders() -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    """Start the sink and the contenders, each in a process; give these when all are ready."""
    with tempfile.NamedTemporaryFile() as file, ExitStack() as stack:
        Arrivals.make(file.name)
        sink = stack.enter_context(child("benchmarks.throughput_sink", file.name))
        address = f"http://127.0.0.1:{int(told(sink))}"
        started = {
            name: stack.enter_context(child("benchmarks.throughput_contender", number, address, file.name))
            for number, name in enumerate(NAMES)
        }
        for process in started.values():
            told(process)
        yield started


def told(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        sys.exit("A process of the benchmark has ended: see above")
    return line


def ask(process: "subprocess.Popen[str]", events: int, window: int) -> Turn:
    assert process.stdin
    print(json.dumps([events, window]), file=process.stdin, flush=True)
    return Turn(**json.loads(told(process)))


def measure(rounds: int, events: int) -> Turns:
    turns: Turns = {(kind, name): [] for kind in KINDS for name in NAMES}
    with contenders() as started:
        one_round(started, min(events, 2_000))
        for number in range(rounds):
            for key, turn in one_round(started, events).items():
                turns[key].append(turn)
            print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return turns


def one_round(started: dict[str, "subprocess.Popen[str]"], events: int) -> dict[tuple[str, str], Turn]:
    turns = {}
    for kind in KINDS:
        for name in random.sample(NAMES, len(NAMES)):
            number = events // SHARES.get(name, 1)
            turns[kind, name] = ask(started[name], number, WINDOWS[name] if kind == "sustained" else number)
    return turns


def show(turns: Turns) -> None:
    form = "{:<16} {:>10} {:>12} {:>12} {:>14} {:>10} {:>10}"
    for kind in KINDS:
        print()
        print(form.format(kind, "arrived/s", "capture µs", "thread µs", "thread share", "missing", "told lost"))
        for name in NAMES:
            print(form.format(name, *figures(turns[kind, name])))


def figures(turns: Sequence[Turn]) -> Iterator[str]:
    def median(of: Callable[[Turn], float]) -> float:
        return statistics.median(map(of, turns))

    yield f"{median(lambda each: each.arrived / each.seconds):,.0f}"
    yield f"{median(lambda each: each.capture_seconds / each.captured * 1e6):,.0f}"
    yield f"{median(lambda each: each.thread_seconds / max(each.arrived, 1) * 1e6):,.0f}"
    yield f"{median(lambda each: each.thread_seconds / each.seconds):.0%}"
    yield f"{median(lambda each: (each.captured - each.arrived) / each.captured):.1%}"
    yield f"{median(lambda each: each.told_lost / each.captured):.1%}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000, help="of a turn")
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it works")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    rounds, events = (1, 1_000) if asked.quick else (asked.rounds, asked.events)
    packages = ["Django", "posthog", "sentry-sdk", "urllib3"]
    print(", ".join([f"Python {platform.python_version()}", *(f"{each} {version(each)}" for each in packages)]))
    print(f"{os.cpu_count()} CPUs, load average before {os.getloadavg()[0]:.1f}; {rounds} rounds of {events:,} events")
    turns = measure(rounds, events)
    show(turns)
    lines = [
        {"kind": kind, "contender": name, "turns": [asdict(turn) for turn in taken]}
        for (kind, name), taken in turns.items()
    ]
    print(json.dumps(lines))
    if asked.quick:
        print("too few events for figures that mean anything: this only shows that it works")


if __name__ == "__main__":
    main()
