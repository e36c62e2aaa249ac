"""One live service for all contract tests, and a browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import chromium, live
from tests.contract import tenants
from tests.contract.tenants import Tenant


@pytest.fixture(scope="session")
def live_service(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a service that serves the test database."""
    with live.service(tmp_path_factory.mktemp("service") / "log") as address:
        yield address


@pytest.fixture
def tenant(transactional_db: None, live_service: str) -> Tenant:
    return tenants.make(live_service)


@pytest.fixture(scope="session")
def browser() -> Path:
    try:
        return chromium.path()
    except chromium.NoChromiumError as error:
        reason = f"THE BROWSER TESTS DID NOT RUN. {error}"
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
