import pytest

from tests.sending.cast import Clock, FakeService


@pytest.fixture
def service():
    return FakeService()


@pytest.fixture
def clock():
    return Clock()
