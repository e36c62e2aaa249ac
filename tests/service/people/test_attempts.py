"""Logins that fail are counted, for an address and for it with a name, and nobody is locked out by another."""

import logging
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory

from service.people import attempts

LOGIN = "/accounts/login/"
RIGHT = "a long password"
FAILED, IN, REFUSED = 200, 302, 429


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_user("ada", password=RIGHT)


def log_in(username: str = "ada", password: str = "wrong", address: str = "192.0.2.1", **headers: str) -> int:
    return answer(username, password, address, **headers).status_code


def answer(username: str, password: str, address: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(REMOTE_ADDR=address).post(LOGIN, {"username": username, "password": password}, headers=named)


def time_goes_by() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE login_attempt SET ends_at = ends_at - interval '10 minutes'")


def rows() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM login_attempt")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("username", ["ada", "nobody"])
def test_after_ten_failures_the_right_password_is_refused_too(username: str, person: User) -> None:
    assert [log_in(username) for _ in range(attempts.OF_ONE_NAME)] == [FAILED] * attempts.OF_ONE_NAME

    refused = answer(username, RIGHT, "192.0.2.1")

    assert refused.status_code == REFUSED
    assert 0 < int(refused.headers["Retry-After"]) <= attempts.WINDOW + 1
    assert 'role="alert"' in refused.content.decode()
    assert "sessionid" not in refused.cookies


def test_the_page_before_the_last_lets_the_right_password_in(person: User) -> None:
    assert [log_in() for _ in range(attempts.OF_ONE_NAME - 1)] == [FAILED] * (attempts.OF_ONE_NAME - 1)

    assert log_in(password=RIGHT) == IN


def test_nobody_is_locked_out_by_another(person: User) -> None:
    """Neither from another address, nor one with another name from the same."""
    User.objects.create_user("grace", password=RIGHT)
    for _ in range(attempts.OF_ALL_NAMES + 5):
        log_in()

    assert log_in(password=RIGHT, address="192.0.2.2") == IN
    assert log_in("grace", RIGHT) == IN


def test_an_address_that_tries_many_names_is_refused(person: User) -> None:
    assert {log_in(f"name-{at}") for at in range(attempts.OF_ALL_NAMES)} == {FAILED}

    assert log_in(password=RIGHT) == REFUSED
    assert log_in(password=RIGHT, address="192.0.2.2") == IN


def test_who_logs_in_uses_nothing_up(person: User) -> None:
    assert {log_in(password=RIGHT) for _ in range(attempts.OF_ALL_NAMES + 5)} == {IN}


def test_a_login_forgets_the_failures_before_it(person: User) -> None:
    for _ in range(3):
        assert [log_in() for _ in range(attempts.OF_ONE_NAME - 1)] == [FAILED] * (attempts.OF_ONE_NAME - 1)
        assert log_in(password=RIGHT) == IN


def test_after_the_window_one_is_let_in_and_the_rows_are_gone(person: User) -> None:
    for _ in range(attempts.OF_ONE_NAME + 1):
        log_in()
    log_in(address="192.0.2.2")
    time_goes_by()

    assert log_in(password=RIGHT) == IN
    assert rows() == 1  # the address's, with nothing in it


def test_going_on_does_not_make_the_window_longer(person: User) -> None:
    for _ in range(attempts.OF_ONE_NAME + 1):
        log_in()
    first = int(answer("ada", "wrong", "192.0.2.1").headers["Retry-After"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE login_attempt SET ends_at = ends_at - interval '5 minutes'")

    assert int(answer("ada", "wrong", "192.0.2.1").headers["Retry-After"]) <= first - 299


def test_a_form_that_is_not_filled_in_is_no_attempt(person: User) -> None:
    assert {log_in(password="") for _ in range(attempts.OF_ONE_NAME + 1)} == {FAILED}
    assert {log_in(username="\0") for _ in range(attempts.OF_ONE_NAME + 1)} == {FAILED}

    assert rows() == 0


def test_it_is_logged_once_with_the_address(person: User, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "service.people.attempts"):
        for _ in range(attempts.OF_ONE_NAME + 5):
            log_in()
            log_in("my-password-in-the-wrong-field")

    lines = [record.getMessage() for record in caplog.records if record.name == "service.people.attempts"]
    assert len(lines) == 2
    assert all("192.0.2.1" in line for line in lines)
    assert "'ada'" in lines[0]
    assert "my-password" not in caplog.text


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.1", "192.0.2.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (2, "203.0.113.9, 198.51.100.1 ,10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "x" * 500, "x" * 64),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_an_address_is_what_trusted_proxies_tell(proxies: int, forwarded: str, address: str, settings: Any) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().post(LOGIN, REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": forwarded})

    assert attempts.address_of(request) == address


def test_of_many_attempts_at_once_none_goes_uncounted(transactional_db: None) -> None:
    request = RequestFactory().post(LOGIN, REMOTE_ADDR="192.0.2.1")
    begin = threading.Barrier(8)
    told: list[bool] = []

    def guess() -> None:
        begin.wait(10)
        for _ in range(4):
            try:
                attempts.begin(request, "ada")
                told.append(True)
            except attempts.TooManyAttempts:
                told.append(False)
        connection.close()

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert (len(told), sum(told)) == (32, attempts.OF_ONE_NAME)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM login_attempt")


def test_the_old_password_is_not_guessed_with_a_session_either(person: User) -> None:
    client = Client(REMOTE_ADDR="192.0.2.1")
    client.force_login(person)
    new = {"new_password1": "another long one", "new_password2": "another long one"}

    def change(old: str) -> int:
        return client.post("/accounts/password/", {"old_password": old, **new}).status_code

    assert [change("wrong") for _ in range(attempts.OF_ONE_NAME)] == [FAILED] * attempts.OF_ONE_NAME
    assert change(RIGHT) == REFUSED
    assert log_in(password=RIGHT) == REFUSED
    time_goes_by()
    assert change(RIGHT) == IN


def test_the_admin_has_no_page_of_its_own_to_guess_at(admin_client: Client) -> None:
    assert admin_client.post("/admin/password_change/", {}).headers["Location"] == "/accounts/password/"


@pytest.mark.parametrize(
    ("one", "other"),
    [("192.0.2.7:50001", "192.0.2.7:50002"), ("[2001:db8::1]:443", "[2001:db8::1]"), ("::1", "[::1]:9")],
)
def test_an_address_is_one_whatever_port_a_proxy_tells(one: str, other: str, rf: RequestFactory, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1

    told = {attempts.address_of(rf.get("/", headers={"X-Forwarded-For": each})) for each in (one, other)}

    assert len(told) == 1
    assert "[" not in told.pop()
