"""What owners and superusers do in the admin; that others do none of it is in test_admin_sweep."""

import logging
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from service.api import limits
from service.events.models import Event
from service.people.admin import KeyAdmin
from service.projects import operations
from service.projects.models import Key, Membership, Project, Role, Scope
from tests.service.cast import Api

KEYS = "/admin/projects/key/"
MEMBERS = "/admin/projects/membership/"
PROJECTS = "/admin/projects/project/"
TOKEN = re.compile(r"hg_[A-Za-z0-9]{40}")


@pytest.fixture
def owner(project: Project) -> Client:
    """Who owns the project ``shop``, and is no staff."""
    return owner_of(project, "ada")


@pytest.fixture
def made(project: Project) -> Key:
    return key_of(operations.create_key(project, [Scope.EVENTS_READ], label="web"))


def owner_of(project: Project, name: str) -> Client:
    user, _ = User.objects.get_or_create(username=name)
    Membership.objects.create(project=project, user=user, role=Role.OWNER)
    client = Client()
    client.force_login(user)
    return client


def key_of(token: str) -> Key:
    return Key.objects.get(digest=operations.digest(token))


def key_form(**fields: Any) -> dict[str, Any]:
    return {"label": "ci", "scopes": [Scope.EVENTS_READ, Scope.EVENTS_WRITE], **fields}


def told(answer: Any) -> str:
    """Return the token that an answer shows, which has to be one."""
    assert answer.status_code == 200, answer
    (token,) = set(TOKEN.findall(answer.content.decode()))
    return token


def test_who_owns_a_project_is_let_in_without_being_staff(owner: Client, made: Key) -> None:
    page = owner.get("/admin/").content.decode()

    assert "Keys" in page
    assert "Memberships" in page
    assert "Users" not in page
    assert 'href="/admin/"' in owner.get("/accounts/").content.decode()
    assert made.prefix in owner.get(KEYS).content.decode()


def test_who_loses_the_role_is_out_with_the_next_request(owner: Client) -> None:
    assert owner.get(KEYS).status_code == 200
    Membership.objects.update(role=Role.MEMBER)

    assert owner.get(KEYS).status_code == 302
    assert owner.get("/admin/login/").status_code == 403


def test_a_key_is_made_and_works(owner: Client, project: Project) -> None:
    expires_at = {"expires_at_0": "2099-01-01", "expires_at_1": "00:00:00"}
    token = told(owner.post(f"{KEYS}add/", key_form(project=project.pk, **expires_at)))

    key = key_of(token)
    assert (key.project, key.label, key.scopes) == (project, "ci", [Scope.EVENTS_READ, Scope.EVENTS_WRITE])
    assert (key.prefix, key.rate_limit) == (token[:11], None)
    assert key.expires_at is not None
    assert key.expires_at.year == 2099
    assert Key.objects.count() == 1
    assert Api(key=token).list().status_code == 200


@pytest.mark.parametrize("way", ["add", "rotate"])
def test_a_token_is_in_one_answer_and_nowhere_else(
    way: str, owner: Client, project: Project, made: Key, caplog: pytest.LogCaptureFixture
) -> None:
    address, sent = {
        "add": (f"{KEYS}add/", key_form(project=project.pk)),
        "rotate": (f"{KEYS}{made.pk}/rotate/", {"hours": 1}),
    }[way]
    with caplog.at_level(logging.DEBUG):
        answer = owner.post(address, sent)
    token = told(answer)

    assert "no-store" in answer.headers["Cache-Control"]
    kept = [str(answer.headers), str(answer.cookies), str(owner.cookies), caplog.text]
    kept += [str(session.get_decoded()) for session in Session.objects.all()]
    kept += [str(entry) for entry in LogEntry.objects.values()]
    later = [address, KEYS, f"{KEYS}{key_of(token).pk}/change/", f"{KEYS}{key_of(token).pk}/history/", "/admin/"]
    kept += [owner.get(page, follow=True).content.decode() for page in later]
    assert [text for text in kept if TOKEN.search(text) or token[11:] in text] == []
    assert LogEntry.objects.count() == 1


