"""What ``manage.py check`` says of the configuration."""

from io import StringIO
from typing import Any

import pytest
from django.core.checks import INFO
from django.core.management import call_command
from django.test import override_settings

from emitter import receivers, selection
from emitter.checks import check_configuration
from emitter.conf import all_settings, conf
from emitter.middleware import HeliographMiddleware

OURS = "emitter.middleware.HeliographMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


class OurMiddleware(HeliographMiddleware):
    """As a project may extend it."""


def found(**settings: Any) -> list[str]:
    with override_settings(**settings):
        return [str(message.id) for message in check_configuration() if message.level > INFO]


def test_a_good_configuration_has_nothing_to_say() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("settings", "check_id"),
    [
        ({"HELIOGRAPH_URL": ""}, "heliograph.W001"),
        ({"HELIOGRAPH_URL": None}, "heliograph.W001"),
        ({"HELIOGRAPH_URL": "ftp://example.com"}, "heliograph.E012"),
        ({"HELIOGRAPH_URL": "example.com"}, "heliograph.E012"),
        ({"HELIOGRAPH_KEY": ""}, "heliograph.W002"),
        ({"HELIOGRAPH_SOURCE": 7}, "heliograph.E003"),
        ({"HELIOGRAPH_MODELS": "shop.*"}, "heliograph.E004"),
        ({"HELIOGRAPH_EXCLUDE_MODELS": [7]}, "heliograph.E005"),
        ({"HELIOGRAPH_SIGNALS": "model"}, "heliograph.E013"),
        ({"HELIOGRAPH_SIGNALS": ["post_sale"]}, "heliograph.E013"),
        ({"HELIOGRAPH_CUSTOM_SIGNALS": "shop.signals.order_paid"}, "heliograph.E006"),
        ({"HELIOGRAPH_CUSTOM_SIGNALS": ["no.such.signal"]}, "heliograph.E006"),
        ({"HELIOGRAPH_CUSTOM_SIGNALS": ["os.path.join"]}, "heliograph.E006"),
        ({"HELIOGRAPH_EXCLUDE_FIELDS": "shop.Order.notes"}, "heliograph.E014"),
        ({"HELIOGRAPH_DIFF": {"shop.*": "sometimes"}}, "heliograph.E015"),
        ({"HELIOGRAPH_BULK": "yes"}, "heliograph.E016"),
        ({"HELIOGRAPH_BULK_PKS": 0}, "heliograph.E017"),
        ({"HELIOGRAPH_FAIL_CLOSED": "shop.Payment"}, "heliograph.E018"),
        ({"HELIOGRAPH_MASK_NAMES": "diagnosis"}, "heliograph.E019"),
        ({"HELIOGRAPH_UNMASK_NAMES": None}, "heliograph.E020"),
        ({"HELIOGRAPH_MASK_SECRET": 7}, "heliograph.E021"),
        ({"HELIOGRAPH_TRUSTED_PROXIES": -1}, "heliograph.E022"),
        ({"HELIOGRAPH_QUEUE_SIZE": 0}, "heliograph.E007"),
        ({"HELIOGRAPH_QUEUE_BYTES": 0}, "heliograph.E051"),
        ({"HELIOGRAPH_PRIORITIES": {"shop.*": "urgent"}}, "heliograph.E050"),
        ({"HELIOGRAPH_PRIORITIES": ["shop.*"]}, "heliograph.E050"),
        ({"HELIOGRAPH_SAMPLE": {"shop.*": 2}}, "heliograph.E055"),
        ({"HELIOGRAPH_SAMPLE": {"shop.*": True}}, "heliograph.E055"),
        ({"HELIOGRAPH_SAMPLE": 0.5}, "heliograph.E055"),
        ({"HELIOGRAPH_SPOOL": None}, "heliograph.E052"),
        ({"HELIOGRAPH_SPOOL_BYTES": -1}, "heliograph.E053"),
        ({"HELIOGRAPH_TELEMETRY_INTERVAL": -1}, "heliograph.E054"),
        ({"HELIOGRAPH_TELEMETRY_INTERVAL": False}, "heliograph.E054"),
        ({"HELIOGRAPH_BATCH_SIZE": True}, "heliograph.E008"),
        ({"HELIOGRAPH_BATCH_SIZE": 5000}, "heliograph.E008"),
        ({"HELIOGRAPH_INTERVAL": -1}, "heliograph.E009"),
        ({"HELIOGRAPH_INTERVAL": float("inf")}, "heliograph.E009"),
        ({"HELIOGRAPH_TIMEOUT": float("nan")}, "heliograph.E010"),
        ({"HELIOGRAPH_SHUTDOWN_TIMEOUT": 86_401}, "heliograph.E011"),
        ({"HELIOGRAPH_MODELS": None}, "heliograph.E004"),
        ({"HELIOGRAPH_SIGNALS": None}, "heliograph.E013"),
        ({"HELIOGRAPH_KEY": None}, "heliograph.W002"),
        ({"HELIOGRAPH_URL": 5}, "heliograph.W001"),
        ({"HELIOGRAPH_DIFF": ["a"]}, "heliograph.E015"),
        ({"HELIOGRAPH_DIFF": {5: "off"}}, "heliograph.E015"),
        ({"HELIOGRAPH_DIFF": {"shop.*": ["off"]}}, "heliograph.E015"),
        ({"MIDDLEWARE": []}, "heliograph.W023"),
        ({"MIDDLEWARE": ["no.such.middleware"]}, "heliograph.W023"),
        ({"MIDDLEWARE": [SESSIONS, OURS]}, "heliograph.W024"),
        ({"HELIOGRAPH_MODELS": ["@own", "libary.*"]}, "heliograph.W025"),
        ({"HELIOGRAPH_EXCLUDE_MODELS": ["library.Boook"]}, "heliograph.W025"),
        ({"HELIOGRAPH_EXCLUDE_FIELDS": ["library.Book.titel"]}, "heliograph.W025"),
        ({"HELIOGRAPH_FAIL_CLOSED": ["sessions.Session"]}, "heliograph.W025"),
        ({"HELIOGRAPH_DIFF": {"shop.*": "off"}}, "heliograph.W025"),
        ({"HELIOGRAPH_INTERVALL": 5}, "heliograph.W026"),
        ({"HELIOGRAPH_TIMEOUT": "10"}, "heliograph.E010"),
        ({"HELIOGRAPH_SHUTDOWN_TIMEOUT": None}, "heliograph.E011"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, Any], check_id: str) -> None:
    assert found(**settings) == [check_id]


