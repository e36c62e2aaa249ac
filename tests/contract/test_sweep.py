"""Every operation of ``openapi.yaml`` as those meet it who may not: nothing of a project is told to them.

An operation that comes later is swept by itself; one that this doesn't know how to fill in fails the sweep.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from service.projects import operations as keys
from service.projects.models import Key, Membership, Project, Role, Scope
from tests.contract.document import Answer, Caller, Operation, operations
from tests.service.cast import report, uuid7

# Reads come first: what the neighbour sends with a project's ids is the neighbour's from then on.
OPERATIONS = sorted(operations(), key=lambda operation: operation.method != "GET")
PUBLIC: frozenset[str] = frozenset()  # operations that ask for no key
PUBLIC_ADDRESSES = (
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/schema/",
    "/api/v1/docs/",
    "/no/such/",
    "/accounts/login/",
)
MADE = re.compile(r'"(?:id|token|prefix|label|created|asked|asked_by)":[^,]+,')
SAME_FOR_ALL = {"page_size", "cursor", "ordering"}  # parameters that name nothing of a project


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """All that a project can be known again by, each a text that nobody else has; ``texts`` by what it was sent as."""

    texts: dict[str, str] = field(default_factory=dict)
    projects: list[Project] = field(default_factory=list)  # the one that they are of

    def mark(self, name: str) -> str:
        return self.texts.setdefault(name, f"mark-{name}-{secrets.token_hex(8)}")

    def identifier(self, name: str) -> str:
        return self.texts.setdefault(name, str(uuid7()))

    def digits(self, name: str) -> str:
        return self.texts.setdefault(name, secrets.token_hex(16))

    def key_id(self) -> str:
        """Return the id of a new key of the project, which has a mark; of none where there is no project.

        It has too many digits to stand in an answer by chance.
        """
        number = 10**12 + secrets.randbelow(10**12)
        for project in self.projects:
            token = keys.create_key(project, [Scope.ADMIN], label=self.mark("label"))
            Key.objects.filter(digest=keys.digest(token)).update(id=number)
        return str(number)

    def event(self, event_id: str) -> dict[str, Any]:
        sender, key = self.mark("sender"), self.mark("object_id")
        return {
            "specversion": "1.0",
            "id": event_id,
            "source": self.mark("source"),
            "type": self.mark("type"),
            "subject": f"{sender}/{key}",
            "time": timezone.now().isoformat(),
            "sender": sender,
            "action": self.mark("action"),
            "actor": self.mark("actor"),
            "correlationid": self.mark("correlationid"),
            "causationid": self.identifier("causationid"),
            "traceparent": f"00-{self.digits('traceid')}-b7ad6b7169203331-01",
            "emitterid": self.identifier("emitterid"),
            "sequence": "1",
            "outcome": "committed",
            "tenantnote": self.mark("extension"),
            "data": {
                "changes": {self.mark("changed"): [self.mark("before"), self.mark("after")]},
                "fields": {"total": self.mark("data")},
            },
        }

    def report(self) -> dict[str, Any]:
        told = report(
            self.identifier("emitterid"),
            source=self.mark("source"),
            host=self.mark("host"),
            versions={"python": self.mark("version")},
            captured=7,
            lost={self.mark("lost"): 1},
            unsent={self.mark("unsent"): 1},
        )
        return dict(told)

    def values(self) -> dict[str, str]:
        """Return what each parameter of the schema is filled in with, by its name."""
        named = self.texts
        day = timedelta(days=1)
        return {
            "id": named["id"],
            "emitterid": named["emitterid"],
            "sender": named["sender"],
            "object_id": named["object_id"],
            "type": named["type"],
            "type__in": named["type"],
            "type__startswith": named["type"],
            "sender__in": named["sender"],
            "action": named["action"],
            "action__in": named["action"],
            "actor": named["actor"],
            "actor__in": named["actor"],
            "correlationid": named["correlationid"],
            "causationid": named["causationid"],
            "traceid": named["traceid"],
            "source": named["source"],
            "changed": named["changed"],
            "q": named["data"],
            "data.<path>": named["data"],
            "as_of": named["id"],
            "name": named["project"],
            "outcome": "committed",
            "time__gte": (timezone.now() - day).isoformat(),
            "time__lt": (timezone.now() + day).isoformat(),
            "last_seen__gte": (timezone.now() - day).isoformat(),
            "last_seen__lt": (timezone.now() + day).isoformat(),
            "missing__gte": "0",
        }


def bodies(traces: Traces) -> dict[str, object]:
    """Return what each operation that takes a body is sent."""
    return {
        "events_create": traces.event(traces.identifier("id")),
        "telemetry_create": traces.report(),
        "keys_create": {"label": secrets.token_hex(8), "scopes": [Scope.ADMIN]},
        "keys_update": {"label": secrets.token_hex(8)},
        "keys_rotate": {"overlap": 60},
        "erasures_create": {"actor": "auth.User/nobody"},
        "projects_update": {"retention_days": 300},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A project full of marks, its neighbour who has an event too, and traces that are nobody's."""

    url: str
    http: urllib3.PoolManager
    project: Project
    theirs: Traces
    nobodys: Traces
    owner: Caller
    neighbour: Caller
    trusted: Caller  # the neighbour with a key that reads the project
    neighbours_owner: Caller  # who is logged in
    made: dict[frozenset[str], Caller] = field(default_factory=dict)

    def key(self, *scopes: str) -> Caller:
        """Return a caller whose key has ``scopes``; the same for the same ones, since a project may have few keys."""
        wanted = frozenset(scopes)
        if wanted not in self.made:
            self.made[wanted] = bearer(self.url, self.http, keys.create_key(self.project, [*wanted]))
        return self.made[wanted]

    def person(self, role: Role) -> Caller:
        """Log somebody in who has a role in the project."""
        user = User.objects.create_user(secrets.token_hex(8))
        Membership.objects.create(project=self.project, user=user, role=role)
        return logged_in(self.url, self.http, user, self.project.name)

    def seen(self, answer: Answer, asked: Mapping[str, str] | None = None) -> list[str]:
        """Return the names of the marks in ``answer``, those aside that were ``asked`` for."""
        body = answer.body
        for text in (asked or {}).values():
            body = body.replace(text, "")
        return [name for name, text in self.theirs.texts.items() if text in body]


