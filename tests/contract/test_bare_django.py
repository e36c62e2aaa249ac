"""The emitter as its users get it: a wheel, in an environment with its own dependencies and nothing of the service."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest
import urllib3

from tests import live
from tests.contract.tenants import Tenant

DEPENDENCIES = {"asgiref", "django", "django-heliograph", "msgspec", "sqlparse", "urllib3"}
PATIENCE = 120  # seconds for uv, which may have to fetch packages
PROJECT = '''
"""A Django project of one file."""

import os

from django.http import HttpResponse
from django.urls import path

import emitter.apps

SECRET_KEY = "bare"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "bare"
INSTALLED_APPS = ["emitter"]
MIDDLEWARE = ["emitter.middleware.HeliographMiddleware"]
HELIOGRAPH_URL = os.environ["HELIOGRAPH_URL"]
HELIOGRAPH_KEY = os.environ["HELIOGRAPH_KEY"]

urlpatterns = [path("hello", lambda request: HttpResponse(emitter.apps.__file__))]
'''


def uv(*arguments: str | Path) -> str:
    """Run uv and return what it prints; fail, saying why, where it can't do its work."""
    program = os.environ.get("UV") or shutil.which("uv") or str(live.ROOT / ".uv" / "bin" / "uv")
    command = [program, *map(str, arguments)]
    try:
        done = subprocess.run(
            command,
            cwd=live.ROOT,
            env={**os.environ, "UV_HTTP_TIMEOUT": "20"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"Not done in {PATIENCE} s: {' '.join(command)}. Can the package index be reached?", pytrace=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)} failed. Can the package index be reached?\n{done.stderr}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """A project of one file, whose Python has the emitter and what it depends on."""

    folder: Path
    python: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-W", "error", "-m", "django", *arguments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    process: "subprocess.Popen[bytes]"
    address: str
    log: Path

    def get(self, path: str, request_id: str) -> str | None:
        """Return what the page says, or None while the server isn't there yet."""
        assert self.process.poll() is None, self.log.read_text()
        with urllib3.PoolManager(retries=False, timeout=10) as http:
            try:
                answer = http.request("GET", self.address + path, headers={"X-Request-ID": request_id})
            except urllib3.exceptions.HTTPError:
                return None
        assert answer.status == 200, self.log.read_text()
        return answer.data.decode()


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment") / "venv"
    uv("venv", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    uv("pip", "install", "--python", python, wheel)
    return python


@pytest.fixture
def bare(python: Path, tenant: Tenant, tmp_path: Path) -> Bare:
    (tmp_path / "bare.py").write_text(PROJECT)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "bare",
        "HELIOGRAPH_URL": tenant.url,
        "HELIOGRAPH_KEY": tenant.write_key,
    }
    return Bare(folder=tmp_path, python=python, environment=environment)


@pytest.fixture
def server(bare: Bare) -> Iterator[Server]:
    """Run the development server of the project."""
    port, log = live.free_port(), bare.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            bare.command("runserver", "--noreload", f"127.0.0.1:{port}"),
            cwd=bare.folder,
            env=bare.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    yield Server(process=process, address=f"http://127.0.0.1:{port}", log=log)
    process.kill()
    process.wait()


def test_the_wheel_holds_the_emitter_and_nothing_else(wheel: Path) -> None:
    files = (file for file in (live.ROOT / "emitter").rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    sources = {str(file.relative_to(live.ROOT)) for file in files}

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert "emitter/py.typed" in names
    assert {name for name in names if ".dist-info/" not in name} == sources


def test_the_wheel_needs_django_msgspec_and_urllib3(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        described = Parser().parsestr(archive.read(metadata).decode())

    assert described["Name"] == "django-heliograph"
    assert [each.partition(">")[0].partition("<")[0] for each in described.get_all("Requires-Dist", [])] == [
        "django",
        "msgspec",
        "urllib3",
    ]


def test_its_environment_has_nothing_of_the_service(python: Path) -> None:
    installed = json.loads(uv("pip", "list", "--python", python, "--format", "json"))

    assert {package["name"] for package in installed} == DEPENDENCIES


def test_the_check_finds_nothing_to_complain_of(bare: Bare) -> None:
    done = subprocess.run(
        bare.command("check", "--fail-level", "DEBUG"),
        cwd=bare.folder,
        env=bare.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "System check identified no issues (0 silenced).\n"


def test_a_request_is_served_and_told_to_the_service(server: Server, bare: Bare, tenant: Tenant) -> None:
    emitter_file = live.eventually(lambda: server.get("/hello", request_id="bare-1"))
    live.eventually(lambda: len(tenant.events(correlationid="bare-1")) == 2)

    assert Path(emitter_file).is_relative_to(bare.python.parent.parent)
    finished, started = tenant.events()
    assert started["type"] == "django.core.signals.request_started"
    assert finished["type"] == "django.core.signals.request_finished"
    assert (finished["source"], finished["data"]["route"], finished["data"]["status"]) == ("/bare", "/hello", 200)
    assert "Traceback" not in server.log.read_text()
