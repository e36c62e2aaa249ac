"""An admin of a project, who may do all that a key can."""

import pytest

from service.projects import operations
from service.projects.models import Project, Scope
from tests.service.cast import Api


@pytest.fixture
def admin(project: Project) -> Api:
    return Api(key=operations.create_key(project, Scope.values, label="admin"))
