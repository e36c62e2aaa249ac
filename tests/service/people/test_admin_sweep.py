"""Every address of the admin as those meet it who may not: nothing of a project is told to them, or changed by them.

An address that comes later is swept by itself; one that this doesn't know how to fill in, or to post to, fails it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from service.projects import operations
from service.projects.models import Key, Membership, Project, Role, Scope

NOBODYS = 987_654_321  # an id that nothing has
MODELS: tuple[type[Model], ...] = (Project, Key, Key.reads.through, Membership, User)
# So that an id is nothing else that a page has, of another table neither.
LARGE_IDS = """
    SELECT setval(seq, greatest(nextval(seq), n * 100000000)) FROM unnest(%s::regclass[]) WITH ORDINALITY AS t(seq, n)
"""
# What grows with events tells the project of each row.
OF_EVENTS = """
    SELECT table_name FROM information_schema.columns WHERE column_name = 'project_id' AND table_schema = 'public'
    AND table_name NOT LIKE 'projects\\_%'
"""
OF_THE_SITE = {"index", "login", "logout", "password_change", "password_change_done", "autocomplete", "jsi18n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    route: str
    name: str
    model: str  # as projects/key; empty for the site's own

    def __str__(self) -> str:
        return self.name or self.route

    def address(self, ids: Mapping[str, int]) -> str:
        filled = re.sub(r"<(?:\w+:)?(?:object_)?id>", lambda _: str(ids[self.model]), self.route)
        filled = re.sub(r"\^?\(\?P<app_label>[^)]*\)", "projects", filled).replace("(?P<url>.*)", "no-such")
        assert not set("<(^") & set(filled), f"{self.route} has a part that the sweep can't fill in: add it to Page"
        return "/" + filled.rstrip("$")


def pages(patterns: "list[URLPattern | URLResolver]", before: str = "") -> Iterator[Page]:
    models = {f"{model._meta.app_label}/{model._meta.model_name}" for model in admin.site._registry}
    for each in patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from pages(each.url_patterns, route)
        elif route.startswith("admin/"):
            model = "/".join(route.split("/")[1:3])
            yield Page(route=route, name=each.name or "", model=model if model in models else "")


PAGES = [*pages(get_resolver().url_patterns)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A project of three that is full of marks, and everybody who has to do with it."""

    ids: dict[str, int]
    far: Project  # which one of the project's keys reads
    username: str
    marks: tuple[str, ...]
    people: dict[str, SimpleCookie]

    @property
    def nobodys(self) -> dict[str, int]:
        return dict.fromkeys(self.ids, NOBODYS)

    def seen(self, body: str) -> list[str]:
        return [mark for mark in self.marks if mark in body]


@pytest.fixture
def stage(db: None) -> Stage:
    with connection.cursor() as cursor:
        names = ["projects_project", "projects_key", "projects_membership", "auth_user"]
        cursor.execute(LARGE_IDS, [[f"{name}_id_seq" for name in names]])
    project, mine, far = (Project.objects.create(name=f"mark-{name}") for name in ("theirs", "mine", "far"))
    token = operations.create_key(project, [Scope.EVENTS_READ], label="mark-label", reads=[far])
    people = {name: User.objects.create_user(name) for name in ("stranger", "viewer", "member", "staff", "owner")}
    for role in Role:
        Membership.objects.create(project=project, user=people[role], role=role)
    Membership.objects.create(project=far, user=people["owner"])  # else he could not rotate a key that reads it
    people["staff"].is_staff = True
    people["staff"].user_permissions.set(Permission.objects.all())
    people["staff"].save()
    people["neighbour"] = User.objects.create_user("neighbour")
    Membership.objects.create(project=mine, user=people["neighbour"], role=Role.OWNER)
    Membership.objects.create(project=project, user=people["neighbour"], role=Role.MEMBER)
    operations.create_key(mine, [Scope.EVENTS_READ])
    people["superuser"] = User.objects.create_superuser("superuser")
    someone = User.objects.create_user("mark-someone", email="mark-someone@mark.example")
    membership = Membership.objects.create(project=project, user=someone)
    return Stage(
        ids={
            "projects/project": project.pk,
            "projects/key": key_of(token).pk,
            "projects/membership": membership.pk,
            "auth/user": someone.pk,
        },
        far=far,
        username=someone.username,
        marks=(project.name, far.name, "mark-label", token[:11], someone.username, someone.email),
        people={"anonymous": SimpleCookie(), **{name: cookies_of(user) for name, user in people.items()}},
    )


def key_of(token: str) -> Key:
    return Key.objects.get(digest=operations.digest(token))


def cookies_of(user: User) -> SimpleCookie:
    client = Client()
    client.force_login(user)
    return client.cookies