def filled_in(operation: Operation, traces: Traces, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return a value for each of ``parameters``; fails for one that this test doesn't know."""
    values = traces.values()
    filled = {}
    for name, told in parameters.items():
        schema = told["schema"]
        if name == "key_id":
            filled[name] = traces.key_id()
        elif name in values:
            filled[name] = values[name]
        elif "enum" in schema:
            filled[name] = schema["enum"][0]
        elif schema.get("type") == "boolean":
            filled[name] = "true"
        elif "default" in schema:
            filled[name] = json.dumps(schema["default"]).strip('"')
        elif name not in SAME_FOR_ALL:
            pytest.fail(f"{operation} has a parameter {name!r} that the sweep can't fill in: add it to Traces.values")
    return filled


def in_query(name: str, value: str) -> dict[str, str]:
    return {"data.fields.total" if name == "data.<path>" else name: value}


def body_of(operation: Operation, traces: Traces) -> object:
    if "requestBody" not in operation.told:
        return None
    known = bodies(traces)
    assert str(operation) in known, f"{operation} takes a body that the sweep doesn't know: add it to bodies()"
    return known[str(operation)]


def path_of(operation: Operation, traces: Traces) -> dict[str, str]:
    return filled_in(operation, traces, operation.parameters("path"))


def new_traces() -> Traces:
    traces = Traces()
    traces.mark("project")
    traces.mark("label")
    bodies(traces)
    return traces


@pytest.fixture
def stage(transactional_db: None, live_service: str) -> Iterator[Stage]:
    theirs = new_traces()
    project = Project.objects.create(name=theirs.texts["project"])
    theirs.projects.append(project)
    neighbour = Project.objects.create(name="sweep-neighbour")
    with urllib3.PoolManager(retries=False) as http:
        person = User.objects.create_user("sweep-neighbour")
        Membership.objects.create(project=neighbour, user=person, role=Role.OWNER)
        whole = Stage(
            url=live_service,
            http=http,
            project=project,
            theirs=theirs,
            nobodys=new_traces(),
            owner=bearer(live_service, http, keys.create_key(project, Scope.values)),
            neighbour=bearer(live_service, http, keys.create_key(neighbour, Scope.values)),
            trusted=bearer(live_service, http, keys.create_key(neighbour, Scope.values, reads=[project])),
            neighbours_owner=logged_in(live_service, http, person, neighbour.name),
        )
        fill(whole.owner, whole.theirs)
        fill(whole.neighbour, new_traces())
        yield whole


def bearer(url: str, http: urllib3.PoolManager, token: str) -> Caller:
    return Caller(url=url, http=http, authorization=f"Bearer {token}")


def logged_in(url: str, http: urllib3.PoolManager, user: User, project: str) -> Caller:
    """Return who calls from a browser, about a project, with what a page of ours would say."""
    client, token = Client(), secrets.token_hex(16)
    client.force_login(user)
    cookies = f"sessionid={client.cookies['sessionid'].value}; csrftoken={token}"
    said = {"Cookie": cookies, "X-CSRFToken": token, "Heliograph-Project": project}
    return Caller(url=url, http=http, said=said)


def fill(caller: Caller, traces: Traces) -> None:
    sent = caller.ask("POST", "/api/v1/events/", {}, bodies(traces)["events_create"])
    told = caller.ask("POST", "/api/v1/telemetry/", {}, bodies(traces)["telemetry_create"])
    assert (sent.status, told.status) == (201, 204), (sent, told)


def test_each_operation_says_which_key_it_needs() -> None:
    for operation in OPERATIONS:
        if str(operation) in PUBLIC:
            continue
        assert operation.told.get("security") == [{"key": []}, {"session": [], "project": []}], operation
        assert "x-scopes" in operation.told, operation
        assert operation.scopes <= set(Scope.values), operation


def test_the_project_itself_sees_all_its_marks(stage: Stage) -> None:
    """What the sweep looks for would be found, and each operation is called so that it answers with something."""
    seen: set[str] = set()
    for operation in OPERATIONS:
        path = path_of(operation, stage.theirs)
        answer = stage.owner.call(operation, path, body=body_of(operation, stage.theirs))
        assert answer.status in {200, 201, 202, 204}, (str(operation), answer)
        seen.update(stage.seen(answer))

    assert seen == stage.theirs.texts.keys()


@pytest.mark.parametrize("who", ["neighbour", "trusted", "neighbours_owner"])
def test_a_neighbour_meets_a_projects_ids_as_if_they_were_nobodys(who: str, stage: Stage) -> None:
    """Also with a key that reads the project: no chain has events of both."""
    caller: Caller = getattr(stage, who)
    leaks: list[object] = []
    before = as_the_owner_reads(stage)
    for operation in OPERATIONS:
        path, nobodys_path = path_of(operation, stage.theirs), path_of(operation, stage.nobodys)
        filters = filled_in(operation, stage.theirs, operation.parameters("query"))
        nobodys_filters = filled_in(operation, stage.nobodys, operation.parameters("query"))
        for name in [None, *filters]:
            query = in_query(name, filters[name]) if name else {}
            nobodys_query = in_query(name, nobodys_filters[name]) if name else {}
            answer = caller.call(operation, path, query, body_of(operation, stage.theirs))
            other = caller.call(operation, nobodys_path, nobodys_query, body_of(operation, stage.nobodys))
            asked, nobodys_asked = path | query, nobodys_path | nobodys_query
            if seen := stage.seen(answer, asked):
                leaks.append((str(operation), name, answer.status, seen))
            names_an_id = any(value in stage.theirs.texts.values() for value in asked.values())
            if (names_an_id or operation.method != "GET") and blank(answer, asked) != blank(other, nobodys_asked):
                leaks.append((str(operation), name, "differs from what is nobody's", answer, other))

    assert leaks == []
    assert as_the_owner_reads(stage) == before, "a neighbour changed what the project reads"
    untouched = Key.objects.filter(label__in=("", stage.theirs.texts["label"]), revoked_at=None, successor=None)
    assert stage.project.keys.count() == untouched.filter(project=stage.project).count()


def test_a_key_that_reads_a_project_is_told_of_it_in_chains_and_nowhere_else(stage: Stage) -> None:
    cause = stage.theirs.texts["id"]
    effect = new_traces().event(str(uuid7())) | {"causationid": cause}
    assert stage.neighbour.ask("POST", "/api/v1/events/", {}, effect).status == 201

    told: set[str] = set()
    for operation in OPERATIONS:
        if operation.method == "GET":
            path = path_of(operation, stage.theirs)
            filters = filled_in(operation, stage.theirs, operation.parameters("query"))
            for query in [{}, *(in_query(name, value) for name, value in filters.items())]:
                answer = stage.trusted.call(operation, path, query)
                if stage.seen(answer, {"cause": cause, **path, **query}):
                    told.add(str(operation))
                assert not stage.seen(stage.neighbour.call(operation, path, query), {"cause": cause, **path, **query})

    assert told == {"events_chain"}


def blank(answer: Answer, asked: Mapping[str, str]) -> Answer:
    """Return ``answer`` without what it echoes of the question, a tail's place, which moves, and what is made by it."""
    body = re.sub(r"(?m)^id: .*$", "", answer.body)
    body = MADE.sub("", body) if answer.status in {201, 202} else body
    for text in sorted(asked.values(), key=len, reverse=True):
        body = body.replace(text, "…")
    return Answer(status=answer.status, media_type=answer.media_type, body=body)


def as_the_owner_reads(stage: Stage) -> list[str]:
    addresses = ("/api/v1/events/", "/api/v1/emitters/", "/api/v1/projects/")
    return [stage.owner.ask("GET", address, {}).body for address in addresses]


def test_a_key_does_what_its_scopes_say_and_nothing_else(stage: Stage) -> None:
    """With each scope alone, and with all but those that are needed."""
    wrong: list[object] = []
    for operation in OPERATIONS:
        path, body = path_of(operation, stage.theirs), body_of(operation, stage.theirs)
        held = [frozenset({scope}) for scope in Scope.values] + [frozenset(Scope.values) - operation.scopes]
        for scopes in held:
            may = not operation.scopes or bool(scopes & operation.scopes)
            answer = stage.key(*scopes).call(operation, path, body=body)
            if may != (answer.status in {200, 201, 202, 204}):
                wrong.append((str(operation), sorted(scopes), answer))
            if not may and (answer.status != 403 or stage.seen(answer, path)):
                wrong.append((str(operation), sorted(scopes), answer, stage.seen(answer, path)))

    assert wrong == []


def test_a_person_does_what_the_role_says_and_nothing_else(stage: Stage) -> None:
    wrong: list[object] = []
    seen: dict[Role, set[str]] = {}
    for role in Role:
        caller, seen[role] = stage.person(role), set()
        for operation in OPERATIONS:
            path, body = path_of(operation, stage.theirs), body_of(operation, stage.theirs)
            answer = caller.call(operation, path, body=body)
            may = operation.scopes <= role.scopes
            if may != (answer.status in {200, 201, 202, 204}) or (not may and answer.status != 403):
                wrong.append((role, str(operation), answer))
            if not may and stage.seen(answer, path):
                wrong.append((role, str(operation), stage.seen(answer, path)))
            seen[role].update(stage.seen(answer))

    assert wrong == []
    of_keys = {"label"}
    assert seen[Role.OWNER] == stage.theirs.texts.keys()
    assert seen[Role.VIEWER] == seen[Role.MEMBER] == stage.theirs.texts.keys() - of_keys


def test_a_project_that_a_person_is_not_in_is_as_one_that_does_not_exist(stage: Stage) -> None:
    """For a stranger and for an owner of another; byte for byte, with each operation."""
    stranger = logged_in(stage.url, stage.http, User.objects.create_user("stranger"), "")
    removed = stage.person(Role.OWNER)
    Membership.objects.filter(project=stage.project).delete()
    wrong: list[object] = []
    for operation in OPERATIONS:
        path, body = path_of(operation, stage.theirs), body_of(operation, stage.theirs)
        for caller in (stranger, stage.neighbours_owner, removed):
            theirs, nobodys = (
                replace(caller, said={**caller.said, "Heliograph-Project": name}).call(operation, path, body=body)
                for name in (stage.project.name, "no-such-project")
            )
            if theirs.status != 403 or theirs != nobodys or stage.seen(theirs, path):
                wrong.append((str(operation), theirs, nobodys))

    assert wrong == []


def test_without_a_good_key_there_is_nothing(stage: Stage) -> None:
    wrong: list[object] = []
    token = keys.create_key(stage.project, Scope.values)
    for operation in OPERATIONS:
        if str(operation) in PUBLIC:
            continue
        path, body = path_of(operation, stage.theirs), body_of(operation, stage.theirs)
        for name, authorization in bad_keys(stage, token).items():
            caller = Caller(url=stage.url, http=stage.http, authorization=authorization)
            answer = caller.call(operation, path, body=body)
            if answer.status != 401 or stage.seen(answer, path):
                wrong.append((str(operation), name, answer))
        for name, said in half_a_person(stage).items():
            answer = Caller(url=stage.url, http=stage.http, said=said).call(operation, path, body=body)
            if answer.status != 401 or stage.seen(answer, path):
                wrong.append((str(operation), name, answer))

    assert wrong == []


def half_a_person(stage: Stage) -> dict[str, dict[str, str]]:
    """Return what a browser can say, and is nobody of the project."""
    whole = dict(stage.person(Role.OWNER).said)
    named = {"Heliograph-Project": whole["Heliograph-Project"]}
    return {
        "a session and no project": {name: value for name, value in whole.items() if name not in named},
        "a project and no session": named,
        "a session that isn't": whole | {"Cookie": "sessionid=" + "x" * 32},
    }


def bad_keys(stage: Stage, good: str) -> dict[str, str | None]:
    """Return what can stand in ``Authorization`` and is no key."""
    return {
        "none": None,
        "unknown": "Bearer hg_" + "x" * 40,
        "revoked": f"Bearer {spent(stage.project, 'revoked_at')}",
        "expired": f"Bearer {spent(stage.project, 'expires_at')}",
        "another scheme": f"Basic {good}",
        "a good key and more": f"Bearer {good} {good}",
        "a good key cut short": f"Bearer {good[:-1]}",
        "no words": "Bearer",
    }


def spent(project: Project, column: str) -> str:
    token = keys.create_key(project, Scope.values)
    Key.objects.filter(digest=keys.digest(token)).update(**{column: timezone.now() - timedelta(seconds=1)})
    return token


def test_other_methods_and_public_pages_tell_nothing(stage: Stage) -> None:
    leaks: list[object] = []
    for operation in OPERATIONS:
        path = path_of(operation, stage.theirs)
        for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"):
            if operation.endless and method == "HEAD":
                continue
            answer = stage.neighbour.call(operation, path, method=method)
            if seen := stage.seen(answer, path):
                leaks.append((method, str(operation), seen))
    nobody = Caller(url=stage.url, http=stage.http)
    for address in PUBLIC_ADDRESSES:
        if seen := stage.seen(nobody.ask("GET", address, {})):
            leaks.append((address, seen))

    assert leaks == []
    assert stage.owner.ask("GET", f"/api/v1/events/{stage.theirs.texts['id']}/", {}).status == 200
