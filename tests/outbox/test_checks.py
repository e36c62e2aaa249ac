"""What ``manage.py check`` says of an outbox."""

from typing import Any

import pytest
from django.core.checks import INFO
from django.test import override_settings

from emitter.checks import check_configuration, check_outbox_tables
from tests.outbox.test_failures import without_table

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class Keeping:
    """A router that keeps the outbox out of all databases."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "heliograph" else None


def ids(messages: list[Any]) -> list[str]:
    return [str(message.id) for message in messages if message.level > INFO]


def test_a_good_one_has_nothing_to_say(using: str) -> None:
    assert ids(check_configuration()) == []
    assert check_outbox_tables(databases=[using]) == []


def test_a_missing_table_is_named_with_what_to_do(using: str) -> None:
    with without_table(using):
        (message,) = check_outbox_tables(databases=[using])
        with override_settings(HELIOGRAPH_DELIVERY="memory"):
            assert check_outbox_tables(databases=[using]) == []

    assert message.id == "heliograph.W045"
    assert f"migrate heliograph --database={using}" in str(message.hint)


def test_no_database_is_asked_that_django_does_not_name() -> None:
    assert check_outbox_tables() == check_outbox_tables(databases=None) == []


def test_a_router_that_keeps_it_out_is_told_of() -> None:
    with override_settings(DATABASE_ROUTERS=[Keeping()]):
        assert ids(check_configuration()) == ["heliograph.W044"]
        assert check_outbox_tables(databases=["default"]) == []
        with override_settings(HELIOGRAPH_DELIVERY="memory"):
            assert ids(check_configuration()) == []


@pytest.mark.parametrize(
    ("settings", "check_id"),
    [
        ({"HELIOGRAPH_DELIVERY": "outbx"}, "heliograph.E060"),
        ({"HELIOGRAPH_OUTBOX_ATOMIC": "yes"}, "heliograph.E061"),
        ({"HELIOGRAPH_OUTBOX_LEASE": 0}, "heliograph.E062"),
        ({"HELIOGRAPH_RELAY": "Thread"}, "heliograph.E063"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, Any], check_id: str) -> None:
    with override_settings(**settings):
        assert ids(check_configuration()) == [check_id]
