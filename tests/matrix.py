"""``make test-matrix``: the emitter's tests on each Django with each Python that it supports.

A Python that isn't there and can't be had is said aloud, and fails the run where CI is set, since it was to run there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PYTHONS = ["3.11", "3.12", "3.13"]
DJANGOS = {"5.2": PYTHONS, "6.0": ["3.12", "3.13"], "6.1": ["3.12", "3.13"]}
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"


def main() -> int:
    uv = os.environ.get("UV") or shutil.which("uv") or ".uv/bin/uv"
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, PYENV.glob("*/bin"))])
    missing = [python for python in PYTHONS if not can_run(uv, python)]
    results = {
        (django, python): run(uv, django, python)
        for django, pythons in DJANGOS.items()
        for python in pythons
        if python not in missing
    }
    for (django, python), passed in results.items():
        print(f"Django {django} on Python {python}: {'passed' if passed else 'FAILED'}")
    for python in missing:
        print(f"Python {python} is not on this machine and can't be installed: NOT RUN with any Django.")
    return 0 if all(results.values()) and not (missing and os.environ.get("CI")) else 1


def can_run(uv: str, python: str) -> bool:
    """Find a Python, or have uv install it where it can be reached."""
    find, install = [uv, "python", "find", "--no-project", python], [uv, "python", "install", "--quiet", python]
    return any(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in (find, install))


def run(uv: str, django: str, python: str) -> bool:
    print(f"\nDjango {django} on Python {python}", flush=True)
    overlay = [uv, "run", "--locked", "--isolated", "--python", python, "--with", f"Django=={django}.*"]
    tests = ["python", "-m", "pytest", "tests/emitter", "--ds=tests.emitter.settings", "-q", *sys.argv[1:]]
    return subprocess.run([*overlay, *tests], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
