from pathlib import Path

import pytest

from service.launch import lock
from service.launch.errors import LaunchError


def test_a_clean_end_is_told_from_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "var" / "up.lock"

    with lock.hold(path) as first:
        pass
    with pytest.raises(KeyboardInterrupt), lock.hold(path) as second:
        raise KeyboardInterrupt
    path.write_text("12345")
    with lock.hold(path) as third:
        pass

    assert [first, second, third] == [False, False, True]


def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"

    with lock.hold(path), pytest.raises(LaunchError, match=r"as process \d+"), lock.hold(path):
        pass
