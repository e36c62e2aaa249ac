"""One sink for all tests, which has a name of its own for each, and a database made once."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.processes.arrivals")

from tests.processes.arrivals import Arrivals  # noqa: E402  # once it is rewritten
from tests.processes.hosts import ROOT, Hosts  # noqa: E402  # once it is rewritten

SETTINGS = "tests.processes.settings"


@pytest.fixture(scope="session")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("sink")
    command = [sys.executable, "-m", "tests.processes.sink", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", folder
        finally:
            process.kill()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with the shop's table in it, to be copied."""
    path = tmp_path_factory.mktemp("database") / "shop.sqlite3"
    environment = {"SHOP_DATABASE": str(path), "SINK": "", "DJANGO_SETTINGS_MODULE": SETTINGS}
    command = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)
    return path


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """Return the name of the sink that the test's processes send to."""
    return f"{getattr(request, 'param', 'service')}-{uuid.uuid4().hex}"


@pytest.fixture
def hosts(sink: tuple[str, Path], service: str, database: Path, tmp_path: Path) -> Iterator[Hosts]:
    own = shutil.copy(database, tmp_path / "shop.sqlite3")
    address, _ = sink
    made = Hosts(
        tmp_path,
        {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "SHOP_DATABASE": str(own),
            "SINK": f"{address}/{service}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        },
    )
    yield made
    made.kill()


@pytest.fixture
def arrived(sink: tuple[str, Path], service: str) -> Callable[[], Arrivals]:
    """Return a function that gives what has arrived until now."""
    return lambda: Arrivals.read(sink[1], service)
