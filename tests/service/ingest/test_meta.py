"""``GET meta/``: what the service says it takes is what it takes."""

import tomllib
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from service.projects import operations
from service.projects.models import Project, Scope
from tests import live
from tests.service.cast import Api, event, problem, uuid7

META = "/api/v1/meta/"


def test_any_key_may_ask(project: Project) -> None:
    for scope in Scope:
        assert Api(key=operations.create_key(project, [scope])).get(META).status_code == 200


def test_without_a_key_nobody_may(db: None, stranger: Api) -> None:
    problem(stranger.get(META), 401, "key_missing")
    problem(Api(key="hg_no").get(META), 401, "key_unknown")


def test_it_tells_limits_version_and_clock(api: Api, settings: Any) -> None:
    settings.RETENTION_DAYS = 30
    before = timezone.now()

    told = api.get(META).json()

    assert told["limits"] == {"events": 1000, "body": 5242880, "inflated": 20971520, "event": 262144, "depth": 32}
    assert told["version"] == tomllib.loads((live.ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert told["retention_days"] == 30
    assert before <= datetime.fromisoformat(told["time"]) <= timezone.now()


@pytest.mark.parametrize("days", [30, 365])
def test_the_ids_that_it_tells_are_those_that_are_accepted(days: int, api: Api, settings: Any) -> None:
    settings.RETENTION_DAYS = days
    accepted = api.get(META).json()["accepted_ids"]
    oldest, newest = (datetime.fromisoformat(accepted[name]) for name in ("oldest", "newest"))
    minute = timedelta(minutes=1)

    moments = [oldest - minute, oldest + minute, newest - minute, newest + minute]

    assert [api.send(event(id=str(uuid7(moment)))).status_code for moment in moments] == [422, 201, 201, 422]


def test_a_parameter_is_refused_by_name(api: Api) -> None:
    problem(api.get(f"{META}?x=1"), 400, "unknown_parameter", "x")


def test_it_is_only_read(api: Api) -> None:
    problem(api.call("POST", META, b"{}", "application/json"), 405, "method_not_allowed")
