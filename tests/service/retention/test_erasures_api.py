"""``POST erasures/`` and ``GET erasures/``."""

from typing import Any

import pytest

from service.events.models import Erasure
from service.projects import operations as projects
from service.projects.models import Project, Scope
from service.retention import tasks
from tests.service.cast import Api, event, problem

ERASURES = "/api/v1/erasures/"


@pytest.fixture
def admin(project: Project) -> Api:
    return Api(key=projects.create_key(project, [Scope.ADMIN]))


def ask(api: Api, body: bytes) -> Any:
    return api.call("POST", ERASURES, body, "application/json")


def test_what_is_asked_for_is_begun_and_done(transactional_db: None, admin: Api, api: Api) -> None:
    api.send([event(actor="auth.User/7"), event(actor="auth.User/8")])

    begun = ask(admin, b'{"actor": "auth.User/7"}')

    assert begun.status_code == 202
    assert (begun.json()["state"], begun.json()["kind"], begun.json()["removed"]) == ("working", "actor", 0)
    tasks.remove.func(timestamp=0)
    (done,) = admin.get(ERASURES).json()["results"]
    assert (done["id"], done["state"], done["removed"], done["redacted"]) == (begun.json()["id"], "done", 1, 0)
    left = api.list(type="shop.signals.order_paid").json()["results"]
    assert [each["actor"] for each in left] == ["auth.User/8"]
    (record,) = api.list(type="heliograph.erased").json()["results"]
    assert (record["subject"], record["data"]) == (f"heliograph.Erasure/{done['id']}", {"kind": "actor"})
    assert record["actor"] == done["asked_by"]


def test_it_tells_who_asked_and_never_whom_it_is_about(db: None, admin: Api, project: Project) -> None:
    answers = [ask(admin, b'{"object": "shop.Customer/secret"}'), admin.get(ERASURES)]

    assert all(b"secret" not in answer.content for answer in answers)
    assert answers[0].json()["asked_by"] == f"heliograph.Key/{project.keys.get(scopes=[Scope.ADMIN]).pk}"


def test_erasures_are_listed_newest_first_and_those_of_the_project_only(
    admin: Api, neighbour: Project, project: Project
) -> None:
    ids = [ask(admin, b'{"actor": "a/%d"}' % number).json()["id"] for number in range(3)]
    ask(Api(key=projects.create_key(neighbour, [Scope.ADMIN])), b'{"actor": "a/1"}')

    first = admin.get(f"{ERASURES}?page_size=2").json()

    assert [each["id"] for each in first["results"]] == ids[:0:-1]
    assert [each["id"] for each in admin.get(first["next"]).json()["results"]] == ids[:1]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        (b"{}", "object", "invalid"),
        (b'{"object": "a/1", "actor": "b/1"}', "object", "invalid"),
        (b'{"object": "42"}', "object", "invalid"),
        (b'{"object": "/42"}', "object", "invalid"),
        (b'{"object": 42}', "object", "invalid"),
        (b'{"object": "heliograph.Key/17"}', "object", "reserved"),
        (b'{"actor": "heliograph.User/1"}', "actor", "reserved"),
        (b'{"actor": ""}', "actor", "invalid"),
        (b'{"actor": "a\\u0000"}', "actor", "nul_character"),
    ],
)
def test_what_names_not_one_subject_is_refused(body: bytes, field: str, code: str, admin: Api) -> None:
    problem(ask(admin, body), 422, code, field)
    assert not Erasure.objects.exists()


def test_what_isnt_json_is_refused(admin: Api) -> None:
    problem(ask(admin, b"{"), 400, "malformed_json")
    problem(admin.call("POST", ERASURES, b"{}", "text/plain"), 415, "unsupported_media_type")
    problem(admin.get(f"{ERASURES}?colour=red"), 400, "unknown_parameter", "colour")


def test_only_the_scope_admin_may(api: Api) -> None:
    problem(ask(api, b'{"actor": "a/1"}'), 403, "scope_missing")
    problem(api.get(ERASURES), 403, "scope_missing")
