"""``make test``: the emitter's sending half, its capture, processes, outbox and equivalence test, and the service.

Several runs, because Django has one set of settings a process. Arguments go to all: ``python -m tests -k dedup``.
"""

import subprocess
import sys

NOTHING_COLLECTED = 5
RUNS = [
    ["tests/sending", "-p", "no:django"],
    ["tests/emitter", "--ds=tests.emitter.settings", "-m", "not faults"],
    ["tests/emitter", "--ds=tests.emitter.settings", "-m", "faults"],  # what has failed may have left anything behind
    ["tests/processes", "-p", "no:django", "-p", "no:tests.postgres", "-m", "not ordeal"],
    ["tests/outbox", "--ds=tests.outbox.settings"],
    ["tests/equivalence", "--ds=tests.equivalence.settings"],
    ["tests/service", "tests/contract", "--ds=tests.service.settings"],
]


def main() -> int:
    calls = [[sys.executable, "-m", "pytest", *run, *sys.argv[1:]] for run in RUNS]
    codes = [subprocess.run(call, check=False).returncode for call in calls]
    if all(code == NOTHING_COLLECTED for code in codes):
        return NOTHING_COLLECTED
    return 0 if all(code in {0, NOTHING_COLLECTED} for code in codes) else 1


if __name__ == "__main__":
    sys.exit(main())