@pytest.mark.parametrize(
    "settings",
    [
        {"MIDDLEWARE": [f"{__name__}.OurMiddleware", SESSIONS]},
        {"MIDDLEWARE": ["django.middleware.security.SecurityMiddleware", OURS]},
        {"MIDDLEWARE": [], "ROOT_URLCONF": None},
        {"HELIOGRAPH_MODELS": ["library.*", "AUTH.user", "@own", "@user"]},
        {"HELIOGRAPH_EXCLUDE_FIELDS": ["library.Book.title", "*.name"]},
        {"HELIOGRAPH_EXCLUDE_MODELS": ["sessions.*"], "HELIOGRAPH_DIFF": {"library.B*": "off"}},
    ],
)
def test_what_is_right_is_not_complained_about(settings: dict[str, Any]) -> None:
    assert found(**settings) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HELIOGRAPH_INTERVALL": 5}, "HELIOGRAPH_INTERVAL?"),
        ({"HELIOGRAPH_XYZ": 5}, "QUEUE_SIZE"),
        ({"HELIOGRAPH_MODELS": ["libary.*"]}, "'libary.*'"),
        ({"MIDDLEWARE": []}, OURS),
    ],
)
def test_a_warning_names_what_is_wrong_and_what_to_do(settings: dict[str, Any], words: str) -> None:
    with override_settings(**settings):
        (message,) = [each for each in check_configuration() if each.level > INFO]

    assert words in f"{message.msg} {message.hint}"
    assert message.hint


def test_no_check_shows_a_secret() -> None:
    with override_settings(HELIOGRAPH_KEY=b"hg_secret", HELIOGRAPH_MASK_SECRET=["hg_secret"]):
        messages = check_configuration()

    assert len(messages) >= 2
    assert "hg_secret" not in str(messages)


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        ({"HELIOGRAPH_MODELS": None}, ["@own", "auth.*", "@user"]),
        ({"HELIOGRAPH_MODELS": "shop.*"}, ["shop.*"]),
        ({"HELIOGRAPH_SIGNALS": None}, ["model", "m2m", "auth", "request"]),
        ({"HELIOGRAPH_MASK_NAMES": None}, []),
        ({"HELIOGRAPH_MASK_NAMES": "diagnosis"}, ["diagnosis"]),
        ({"HELIOGRAPH_MASK_NAMES": {"diagnosis"}}, ["diagnosis"]),
        ({"HELIOGRAPH_EXCLUDE_FIELDS": [7, "shop.Order.notes"]}, ["shop.Order.notes"]),
        ({"HELIOGRAPH_DIFF": ["a"]}, {}),
        ({"HELIOGRAPH_DIFF": {5: "off"}}, {}),
        ({"HELIOGRAPH_KEY": None}, ""),
        ({"HELIOGRAPH_URL": 5}, ""),
        ({"HELIOGRAPH_TRUSTED_PROXIES": "1"}, 0),
        ({"HELIOGRAPH_INTERVAL": float("inf")}, 1.0),
        ({"HELIOGRAPH_BATCH_SIZE": 5000}, 500),
    ],
)
def test_a_bad_setting_is_not_used_and_complained_about_once(
    settings: dict[str, Any], read: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ((name, _),) = settings.items()
    with override_settings(**settings):
        for _ in range(3):
            assert getattr(conf, name.removeprefix("HELIOGRAPH_").lower()) == read

    assert [name in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("name", [setting.name for setting in all_settings()])
@pytest.mark.parametrize("value", [None, 5, "text", ["a"], {5: "off"}, object(), float("nan")], ids=type)
def test_no_value_of_a_setting_keeps_the_project_from_starting(name: str, value: Any) -> None:
    with override_settings(**{name: value}):
        receivers.connect()
        selection.models()
        check_configuration()
    receivers.connect()


def test_every_setting_has_a_check_of_its_own() -> None:
    ids = [setting.check_id for setting in all_settings()]

    assert len(set(ids)) == len(ids)


@pytest.mark.django_db(databases="__all__")  # since Django 6.1, checks of fields ask what the database can do
@pytest.mark.parametrize("deploy", [True, False])
def test_what_captured_deletes_cost_is_told_where_somebody_asks_and_not_by_each_command(deploy: bool) -> None:
    said = StringIO()

    call_command("check", deploy=deploy, stdout=said, stderr=said)

    assert ("heliograph.I001" in said.getvalue()) == deploy
