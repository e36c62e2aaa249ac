"""Which names and texts are secret, what only looks so, and what a mask tells."""

import time
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum

import pytest
from django.utils.functional import SimpleLazyObject
from hypothesis import given
from hypothesis import strategies as st

from emitter.names import is_secret
from emitter.privacy import MASK, mask, scrub
from tests.emitter.corpus import (
    BODY,
    INNOCENT_NAMES,
    INNOCENT_TEXTS,
    LINES,
    SECRET_NAMES,
    SECRET_VALUES,
    SECRETS_IN_PLACE,
    encoded,
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", INNOCENT_NAMES)
def test_a_look_alike_is_not(name: str) -> None:
    assert not is_secret(name)


def test_words_count_and_not_exact_names_unlike_with_sentrys_classic_scrubber() -> None:
    """Its deny list has ``password``, ``token`` and ``api_key``, which these aren't equal to."""
    assert all(map(is_secret, ["user_password", "newPassword1", "slack_bot_token", "STRIPE_API_KEY", "X-Api-Key"]))


@pytest.mark.parametrize("name", ["iban", "customer_iban", "IBAN2", "bankIban", "home_address", "homeAddress"])
def test_a_project_adds_names_of_its_own(name: str) -> None:
    assert not is_secret(name)
    assert is_secret(name, frozenset(["iban", "HOME_ADDRESS"]))


def test_a_project_adds_whole_words() -> None:
    assert not is_secret("caliban", frozenset(["iban"]))
    assert not is_secret("address", frozenset(["home_address"]))


@pytest.mark.parametrize("name", ["wall_pin", "wallPin", "WALL-PIN"])
def test_a_project_frees_a_name(name: str) -> None:
    assert is_secret(name)
    assert not is_secret(name, frozenset(), frozenset(["wall_pin"]))


@pytest.mark.parametrize("name", ["pin", "wall_pin_token", "user_wall_pin"])
def test_a_project_frees_only_that_name(name: str) -> None:
    assert is_secret(name, frozenset(), frozenset(["wall_pin"]))


@pytest.mark.parametrize("name", ["password", "user_password", "passwd", "passphrase", "newPassword1"])
def test_a_password_is_never_freed(name: str) -> None:
    assert is_secret(name, frozenset(), frozenset([name]))


@pytest.mark.parametrize(
    ("of", "name"),
    [("Token", "key"), ("APIKey", "hashed_key"), ("TOTPDevice", "key"), ("Session", "session_data"),
     ("EmailConfirmation", "key"), ("PasswordReset", "code"), ("Secret", "value"), ("authtoken.Token", "key")],
)  # fmt: skip
def test_an_object_that_is_a_secret_has_it_in_a_field_of_a_harmless_name(of: str, name: str) -> None:
    assert is_secret(name, of=of)


@pytest.mark.parametrize(
    ("of", "name"),
    [("Token", "created"), ("Token", "user"), ("Author", "key"), ("Setting", "value"), ("Country", "code"),
     ("TokenType", "key"), ("Tokenizer", "data"), ("", "key")],
)  # fmt: skip
def test_its_other_fields_and_other_objects_are_not_secret(of: str, name: str) -> None:
    assert not is_secret(name, of=of)


@pytest.mark.parametrize("kind", SECRET_VALUES)
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("before ", "\nafter"), ('{"a": "', '"}'), ("(", ")"), ("a=", ";")]
)
def test_a_secret_is_known_by_its_shape_and_the_rest_is_kept(kind: str, before: str, after: str) -> None:
    if kind == "PEM cut short":  # whatever follows may belong to it
        after = ""

    assert scrub(before + SECRET_VALUES[kind] + after) == before + MASK + after


@pytest.mark.parametrize("kind", SECRET_VALUES)
def test_two_secrets_of_a_kind_are_both_found(kind: str) -> None:
    value = SECRET_VALUES[kind]

    assert value not in scrub(f"It was {value} and {value}.")


