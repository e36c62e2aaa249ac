"""Months that expire, and that are there again for other tests."""

from collections.abc import Iterator

import pytest
from django.utils import timezone

from service.events import partitions
from service.retention import pace


@pytest.fixture(autouse=True)
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "RESTS", 0)


@pytest.fixture
def months(transactional_db: None) -> Iterator[list[str]]:
    """Return the tables of all months, the oldest first; those that a test dropped or detached come back."""
    partitions.ensure(timezone.now())
    yield sorted(partitions.existing())
    partitions.drop_expired(timezone.now())
    list(partitions.free())
    partitions.ensure(timezone.now())