def bodies(stage: Stage, ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return what would do something, posted to each page by its name, by who may."""
    project, sure = ids["projects/project"], {"post": "yes"}
    key = {"label": "posted", "scopes": list(Scope), "reads": [project], "rate_limit": "7"}
    person = {"username": "posted", "is_active": "on", "is_superuser": "on"}
    password = {"password1": "a long password", "password2": "a long password", "usable_password": "true"}
    known: dict[str, dict[str, Any]] = {
        "projects_project_add": {"name": "posted"},
        "projects_project_change": {"name": "posted", "retention_days": "30"},
        "projects_project_delete": sure,
        "projects_key_add": {"project": project, **key},
        "projects_key_change": {"project": project, **key},
        "projects_key_delete": sure,
        "projects_key_rotate": {"hours": 1},
        "projects_key_revoke": sure,
        "projects_membership_add": {"project": project, "user": "stranger", "role": Role.OWNER},
        "projects_membership_change": {"project": project, "user": "stranger", "role": Role.OWNER},
        "projects_membership_delete": sure,
        "auth_user_add": person | password,
        "auth_user_change": person | {"password": "x", "date_joined_0": "2026-01-01", "date_joined_1": "00:00"},
        "auth_user_delete": sure,
        "auth_user_password_change": password,
    }
    for model in ("project", "key", "membership"):
        chosen = {"action": "delete_selected", "_selected_action": [ids[f"projects/{model}"]], **sure}
        known[f"projects_{model}_changelist"] = chosen
    known["auth_user_changelist"] = {"action": "delete_selected", "_selected_action": [ids["auth/user"]], **sure}
    return known


def body_of(page: Page, stage: Stage, ids: Mapping[str, int]) -> dict[str, Any]:
    """Return what to post; fails for a page that this doesn't know."""
    known = bodies(stage, ids)
    needs_none = page.name in OF_THE_SITE | {"", "app_list"} or page.name.endswith("_history")
    assert needs_none or page.name in known, f"{page} may be posted to: add it to bodies()"
    return known.get(page.name, {})


def questions(page: Page, ids: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """Yield queries that a page may be asked with; what they name of a project is in ``ids``."""
    project = ids["projects/project"]
    yield {}
    if page.name == "autocomplete":
        for model, field in (("key", "project"), ("key", "reads"), ("membership", "project"), ("membership", "user")):
            for term in ("", "mark"):
                yield {"app_label": "projects", "model_name": model, "field_name": field, "term": term}
    elif page.name.endswith("_changelist"):
        yield {"q": "mark"}
        yield {"_facets": "True", "all": ""}
        yield {"project__id__exact": project}
        yield {"reads__id__exact": project}
        yield {"user__username__startswith": "mark"}
        yield {"project__name__startswith": "mark"}
        yield {"project__keys__digest__gte": "x"}
        yield {"_to_field": "id", "_popup": "1", "id__in": f"{project},{ids['projects/key']}"}
    elif page.name.endswith("_add"):
        yield {"project": project, "reads": project, "user": ids["auth/user"]}
    elif "<" in page.route:
        yield {"_to_field": "id", "_popup": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    location: str
    body: str


def ask(cookies: SimpleCookie, method: str, address: str, sent: Mapping[str, Any], *, follow: bool = False) -> Answer:
    """Ask as who has ``cookies``, and undo what came of it once the caller has looked."""
    client = Client()
    client.cookies = SimpleCookie({name: morsel.value for name, morsel in cookies.items()})
    answer = client.generic(
        method,
        address,
        urlencode(sent, doseq=True) if method == "POST" else "",
        "application/x-www-form-urlencoded" if method == "POST" else "",
    )
    location = answer.headers.get("Location", "")
    if follow and location:
        answer = client.get(location)
    return Answer(status=answer.status_code, location=location, body=answer.content.decode())


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def calls(page: Page, stage: Stage, ids: Mapping[str, int]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    address = page.address(ids)
    for question in questions(page, ids):
        yield "GET", f"{address}?{urlencode(question)}" if question else address, {}
    yield "POST", address, body_of(page, stage, ids)


def rows(*more: type[Model]) -> list[Any]:
    return [(model.__name__, sorted(model._default_manager.values_list())) for model in (*MODELS, *more)]


def test_there_is_an_admin_to_sweep() -> None:
    names = {page.name for page in PAGES}

    assert {"index", "projects_key_add", "projects_key_rotate", "projects_membership_delete", "auth_user_add"} <= names
    assert "view_on_site" not in names
    assert {*admin.site._registry} == {Project, Key, Membership, User}


@pytest.mark.parametrize("who", ["anonymous", "stranger", "viewer", "member", "staff"])
def test_who_owns_nothing_gets_no_page(who: str, stage: Stage) -> None:
    """Neither does who is staff and has each permission of Django's."""
    wrong: list[object] = []
    before = rows(LogEntry)
    for page in PAGES:
        for method, address, sent in calls(page, stage, stage.ids):
            with undone():
                answer = ask(stage.people[who], method, address, sent)
                sent_away = answer.location.startswith(("/admin/login/?next=", "/accounts/login/?next=", "/admin/"))
                may_be = {302} if sent_away else {403, 404}
                if answer.status not in may_be or stage.seen(answer.body) or rows(LogEntry) != before:
                    wrong.append((str(page), method, address, answer))

    assert wrong == []


def test_who_owns_nothing_is_told_so_where_he_would_log_in(stage: Stage) -> None:
    assert ask(stage.people["viewer"], "GET", "/admin/login/", {}).status == 403
    assert ask(stage.people["anonymous"], "GET", "/admin/login/", {}).location == "/accounts/login/?next=/admin/"
    assert ask(stage.people["owner"], "GET", "/admin/login/", {}).location == "/admin/"


def test_an_owner_meets_another_projects_ids_as_if_they_were_nobodys(stage: Stage) -> None:
    """Though he is a member of that project."""
    wrong: list[object] = []
    before = rows()
    cookies = stage.people["neighbour"]
    for page in PAGES:
        both = zip(calls(page, stage, stage.ids), calls(page, stage, stage.nobodys), strict=True)
        for (method, address, sent), (_, nobodys_address, nobodys_sent) in both:
            with undone():
                answer = ask(cookies, method, address, sent, follow=True)
                if rows() != before:
                    wrong.append((str(page), method, address, "changed something", answer))
            with undone():
                other = ask(cookies, method, nobodys_address, nobodys_sent, follow=True)
            if stage.seen(answer.body):
                wrong.append((str(page), method, address, stage.seen(answer.body)))
            if differs := difference(blank(answer, stage.ids), blank(other, stage.nobodys)):
                wrong.append((str(page), method, address, differs))

    assert wrong == []


def blank(answer: Answer, ids: Mapping[str, int]) -> Answer:
    """Return ``answer`` without the ids that were asked for, which it repeats, and without what is random."""
    asked = "|".join(map(str, ids.values()))

    def without(text: str) -> str:
        text = re.sub(r'csrfmiddlewaretoken" value="\w+"', "", text)
        text = re.sub(r"\d\d?:\d\d:\d\d", "", text)
        return re.sub(asked, "…", text)

    return Answer(status=answer.status, location=without(answer.location), body=without(answer.body))


def difference(answer: Answer, other: Answer) -> object:
    if (answer.status, answer.location) != (other.status, other.location):
        return (answer.status, answer.location), (other.status, other.location)
    return {*answer.body.splitlines()} ^ {*other.body.splitlines()}


OWNERS_GETS = {page.name for page in PAGES if page.model.startswith("projects/")} - {
    *("projects_project_add", "projects_project_delete", "projects_key_delete", ""),
}
OWNERS_POSTS = {
    *("projects_key_add", "projects_key_change", "projects_key_rotate", "projects_key_revoke"),
    *("projects_membership_add", "projects_membership_change", "projects_membership_delete"),
    *("projects_membership_changelist", "projects_project_change"),
}
SUPERUSERS_POSTS = OWNERS_POSTS | {
    "projects_project_add",
    *("auth_user_add", "auth_user_change", "auth_user_delete", "auth_user_changelist", "auth_user_password_change"),
}


@pytest.mark.parametrize(("who", "posts"), [("owner", OWNERS_POSTS), ("superuser", SUPERUSERS_POSTS)])
def test_an_owner_does_in_his_project_what_is_his_and_a_superuser_what_there_is(
    who: str, posts: set[str], stage: Stage
) -> None:
    """No project is deleted, nor a key, by anybody; and what the sweeps look for would be found, and done."""
    before, got, done, seen = rows(), set(), set(), set()
    for page in PAGES:
        for method, address, sent in calls(page, stage, stage.ids):
            with undone():
                answer = ask(stage.people[who], method, address, sent)
                assert answer.status < 500, (address, answer)
                if answer.status == 200 and method == "GET" and page.model.startswith("projects/"):
                    got.add(page.name)
                    seen.update(stage.seen(answer.body))
                if rows() != before:
                    done.add(page.name)

    assert done == posts
    if who == "owner":
        assert got == OWNERS_GETS
        assert seen == {*stage.marks} - {stage.far.name, stage.marks[-1]}
    else:
        assert got == OWNERS_GETS | {"projects_project_add"}
        assert seen >= {*stage.marks} - {stage.marks[-1]}


def test_users_are_for_superusers(stage: Stage) -> None:
    for page in PAGES:
        if page.model == "auth/user":
            for method, address, sent in calls(page, stage, stage.ids):
                answer = ask(stage.people["owner"], method, address, sent)
                assert answer.status in {302, 403}, (address, answer)
                assert not stage.seen(answer.body)


def test_no_page_reads_what_grows_with_events(stage: Stage) -> None:
    with connection.cursor() as cursor:
        cursor.execute(OF_EVENTS)
        tables = {name for (name,) in cursor.fetchall()}
    assert {"event"} <= tables
    asked: list[str] = []
    for page in PAGES:
        for method, address, sent in calls(page, stage, stage.ids):
            with (
                undone(),
                CaptureQueriesContext(
                    connection,
                ) as queries,
            ):
                ask(stage.people["superuser"], method, address, sent)
            asked += [each["sql"] for each in queries.captured_queries]

    assert len(asked) > 100
    assert [sql for sql in asked if set(re.findall(r"\w+", sql)) & tables] == []