def test_a_form_with_a_fault_makes_no_key(owner: Client, project: Project) -> None:
    answer = owner.post(f"{KEYS}add/", {"project": project.pk, "label": "ci"})

    assert answer.status_code == 200
    assert not TOKEN.search(answer.content.decode())
    assert Key.objects.count() == 0


def test_a_key_is_changed_and_stays_what_it_is(owner: Client, made: Key, neighbour: Project) -> None:
    sent = key_form(project=neighbour.pk, revoked_at_0="2026-01-01", prefix="x", rate_limit="")
    assert owner.post(f"{KEYS}{made.pk}/change/", sent).status_code == 302

    changed = Key.objects.get()
    assert (changed.label, changed.scopes) == ("ci", [Scope.EVENTS_READ, Scope.EVENTS_WRITE])
    assert (changed.project, changed.prefix) == (made.project, made.prefix)
    assert bytes(changed.digest) == bytes(made.digest)
    assert changed.revoked_at is None


def test_a_key_keeps_the_reads_that_its_owner_does_not_see(owner: Client, made: Key, neighbour: Project) -> None:
    own = Project.objects.create(name="own")
    Membership.objects.create(project=own, user=User.objects.get(username="ada"), role=Role.OWNER)
    made.reads.set([neighbour])
    address = f"{KEYS}{made.pk}/change/"

    assert "neighbour" not in owner.get(address).content.decode()
    owner.post(address, key_form(reads=[own.pk]))
    assert {*made.reads.all()} == {neighbour, own}
    owner.post(address, key_form())
    assert {*made.reads.all()} == {neighbour}

    assert owner.post(address, key_form(reads=[neighbour.pk])).status_code == 200  # none of those it offers
    assert LogEntry.objects.count() == 2


def test_a_superuser_sees_and_sets_all_reads(admin_client: Client, made: Key, neighbour: Project) -> None:
    made.reads.set([neighbour])
    address = f"{KEYS}{made.pk}/change/"

    assert "neighbour" in admin_client.get(address).content.decode()
    admin_client.post(address, key_form())

    assert not made.reads.exists()


def test_a_limit_of_requests_is_set_by_superusers_only(
    owner: Client, admin_client: Client, made: Key, project: Project
) -> None:
    address, sent = f"{KEYS}{made.pk}/change/", key_form(rate_limit="7")

    owner.post(address, sent)
    by_owner = key_of(told(owner.post(f"{KEYS}add/", {**sent, "label": "second", "project": project.pk})))
    made.refresh_from_db()
    assert (made.rate_limit, by_owner.rate_limit) == (None, None)

    admin_client.post(address, sent)
    by_superuser = key_of(told(admin_client.post(f"{KEYS}add/", {**sent, "label": "third", "project": project.pk})))
    made.refresh_from_db()
    assert (made.rate_limit, by_superuser.rate_limit) == (7, 7)


def test_a_rotated_key_goes_on_for_as_long_as_was_said(owner: Client, made: Key) -> None:
    token = told(owner.post(f"{KEYS}{made.pk}/rotate/", {"hours": 2}))

    made.refresh_from_db()
    assert made.successor == key_of(token)
    assert made.expires_at is not None
    assert abs(made.expires_at - timezone.now() - timedelta(hours=2)) < timedelta(minutes=1)
    page = owner.get(f"{KEYS}{made.pk}/change/").content.decode()
    assert "rotate/" not in page
    assert "revoke/" in page


@pytest.mark.parametrize("verb", ["view", "change", "delete"])
def test_a_right_to_one_object_is_none_to_another(
    verb: str, owner: Client, project: Project, neighbour: Project, rf: RequestFactory
) -> None:
    """Even if it weren't for the lists, which have none of another's."""
    ada, grace = User.objects.get(username="ada"), User.objects.create_user("grace")
    both = [Membership.objects.create(project=each, user=grace) for each in (project, neighbour)]
    asked = rf.get("/")
    asked.user = ada
    may = getattr(admin.site._registry[Membership], f"has_{verb}_permission")

    assert [may(asked, each) for each in both] == [True, False]


@pytest.mark.parametrize("hours", ["", "-1", "x", "999999999999", "2161"])
def test_a_key_is_not_rotated_for_hours_that_are_none(hours: str, owner: Client, made: Key) -> None:
    answer = owner.post(f"{KEYS}{made.pk}/rotate/", {"hours": hours})

    assert answer.status_code == 200
    assert Key.objects.count() == 1


