"""``make test``: the emitter's sending half, capture, processes, outbox, equivalence test and import, and the service.

The service is tested on the embedded Postgres, and on Debian's where that is installed.

Several runs, because Django has one set of settings a process. Arguments go to all: ``python -m tests -k dedup``.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

Done = list["subprocess.CompletedProcess[str]"]

NOTHING_COLLECTED = 5
DEBIANS = Path("/usr/lib/postgresql/15/bin")  # the programs of the oldest Postgres that the service runs on
OPTIONS = ["--ds=tests.service.settings", "-m", "not ordeal"]
SERVICE = ["tests/service", "--ignore=tests/service/launch", *OPTIONS]
WHOLE = ["tests/contract", "tests/service/launch", *OPTIONS]  # servers, clients and browsers, which are waited for
EMITTER = [
    ["tests/emitter", "--ds=tests.emitter.settings", "-m", "not faults"],
    ["tests/outbox", "--ds=tests.outbox.settings"],
    ["tests/sending", "-p", "no:django"],
    ["tests/processes", "-p", "no:django", "-p", "no:tests.postgres", "-m", "not ordeal"],
    ["tests/emitter", "--ds=tests.emitter.settings", "-m", "faults"],  # what failed may have left anything behind
]
# What stores, asks, counts and removes: all that speaks to Postgres in ways of its own.
ABOUT_POSTGRES = ["events", "ingest", "stats", "telemetry", "retention"]
ON_DEBIANS = [*(f"tests/service/{each}" for each in ABOUT_POSTGRES), "tests/contract/test_rules_of_citus.py", *OPTIONS]
# Run beside the emitter's, since much of a test is waiting. They tell what they have to say when they have ended.
ASIDE = [
    [SERVICE],
    [WHOLE],
    [
        ["tests/equivalence", "--ds=tests.equivalence.settings"],
        ["tests/history", "--ds=tests.history.settings"],
        ON_DEBIANS,
    ],
]


def main() -> int:
    with ThreadPoolExecutor(len(ASIDE)) as pool:
        aside = [pool.submit(run_all, each, quietly=True) for each in ASIDE]
        done = run_all(EMITTER)
        for each in aside:
            done += each.result()
    for each in done:
        print(each.stdout or "", end="")
    codes = [each.returncode for each in done]
    if not DEBIANS.exists():
        print(f"There is no {DEBIANS}: the service is NOT TESTED on Postgres 15.", flush=True)
    if all(code == NOTHING_COLLECTED for code in codes):
        return NOTHING_COLLECTED
    return 0 if all(code in {0, NOTHING_COLLECTED} for code in codes) else 1


def run_all(runs: Sequence[Sequence[str]], *, quietly: bool = False) -> Done:
    return [run(each, quietly=quietly) for each in runs if each is not ON_DEBIANS or DEBIANS.exists()]


def run(arguments: Sequence[str], *, quietly: bool) -> "subprocess.CompletedProcess[str]":
    environment = {"POSTGRES_PROGRAMS": str(DEBIANS)} if arguments is ON_DEBIANS else {}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quietly else {}
    call = [sys.executable, "-m", "pytest", *arguments, *sys.argv[1:]]
    return subprocess.run(call, check=False, text=True, env=os.environ | environment, **output)


if __name__ == "__main__":
    sys.exit(main())
