"""``make test``: the emitter's sending half, its capture, processes, outbox and equivalence test, and the service.

The service is tested on the embedded Postgres, and on Debian's where that is installed.

Several runs, because Django has one set of settings a process. Arguments go to all: ``python -m tests -k dedup``.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NOTHING_COLLECTED = 5
DEBIANS = Path("/usr/lib/postgresql/15/bin")  # the programs of the oldest Postgres that the service runs on
SERVICE = ["tests/service", "tests/contract", "--ds=tests.service.settings", "-m", "not ordeal"]
RUNS = [
    ["tests/emitter", "--ds=tests.emitter.settings", "-m", "not faults"],
    ["tests/outbox", "--ds=tests.outbox.settings"],
    ["tests/sending", "-p", "no:django"],
    ["tests/processes", "-p", "no:django", "-p", "no:tests.postgres", "-m", "not ordeal"],
    SERVICE,
]
# Beside the first of the others, since no clock matters to them. They tell what they have to say when they have ended.
ASIDE = [
    ["tests/emitter", "--ds=tests.emitter.settings", "-m", "faults"],  # what has failed may have left anything behind
    ["tests/equivalence", "--ds=tests.equivalence.settings"],
]
ON_DEBIANS = [*SERVICE, "--ignore=tests/service/launch"]  # which is about the embedded one


def main() -> int:
    with ThreadPoolExecutor(1) as pool:
        aside = [pool.submit(run, each, quietly=True) for each in ASIDE]
        if DEBIANS.exists():
            aside.append(pool.submit(run, ON_DEBIANS, quietly=True, POSTGRES_PROGRAMS=str(DEBIANS)))
        else:
            print(f"There is no {DEBIANS}: the service is NOT TESTED on Postgres 15.", flush=True)
        done = [run(each) for each in RUNS]
        done += [each.result() for each in aside]
    codes = [each.returncode for each in done]
    for each in done:
        print(each.stdout or "", end="")
    if all(code == NOTHING_COLLECTED for code in codes):
        return NOTHING_COLLECTED
    return 0 if all(code in {0, NOTHING_COLLECTED} for code in codes) else 1


def run(arguments: list[str], *, quietly: bool = False, **environment: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "pytest", *arguments, *sys.argv[1:]]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quietly else {}
    return subprocess.run(call, check=False, text=True, env=os.environ | environment, **output)


if __name__ == "__main__":
    sys.exit(main())
