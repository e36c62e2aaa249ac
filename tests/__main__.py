"""``make test``: the emitter's tests in a bare Django project, and the service's with its own settings.

Two runs, because Django has one set of settings a process. Arguments go to both: ``python -m tests -k dedup``.
"""

import subprocess
import sys

NOTHING_COLLECTED = 5
RUNS = [
    ["tests/emitter", "--ds=tests.emitter.settings"],
    ["tests/service", "tests/contract", "--ds=tests.service.settings"],
]


def main() -> int:
    codes = [
        subprocess.run([sys.executable, "-m", "pytest", *run, *sys.argv[1:]], check=False).returncode for run in RUNS
    ]
    if all(code == NOTHING_COLLECTED for code in codes):
        return NOTHING_COLLECTED
    return 0 if all(code in {0, NOTHING_COLLECTED} for code in codes) else 1


if __name__ == "__main__":
    sys.exit(main())
