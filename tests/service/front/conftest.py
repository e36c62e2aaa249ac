"""Services of their own for those who want other settings than the shared one's."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import live

Start = Callable[..., live.Service]


@pytest.fixture
def start(transactional_db: None, tmp_path: Path) -> Iterator[Start]:
    """Start services on the test database: ``start(workers=2, WEB_THREADS="1")``."""
    with ExitStack() as stack:
        number = iter(range(100))
        yield lambda **settings: stack.enter_context(live.running(tmp_path / f"log{next(number)}", **settings))