@pytest.mark.parametrize(("text", "secret", "without"), SECRETS_IN_PLACE)
def test_a_secret_is_known_by_its_place_and_the_rest_is_kept(text: str, secret: str, without: str) -> None:
    assert secret in text

    assert scrub(text) == without
    assert secret not in without


def test_a_token_is_found_with_certificates_in_its_header() -> None:
    token = ".".join([encoded('{"x5c":["' + LINES * 10 + '"]}').rstrip("="), BODY[:30], BODY[:43]])

    assert scrub(f"It was {token}.") == "It was [masked]."


@pytest.mark.parametrize("text", INNOCENT_TEXTS)
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    assert scrub(text) == text


def test_a_password_hash_never_leaves_unlike_with_easy_audit_and_auditlog() -> None:
    """easy-audit#219 and auditlog#300: the hash of a changed password stood in the log, whole or by half."""
    old, new = SECRET_VALUES["Django's hash"], SECRET_VALUES["Django's Argon2"]

    assert is_secret("password")
    assert scrub(f"password changed from {old} to {new}") == "password changed from [masked] to [masked]"


def test_a_text_is_scrubbed_by_the_projects_own_names() -> None:
    def names(name: str) -> bool:
        return is_secret(name, frozenset(["iban"]))

    assert scrub("iban=DE89", names=names) == "iban=[masked]"
    assert scrub("iban=DE89") == "iban=DE89"


@given(st.text())
def test_any_name_can_be_judged(name: str) -> None:
    assert is_secret(f"user_{name}_password")
    assert is_secret(name) in {True, False}


SIGNS = ["password", "token", "%3D", "%22", "&quot;", "passphrase", "--", "</", "value", "b'", "\\u00a0"]
TANGLED = st.lists(st.sampled_from([*SIGNS, *"=:\"'\\/@$ eyJ.-_10[](){}<>maskd;,&?%3D\n"])).map("".join)


@given(st.text() | TANGLED)
def test_any_text_can_be_scrubbed_and_twice_is_once(text: str) -> None:
    once = scrub(text)

    assert scrub(once) == once


@given(st.text(st.characters(blacklist_categories=["Cs"])), st.sampled_from(sorted(SECRET_VALUES)), st.text())
def test_a_secret_survives_in_no_text(before: str, kind: str, after: str) -> None:
    value = SECRET_VALUES[kind]

    assert value not in scrub(f"{before} {value} {after}")


@given(TANGLED, st.sampled_from(sorted(SECRET_VALUES)))
def test_a_secret_survives_in_no_tangled_text(around: str, kind: str) -> None:
    value = SECRET_VALUES[kind]

    assert value not in scrub(f"{around} {value} {around}")


@given(st.text(st.characters(whitelist_categories=["Ll", "Lu", "Zs"]), max_size=15))
def test_a_text_without_digits_and_signs_is_given_back(text: str) -> None:
    assert scrub(text) is text