def test_a_key_that_was_rotated_says_so(owner: Client, made: Key) -> None:
    operations.rotate_key(made, timedelta(hours=1))

    answer = owner.post(f"{KEYS}{made.pk}/rotate/", {"hours": 1})

    assert "was rotated already" in answer.content.decode()
    assert Key.objects.count() == 2


def test_a_key_is_revoked_for_good(owner: Client, project: Project) -> None:
    token = operations.create_key(project, [Scope.EVENTS_READ])
    pages = [f"{KEYS}{key_of(token).pk}/{verb}/" for verb in ("revoke", "rotate")]
    assert "can&#x27;t be undone" in owner.get(pages[0]).content.decode().replace("'", "&#x27;")
    assert key_of(token).revoked_at is None

    assert owner.post(pages[0]).status_code == 302

    assert Api(key=token).list().status_code == 401
    assert [owner.post(page).status_code for page in pages] == [404, 404]
    assert LogEntry.objects.get().get_change_message() == "Revoked."


def test_a_person_is_named_exactly(owner: Client, project: Project) -> None:
    grace = User.objects.create_user("grace")
    page = owner.get(f"{MEMBERS}add/").content.decode()
    sent = {"project": project.pk, "role": Role.MEMBER}

    assert "grace" not in page
    assert '<input type="text" name="user"' in page
    for name in ("", "Grace", "grac", "grace\0", "\0", str(grace.pk), "nobody"):
        assert owner.post(f"{MEMBERS}add/", {**sent, "user": name}).status_code == 200, name
    assert not Membership.objects.filter(user=grace).exists()
    assert owner.post(f"{MEMBERS}add/", {**sent, "user": "grace"}).status_code == 302
    assert Membership.objects.get(user=grace).role == Role.MEMBER
    assert owner.post(f"{MEMBERS}add/", {**sent, "user": "grace"}).status_code == 200
    assert Membership.objects.filter(user=grace).count() == 1


def test_a_member_gets_another_role_and_stays_who_and_where_he_is(
    owner: Client, project: Project, neighbour: Project
) -> None:
    grace = User.objects.create_user("grace")
    membership = Membership.objects.create(project=project, user=grace)
    Membership.objects.create(project=neighbour, user=User.objects.get(username="ada"), role=Role.OWNER)

    sent = {"role": Role.OWNER, "user": "ada", "project": neighbour.pk}
    assert owner.post(f"{MEMBERS}{membership.pk}/change/", sent).status_code == 302

    membership.refresh_from_db()
    assert (membership.user, membership.project, membership.role) == (grace, project, Role.OWNER)


def test_a_project_is_renamed_by_superusers_only_and_deleted_by_nobody(
    owner: Client, admin_client: Client, project: Project
) -> None:
    address = f"{PROJECTS}{project.pk}/"

    owner.post(f"{address}change/", {"name": "renamed"})
    assert Project.objects.get().name == "shop"
    admin_client.post(f"{address}change/", {"name": "renamed"})
    assert Project.objects.get().name == "renamed"
    assert admin_client.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    admin_client.post(PROJECTS, {"action": "delete_selected", "_selected_action": [project.pk], "post": "yes"})
    assert Project.objects.exists()


def test_an_owner_says_how_long_events_are_kept_and_that_is_recorded(owner: Client, project: Project) -> None:
    address = f"{PROJECTS}{project.pk}/change/"

    assert owner.post(address, {"retention_days": "0"}).status_code == 200
    owner.post(address, {"retention_days": "30"})
    owner.post(address, {"retention_days": "30"})  # which changes nothing

    project.refresh_from_db()
    assert project.retention_days == 30
    (recorded,) = Api(key=operations.create_key(project, [Scope.EVENTS_READ])).list().json()["results"]
    assert recorded["type"] == "heliograph.retention_changed"
    assert recorded["data"] == {"changes": {"retention_days": [None, 30]}}


@pytest.mark.parametrize(
    "lookup", ["digest__startswith", "digest", "project__keys__digest", "reads__keys__digest", "successor__digest"]
)
def test_a_digest_is_not_looked_up(lookup: str, admin_client: Client, made: Key) -> None:
    assert admin_client.get(KEYS, {lookup: "x"}).status_code == 400


