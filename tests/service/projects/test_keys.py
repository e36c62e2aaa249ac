"""Who may call the API: keys, their scopes, and what a key leaves behind."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from service.events.models import Event
from service.projects import operations
from service.projects.models import Key, Project, Scope
from tests.service.cast import EVENTS, Api, event, problem, uuid7

CHALLENGE = 'Bearer realm="heliograph"'
CALLS = [("POST", EVENTS), ("GET", EVENTS), ("GET", f"{EVENTS}{uuid7()}/")]
each_call = pytest.mark.parametrize(("method", "address"), CALLS, ids=["send", "list", "read"])


def unauthorized(answer: Any, code: str) -> str:
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    return str(problem(answer, 401, code)["detail"])


def call(api: Api, method: str, address: str, **headers: str) -> Any:
    body = b"[]" if method == "POST" else b""
    return api.call(method, address, body, "application/json", **headers)


@each_call
def test_a_call_without_a_key_is_refused(method: str, address: str, stranger: Api, db: None) -> None:
    unauthorized(call(stranger, method, address), "key_missing")


@each_call
def test_a_call_with_an_unknown_key_is_refused(method: str, address: str, key: str) -> None:
    unauthorized(call(Api(key=key[:-1]), method, address), "key_unknown")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "key_missing"),
        (" ", "key_missing"),
        ("Bearer", "key_malformed"),
        ("Basic aGc6aGc=", "key_malformed"),
        ("{key}", "key_malformed"),
        ("Bearer {key} {key}", "key_malformed"),
        ("Bearer {key}x", "key_unknown"),
        ("Bearer {upper}", "key_unknown"),
        ("Bearer {prefix}", "key_unknown"),
        ("Bearer größe", "key_unknown"),
        ("Bearer \0", "key_unknown"),
        ("Bearer " + "x" * 10_000, "key_unknown"),
    ],
)
def test_a_header_that_holds_no_key_is_refused(header: str, code: str, key: str, stranger: Api) -> None:
    text = header.format(key=key, upper=key.upper(), prefix=key[:11])

    unauthorized(stranger.get(EVENTS, Authorization=text), code)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "  Bearer "])
def test_the_scheme_is_read_in_any_case(scheme: str, key: str, stranger: Api) -> None:
    assert stranger.get(EVENTS, Authorization=f"{scheme} {key}").status_code == 200


@each_call
def test_a_revoked_key_is_refused(method: str, address: str, api: Api, key: str) -> None:
    Key.objects.update(revoked_at=timezone.now())

    detail = unauthorized(call(api, method, address), "key_revoked")

    assert key[:11] in detail
    assert key not in detail


@each_call
def test_an_expired_key_is_refused(method: str, address: str, api: Api) -> None:
    expired = timezone.now()
    Key.objects.update(expires_at=expired)

    detail = unauthorized(call(api, method, address), "key_expired")

    assert f"{expired:%Y-%m-%dT%H:%M:%SZ}" in detail


def test_a_key_works_until_it_expires(api: Api) -> None:
    Key.objects.update(
        expires_at=timezone.now() + timedelta(minutes=1), revoked_at=timezone.now() + timedelta(minutes=1)
    )

    assert api.list().status_code == 200


def test_a_refused_sender_stores_nothing(api: Api, reader: Api, stranger: Api) -> None:
    Key.objects.filter(scopes__contains=[Scope.EVENTS_WRITE]).update(revoked_at=timezone.now())

    statuses = [each.send(event()).status_code for each in (api, reader, stranger)]

    assert statuses == [401, 403, 401]
    assert Event.objects.count() == 0


def test_a_write_key_can_write_and_not_read(writer: Api) -> None:
    sent = event()

    assert writer.send(sent).status_code == 201
    for refused in (writer.list(), writer.read(sent["id"]), writer.call("HEAD", EVENTS)):
        assert refused.status_code == 403
    assert "events:read" in problem(writer.list(), 403, "scope_missing")["detail"]


def test_a_read_key_can_read_and_not_write(api: Api, reader: Api) -> None:
    sent = event()
    api.send(sent)

    assert reader.listed() == [sent["id"]]
    assert reader.read(sent["id"]).status_code == 200
    assert reader.call("HEAD", EVENTS).status_code == 200
    assert "events:write" in problem(reader.send(event()), 403, "scope_missing")["detail"]


@pytest.mark.parametrize("scopes", [[], [Scope.ADMIN], [Scope.SUBSCRIPTIONS, Scope.ADMIN]])
def test_no_other_scope_opens_the_events(scopes: list[str], project: Project) -> None:
    api = Api(key=operations.create_key(project, scopes))

    statuses = [call(api, method, address).status_code for method, address in CALLS]

    assert statuses == [403, 403, 403]


def test_a_session_that_names_no_project_opens_no_api(stranger: Api, admin_user: Any) -> None:
    stranger.client.force_login(admin_user)

    unauthorized(stranger.list(), "key_missing")


def test_a_key_of_a_deleted_project_is_unknown(api: Api, project: Project) -> None:
    project.delete()

    unauthorized(api.list(), "key_unknown")


def test_the_first_use_of_a_key_is_noted(api: Api) -> None:
    begun = timezone.now()

    api.list()

    assert begun <= Key.objects.get().last_used_at <= timezone.now()


@pytest.mark.parametrize(("seconds", "noted"), [(50, False), (61, True)])
def test_the_last_use_of_a_key_is_noted_once_a_minute(seconds: int, noted: bool, api: Api) -> None:
    earlier = timezone.now() - timedelta(seconds=seconds)
    Key.objects.update(last_used_at=earlier)

    api.list()

    assert (Key.objects.get().last_used_at > earlier) is noted


def test_a_use_within_the_minute_writes_nothing(api: Api, django_assert_num_queries: Any) -> None:
    api.list()

    with django_assert_num_queries(1):
        api.list()


def test_a_refused_key_is_not_noted_as_used(api: Api) -> None:
    Key.objects.update(revoked_at=timezone.now())

    api.list()

    assert Key.objects.get().last_used_at is None


def test_a_token_stands_nowhere_in_the_database(api: Api, key: str) -> None:
    api.send(event())
    api.list()
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        secrets = [key, key[11:], key[11:].encode().hex(), key[3:].lower()]

        found = [(table, secret) for table in tables for secret in secrets if holds(cursor, table, secret)]

    assert len(tables) > 10
    assert found == []


def holds(cursor: Any, table: str, secret: str) -> bool:
    cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {table} AS whole WHERE strpos(whole::text, %s) > 0)", [secret])
    return bool(cursor.fetchone()[0])


def test_a_key_is_kept_as_its_digest_and_its_beginning(key: str) -> None:
    kept = Key.objects.get()

    assert kept.prefix == key[:11]
    assert bytes(kept.digest) == operations.digest(key)
    assert len(key) == 43
