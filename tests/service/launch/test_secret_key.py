import subprocess
import sys
from pathlib import Path

import pytest

from service.launch import secret_key

READ = "import sys, pathlib; from service.launch.secret_key import *; print(read_or_create(pathlib.Path(sys.argv[1])))"


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = secret_key.read_or_create(tmp_path / "var")

    assert secret_key.read_or_create(tmp_path / "var") == key
    assert len(key) >= 50
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secret_key"]
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_each_directory_has_its_own(tmp_path: Path) -> None:
    assert secret_key.read_or_create(tmp_path / "a") != secret_key.read_or_create(tmp_path / "b")


def test_processes_that_race_get_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ, str(tmp_path / "var")]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]

    keys = [racer.communicate(timeout=60)[0] for racer in racers]

    assert len(set(keys)) == 1


def test_a_key_that_another_process_links_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Path.hardlink_to

    def lose(self: Path, target: Path) -> None:
        self.write_text("theirs")
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", lose)

    assert secret_key.read_or_create(tmp_path) == "theirs"