@pytest.mark.parametrize("page", [KEYS, MEMBERS, PROJECTS, "/admin/auth/user/"])
@pytest.mark.parametrize("asked", [{"q": "\0"}, {"project__id__exact": "\0"}, {"role__exact": "\0"}, {"p": "\0"}])
def test_nothing_that_is_asked_for_is_a_failure(page: str, asked: dict[str, str], admin_client: Client) -> None:
    client = Client(raise_request_exception=False)
    client.cookies = admin_client.cookies

    assert client.get(page, asked).status_code < 500


def test_a_list_of_filters_names_the_projects_that_are_within(owner: Client, made: Key, neighbour: Project) -> None:
    operations.create_key(neighbour, [Scope.EVENTS_READ])
    mine = Project.objects.create(name="mine")
    Membership.objects.create(project=mine, user=User.objects.get(username="ada"), role=Role.OWNER)
    operations.create_key(mine, [Scope.EVENTS_READ])

    page = owner.get(KEYS).content.decode()

    assert f"?project__id__exact={mine.pk}" in page
    assert "neighbour" not in page


def test_what_is_done_is_recorded_with_who_did_it(owner: Client, project: Project, made: Key) -> None:
    User.objects.create_user("grace")
    ada = User.objects.get(username="ada")
    token = told(owner.post(f"{KEYS}add/", key_form(project=project.pk)))
    owner.post(f"{KEYS}{made.pk}/change/", key_form(label="web", scopes=[Scope.ADMIN]))
    owner.post(f"{KEYS}{made.pk}/change/", key_form(label="web", scopes=[Scope.ADMIN]))  # which changes nothing
    successor = told(owner.post(f"{KEYS}{made.pk}/rotate/", {"hours": 1}))
    owner.post(f"{KEYS}{made.pk}/revoke/")
    owner.post(f"{MEMBERS}add/", {"project": project.pk, "user": "grace", "role": Role.VIEWER})
    member = Membership.objects.get(user__username="grace")
    owner.post(f"{MEMBERS}{member.pk}/change/", {"role": Role.MEMBER})
    owner.post(MEMBERS, {"action": "delete_selected", "_selected_action": [member.pk], "post": "yes"})

    recorded = [*reversed(Api(key=operations.create_key(project, [Scope.EVENTS_READ])).list().json()["results"])]
    assert [each["type"].removeprefix("heliograph.") for each in recorded] == [
        *("key_made", "key_changed", "key_rotated", "key_revoked"),
        *("member_added", "member_changed", "member_removed"),
    ]
    assert {each["actor"] for each in recorded} == {f"heliograph.User/{ada.pk}"}
    assert recorded[1]["data"]["changes"] == {"scopes": [["events:read"], ["admin"]]}
    assert recorded[5]["data"]["changes"] == {"role": ["viewer", "member"]}
    assert recorded[6]["data"]["username"] == "grace"
    assert not TOKEN.search(str(recorded))
    assert token[11:] not in str(recorded)
    assert successor[11:] not in str(recorded)


def test_a_project_is_told_which_keys_of_others_read_it(owner: Client, project: Project, neighbour: Project) -> None:
    Membership.objects.create(project=neighbour, user=User.objects.get(username="ada"), role=Role.OWNER)
    key = key_of(told(owner.post(f"{KEYS}add/", key_form(project=project.pk, reads=[neighbour.pk]))))
    owner.post(f"{KEYS}{key.pk}/change/", key_form())
    owner.post(f"{KEYS}{key.pk}/change/", key_form(reads=[neighbour.pk]))
    successor = key_of(told(owner.post(f"{KEYS}{key.pk}/rotate/", {"hours": 1})))

    found = Event.objects.filter(project_id=neighbour.pk).order_by("id")
    assert [(each.type.removeprefix("heliograph."), each.object_id) for each in found] == [
        ("reads_granted", str(key.pk)),
        ("reads_ended", str(key.pk)),
        *[("reads_granted", str(each.pk)) for each in (key, successor)],
    ]
    assert {each.data["project"] for each in found} == {project.name}
    assert Event.objects.get(type="heliograph.key_made").data["reads"] == [neighbour.name]


