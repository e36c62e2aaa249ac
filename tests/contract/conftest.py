"""One live service for all contract tests."""

from collections.abc import Iterator

import pytest

from tests import live
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
