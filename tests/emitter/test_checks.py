"""What ``manage.py check`` says of the configuration."""

from typing import Any

import pytest
from django.core.checks import INFO
from django.test import override_settings

from emitter.checks import check_configuration
from emitter.conf import all_settings


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
        ({"HELIOGRAPH_BATCH_SIZE": True}, "heliograph.E008"),
        ({"HELIOGRAPH_INTERVAL": -1}, "heliograph.E009"),
        ({"HELIOGRAPH_TIMEOUT": "10"}, "heliograph.E010"),
        ({"HELIOGRAPH_SHUTDOWN_TIMEOUT": None}, "heliograph.E011"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, Any], check_id: str) -> None:
    assert found(**settings) == [check_id]


def test_every_setting_has_a_check_of_its_own() -> None:
    ids = [setting.check_id for setting in all_settings()]

    assert len(set(ids)) == len(ids)