SPITEFUL = [
    "a", "1", " ", "=", ":", "$", "\\", "[", '"', "'", "-", "_", "é", "1 ", "4111 ", "4111-", "a=", "a:", "ab-", "a b ",
    "eyJ", "eyJ-", "eyJaaaaaaaa", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ", "sk-", "key-", "SG.aaaaaaaaaaaaaaaa",
    "hooks.slack.com/",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "://", "://a:", "://a:b", "://a:b@", "://aaaaaaaaaaaaaaaaaaaaaaaa1",
    "md5$", "$2b$", "Bearer ", "Basic ", "password=", 'password="', "password='\\", 'password=\\"', "password=[\"",
    "pw==",
    "password=;", "token%3D", "Cookie:", "Authorization: ", "api key: ", "?sig=", "aaaaaa-", "c12345-0123456789abcdef",
    "aaaaaaaaaaaaaaaaaaaa:", "a:123456:", "4111 1111 1111 1112 ", "://://@a", "a@://b:", "0123456789:AA",
    "password=[", "password=(", "password=('", 'password={"', "password=\\'", "password=<b", "password=<b>", "token=a(",
    'password="""', "password:\n", "password:\n- a\n", "tokens:\n- ", "passphrase:", "passphrase=", "Cookie: =\"",
    "--password ", "--password", "--password '", "-u a:", "-u a", "<password>", "<password", "<password a", "</",
    "<a>b</",
    "name=\"password\" ", "name=\"password\" value=", "&quot;", "&quot;password&quot;:", "&quot;password&quot;:&quot;",
    "password%3D", "%3A", "%25", "%22password%22%3A%22", "a%40", "%2525", "//a@b:", "\\/\\/a:", "//a:b", "//a@",
    "eyJa.", "-eyJ", "AAAAaaaaaaa", "pi_aaaaaaaaaaaaaa", "_secret_", "re_", "EAA", "a.aaaaaa.", "access-sandbox-",
    "/MQ/dizzzz-", "4111_", "4111/", "card4111111111111111", "Basic a", "token: a b", "password: &", "secret=a)",
]  # fmt: skip


@pytest.mark.parametrize("unit", SPITEFUL)
def test_no_text_takes_more_than_linear_time(unit: str) -> None:
    short, long = unit * (25_000 // len(unit)), unit * (100_000 // len(unit))

    assert seconds_for(long) < 9 * seconds_for(short) + 0.002  # four times; sixteen times if it were quadratic


def seconds_for(text: str) -> float:
    def once() -> float:
        started = time.thread_time()
        scrub(text)
        return time.thread_time() - started

    return min(once() for _ in range(3))


class Colour(Enum):
    RED = "red"


class Opaque:
    def __str__(self) -> str:
        raise AssertionError("never called")

    __repr__ = __str__


VALUES = [
    "", "a", "1.0", b"b", 1, 1.5, True, None, Decimal("1.1"), uuid.UUID(int=1), date(2026, 1, 2),
    datetime(2026, 1, 2, tzinfo=UTC),
    [1, 2], [2, 1], {"a": 1}, {"a": [1]}, {3}, Opaque(), object(), "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_without_a_secret_all_masks_are_equal(value: object) -> None:
    assert mask(value) == "[masked]"


def test_with_a_secret_masks_are_equal_where_values_are() -> None:
    masks = [mask(value, "a secret") for value in VALUES]

    assert masks == [mask(value, b"a secret") for value in VALUES]
    assert len(set(masks)) == len(VALUES)
    assert all(len(each) == len("[masked:0123456789ab]") for each in masks)


def test_another_secret_makes_other_masks() -> None:
    assert mask("hunter2", "one") != mask("hunter2", "another")


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({1, 2}, frozenset([2, 1])), ([1], (1,)), (1, "1"), (Colour.RED, "red")],
)
def test_a_value_has_the_mask_of_its_equal(one: object, other: object) -> None:
    assert mask(one, "a secret") == mask(other, "a secret")


def test_a_mask_evaluates_nothing_and_calls_no_code_of_the_project() -> None:
    assert mask(SimpleLazyObject(lambda: pytest.fail("evaluated")), "a secret").startswith("[masked:")
    assert mask(Opaque(), "a secret") == mask(Opaque(), "a secret")


def test_a_circle_can_be_masked() -> None:
    circle: list[object] = []
    circle.append(circle)

    assert mask(circle, "a secret") == mask(circle, "a secret")


def test_a_secret_in_a_text_tells_that_it_changed() -> None:
    one, same, other = (scrub(f"token={value}", "a secret") for value in ("hunter2", "hunter2", "hunter3"))

    assert one == same != other
    assert one == f"token={mask('hunter2', 'a secret')}"
    assert scrub(one, "a secret") == one
