"""People log in and out on pages of the service, staff or not."""

import re
from pathlib import Path

import pytest
import urllib3
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from service.projects.models import Membership, Project, Role
from tests import live
from tests.service.cast import Api

LOGIN = "/accounts/login/"
ACCOUNT = "/accounts/"


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_user("ada", password="a long password")


def log_in(client: Client, password: str = "a long password", **fields: str) -> str:
    """Send the form as a browser does; return the page after it."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(LOGIN).content.decode())
    assert token is not None
    sent = {"username": "ada", "password": password, "csrfmiddlewaretoken": token[1], **fields}
    answer = client.post(LOGIN, sent, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_who_is_no_staff_logs_in_and_asks_the_api(person: User, project: Project) -> None:
    Membership.objects.create(project=project, user=person, role=Role.VIEWER)
    client = Client(enforce_csrf_checks=True)

    page = log_in(client)

    assert "shop" in page
    assert "Viewer" in page
    assert "/admin/" not in page
    assert Api(key=None, project="shop", client=client).list().status_code == 200


def test_a_page_tells_a_person_of_his_own_projects_only(person: User, project: Project, neighbour: Project) -> None:
    Membership.objects.create(project=project, user=person, role=Role.OWNER)
    Membership.objects.create(project=neighbour, user=User.objects.create_user("grace"), role=Role.OWNER)

    page = log_in(Client())

    assert "shop" in page
    assert "neighbour" not in page


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(person: User) -> None:
    known = log_in(Client(), password="wrong")
    unknown = log_in(Client(), username="nobody", password="wrong")

    def plain(page: str) -> str:
        return re.sub(r'value="\w*"', "", page)

    assert 'role="alert"' in known
    assert plain(known) == plain(unknown)
    assert Session.objects.count() == 0


def test_logging_out_ends_the_session_and_takes_a_post(person: User, project: Project) -> None:
    Membership.objects.create(project=project, user=person, role=Role.VIEWER)
    client = Client()
    log_in(client)

    assert client.get("/accounts/logout/").status_code == 405
    client.post("/accounts/logout/")

    assert Session.objects.count() == 0
    assert Api(key=None, project="shop", client=client).list().status_code == 401


def test_who_is_not_logged_in_is_sent_to_the_form_and_back(person: User) -> None:
    client = Client()
    asked = client.get(ACCOUNT)

    assert asked.headers["Location"] == f"{LOGIN}?next={ACCOUNT}"
    assert "ada" in log_in(client, next=ACCOUNT)


def test_a_person_changes_the_password_and_other_sessions_end(person: User) -> None:
    here, elsewhere = Client(), Client()
    log_in(here)
    log_in(elsewhere)
    new = {"new_password1": "another long one", "new_password2": "another long one"}

    assert here.post("/accounts/password/", {"old_password": "wrong", **new}).status_code == 200
    assert elsewhere.get(ACCOUNT).status_code == 200
    assert here.post("/accounts/password/", {"old_password": "a long password", **new}).status_code == 302

    assert here.get(ACCOUNT).status_code == 200
    assert elsewhere.get(ACCOUNT).status_code == 302
    assert "ada" in log_in(Client(), "another long one")


def test_nobody_is_sent_to_another_site(person: User) -> None:
    answer = Client().post(
        LOGIN, {"username": "ada", "password": "a long password", "next": "https://elsewhere.example/"}
    )

    assert answer.headers["Location"] == ACCOUNT


def test_the_form_is_labelled(db: None) -> None:
    page = Client().get(LOGIN).content.decode()

    fields = re.findall(r'<input type="(?:text|password)"[^>]* id="(\w+)"', page)
    assert len(fields) == 2
    assert all(f'<label for="{field}">' in page for field in fields)
    assert '<html lang="en">' in page


@pytest.mark.parametrize(
    ("origins", "is_secure"), [("", False), ("http://a.example", False), ("https://a.example,https://b.example", True)]
)
def test_cookies_are_for_tls_only_where_people_come_over_tls_only(
    origins: str, is_secure: bool, tmp_path: Path, django_db_setup: None
) -> None:
    with live.service(tmp_path / "log", CSRF_TRUSTED_ORIGINS=origins) as url:
        answer = urllib3.request("GET", f"{url}{LOGIN}")

    assert answer.headers["Set-Cookie"].startswith("csrftoken=")
    assert ("; Secure" in answer.headers["Set-Cookie"]) == is_secure