def test_what_a_superuser_does_to_people_is_told_in_their_projects(
    admin_client: Client, project: Project, neighbour: Project
) -> None:
    grace = User.objects.create_user("grace")
    Membership.objects.create(project=project, user=grace)
    password = "fourteen-olives-in-a-row"
    page = f"/admin/auth/user/{grace.pk}/"

    admin_client.post(f"{page}password/", {"password1": password, "password2": password, "usable_password": "true"})
    admin_client.post(f"{page}change/", {"username": "grace", "is_active": "on", "email": "g@example.com"})
    admin_client.post(f"{page}change/", {"username": "grace", "email": "g@example.com", "is_superuser": "on"})

    recorded = Event.objects.filter(type="heliograph.user_changed").order_by("id")
    assert [(each.project_id, each.data["fields"]) for each in recorded if each.project_id == project.pk] == [
        (project.pk, ["password"]),
        (project.pk, ["email"]),
        (project.pk, ["is_active", "is_superuser"]),
    ]
    assert [each.data["fields"] for each in recorded if each.project_id == neighbour.pk] == [
        ["is_active", "is_superuser"]
    ]
    assert {each.object_id for each in recorded} == {str(grace.pk)}
    assert password not in str([each.data for each in recorded])


def test_a_project_that_is_made_or_renamed_says_so(admin_client: Client, project: Project) -> None:
    admin_client.post("/admin/projects/project/add/", {"name": "new"})
    admin_client.post(f"/admin/projects/project/{project.pk}/change/", {"name": "renamed"})

    made, renamed = Event.objects.order_by("id")
    assert (made.type, made.data["name"]) == ("heliograph.project_made", "new")
    assert (renamed.project_id, renamed.type) == (project.pk, "heliograph.project_renamed")
    assert renamed.data["changes"] == {"name": ["shop", "renamed"]}


