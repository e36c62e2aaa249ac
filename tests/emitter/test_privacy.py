"""Which names are secret."""

import pytest

from emitter.privacy import is_secret


@pytest.mark.parametrize(
    "name",
    ["password", "Password2", "user_password", "new-password", "apiKey", "API_KEY", "api_key", "accessToken",
     "APIToken",
     "stripe_secret_key", "private_key", "csrfmiddlewaretoken", "sessionid", "Authorization", "pin", "session_key"],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["author", "monkey", "inside", "tokenizer", "key", "keyboard", "primary_key", "pinned", "secretary", "passenger",
     "authored_by", "cookiecutter", "", "compass_word", "spin"],
)  # fmt: skip
def test_a_look_alike_is_not(name: str) -> None:
    assert not is_secret(name)
