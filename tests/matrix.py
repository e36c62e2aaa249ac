"""``make test-matrix``: the emitter's tests on each Django with each Python that it supports, three at a time.

The pair that this runs with is left out: ``make test`` has it. With ``--quick``, the newest Django on the newest Python
alone, as CI has time for. A Python that is not there nor to be had is said aloud.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django

PYTHONS = ["3.11", "3.12", "3.13"]
DJANGOS = {"5.2": PYTHONS, "6.0": ["3.12", "3.13"], "6.1": ["3.12", "3.13"]}
HERE = (".".join(map(str, django.VERSION[:2])), f"{sys.version_info.major}.{sys.version_info.minor}")
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
QUICK = {("6.1", "3.13")}
AT_ONCE = 3
SHOWN = 40  # lines of a failed run


def main() -> int:
    uv = os.environ.get("UV") or shutil.which("uv") or ".uv/bin/uv"
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, PYENV.glob("*/bin"))])
    missing = [python for python in PYTHONS if not can_run(uv, python)]
    pairs = [(django, python) for django, pythons in DJANGOS.items() for python in pythons if python not in missing]
    if "--quick" in sys.argv:
        sys.argv.remove("--quick")
        pairs = [pair for pair in pairs if pair in QUICK]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        passed = list(pool.map(lambda pair: pair == HERE or run(uv, *pair), pairs))
    for python in missing:
        print(f"Python {python} is not on this machine and can't be installed: NOT RUN with any Django.")
    return 0 if all(passed) else 1


def can_run(uv: str, python: str) -> bool:
    """Find a Python, or have uv install it where it can be reached."""
    find, install = [uv, "python", "find", "--no-project", python], [uv, "python", "install", "--quiet", python]
    return any(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in (find, install))


def run(uv: str, django: str, python: str) -> bool:
    overlay = [uv, "run", "--locked", "--isolated", "--python", python, "--with", f"Django=={django}.*"]
    # Without the faults, which go through the functions of ours, and none of Django's.
    tests = ["python", "-m", "pytest", "tests/emitter", "--ds=tests.emitter.settings", "-q", "-m", "not faults"]
    tests += sys.argv[1:]
    done = subprocess.run([*overlay, *tests], capture_output=True, text=True, check=False)
    lines = done.stdout.rstrip().splitlines()
    summary = next((line for line in reversed(lines) if " passed" in line or " failed" in line), "no summary")
    shown = [] if done.returncode == 0 else [*lines[-SHOWN:], *done.stderr.splitlines()[-SHOWN:]]
    print(f"Django {django} on Python {python}: {summary}", *shown, sep="\n", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