@pytest.mark.parametrize("end", ["revoke", "rotate", "expire"])
def test_a_key_that_ended_or_was_rotated_can_only_be_looked_at(end: str, owner: Client, made: Key) -> None:
    if end == "expire":
        Key.objects.filter(pk=made.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    else:
        owner.post(f"{KEYS}{made.pk}/{end}/", {"hours": 1})
    before = Key.objects.filter(pk=made.pk).values().get()

    answer = owner.post(f"{KEYS}{made.pk}/change/", key_form(scopes=[Scope.ADMIN], expires_at_0="", expires_at_1=""))

    assert answer.status_code == 403
    assert Key.objects.filter(pk=made.pk).values().get() == before
    assert owner.get(f"{KEYS}{made.pk}/change/").status_code == 200


def test_who_is_deleted_is_recorded_as_removed(admin_client: Client, project: Project) -> None:
    grace = User.objects.create_user("grace")
    Membership.objects.create(project=project, user=grace)

    admin_client.post(f"/admin/auth/user/{grace.pk}/delete/", {"post": "yes"})

    (recorded,) = Api(key=operations.create_key(project, [Scope.EVENTS_READ])).list().json()["results"]
    assert recorded["type"] == "heliograph.member_removed"
    assert not User.objects.filter(username="grace").exists()


def test_a_key_that_reads_more_than_its_owner_is_not_rotated_by_him(
    owner: Client, made: Key, neighbour: Project
) -> None:
    made.reads.set([neighbour])

    answer = owner.post(f"{KEYS}{made.pk}/rotate/", {"hours": 1})

    assert not TOKEN.search(answer.content.decode())
    assert Key.objects.count() == 1


def test_a_revocation_is_not_undone_by_who_saves_what_he_read_before(
    owner: Client, made: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = KeyAdmin.get_object

    def and_then_another_revokes(self: KeyAdmin, *arguments: Any) -> Any:
        found = read(self, *arguments)
        operations.revoke_key(key_of_id(made.pk))
        return found

    monkeypatch.setattr(KeyAdmin, "get_object", and_then_another_revokes)
    owner.post(f"{KEYS}{made.pk}/change/", key_form())

    assert key_of_id(made.pk).label == "ci"
    assert key_of_id(made.pk).revoked_at is not None


def key_of_id(pk: int) -> Key:
    return Key.objects.get(pk=pk)


def filled(project: Project, number: int) -> None:
    """Put as many keys and members into a project, and their owner into as many others."""
    for at in range(number):
        other = Project.objects.create(name=f"{project.name}-{at}")
        Membership.objects.create(project=other, user=User.objects.get(username="ada"), role=Role.OWNER)
        person = User.objects.create_user(f"person-{project.pk}-{at}")
        Membership.objects.create(project=project, user=person)
        key = key_of(operations.create_key(project, [Scope.EVENTS_READ], label=f"key {at}"))
        key.reads.set([other])


def test_a_page_costs_as_many_queries_with_many_keys_members_and_projects(
    owner: Client, admin_client: Client, project: Project, made: Key
) -> None:
    filled(project, 2)
    member = Membership.objects.latest("pk")
    key = Key.objects.latest("pk")
    pages = [
        "/admin/",
        KEYS,
        MEMBERS,
        PROJECTS,
        f"{KEYS}add/",
        f"{MEMBERS}add/",
        f"{KEYS}?q=key",
        f"{MEMBERS}?q=person",
    ]
    pages += [f"{KEYS}{key.pk}/{verb}/" for verb in ("change", "rotate", "revoke", "history")]
    pages += [f"{MEMBERS}{member.pk}/{verb}/" for verb in ("change", "delete")]
    pages += [f"{PROJECTS}{project.pk}/change/", "/admin/auth/user/"]

    def counts() -> dict[tuple[str, str], int]:
        return {
            (who, page): queries_of(client, page)
            for who, client in (("owner", owner), ("superuser", admin_client))
            for page in pages
        }

    before = counts()
    filled(Project.objects.create(name="more"), 30)
    for at in range(30):
        person = User.objects.create_user(f"person-{at}")
        Membership.objects.create(project=project, user=person)
        operations.create_key(project, [Scope.EVENTS_READ])

    assert counts() == before
    assert max(before.values()) < 25


def queries_of(client: Client, page: str) -> int:
    client.get(page)  # what is read once, such as content types
    with CaptureQueriesContext(connection) as queries:
        assert client.get(page).status_code in {200, 302, 403}
    return len(queries)


@pytest.mark.parametrize(
    ("page", "posted"),
    [
        ("key/add/?project=x", None),
        ("key/add/?reads=1,x", None),
        ("membership/add/?project=x", None),
        ("key/add/", {"project": "x"}),
        ("key/add/", {"reads": ["1", "x"]}),
        ("membership/add/", {"project": "\u0661"}),
        ("key/{made}/change/", {"_saveasnew": "1"}),
    ],
)
def test_what_no_form_sends_is_refused(page: str, posted: dict[str, Any] | None, owner: Client, made: Key) -> None:
    address = f"/admin/projects/{page}".replace("{made}", str(made.pk))

    answer = owner.get(address) if posted is None else owner.post(address, key_form(**posted))

    assert answer.status_code == 400
    assert Key.objects.count() == 1
    assert owner.get("/admin/projects/key/add/?project=").status_code == 200


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"label": "web"}, "has this label"),
        ({"expires_at_0": "2001-01-01", "expires_at_1": "00:00:00"}, "That has passed"),
    ],
)
def test_the_admin_has_the_rules_of_the_api_for_keys(
    fields: dict[str, str], complaint: str, owner: Client, made: Key, project: Project
) -> None:
    answer = owner.post(f"{KEYS}add/", key_form(project=project.pk, **fields))

    assert complaint in answer.content.decode()
    assert Key.objects.count() == 1


def test_a_project_has_no_more_keys_by_the_admin(
    owner: Client, made: Key, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEYS", 1)

    answer = owner.post(f"{KEYS}add/", key_form(project=project.pk))

    assert "may have 1 usable keys" in answer.content.decode()
    assert owner.post(f"{KEYS}{made.pk}/change/", key_form(label="web")).status_code == 302


def test_a_project_keeps_its_events_no_longer_than_the_service(owner: Client, project: Project) -> None:
    answer = owner.post(f"/admin/projects/project/{project.pk}/change/", {"retention_days": 100_000})

    assert "that is the most" in answer.content.decode()
    project.refresh_from_db()
    assert project.retention_days is None
