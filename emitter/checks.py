"""System checks of the configuration: what is wrong is said by ``manage.py check``, with what to do."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Info, Warning  # noqa: A004  # Django's name
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete, pre_delete

from emitter import selection
from emitter.conf import Conf, all_settings, conf
from emitter.exceptions import ConfigurationError
from emitter.transport import HttpTransport


def check_configuration(**kwargs: Any) -> list[CheckMessage]:
    bad: list[CheckMessage] = [
        Error(f"{setting.name} can't be {setting.value!r}.", hint=setting.hint, id=setting.check_id)
        for setting in all_settings()
        if not setting.good(setting.value)
    ]
    return bad or [*check_address(), *check_signals(), *check_cost()]


def check_address() -> Iterator[CheckMessage]:
    if not conf.url:
        yield Warning(
            "HELIOGRAPH_URL is not set: no event leaves this project.", hint=Conf.url.hint, id=Conf.url.check_id
        )
    elif not conf.key:
        yield Warning(
            "HELIOGRAPH_KEY is not set: the service will refuse every event.", hint=Conf.key.hint, id=Conf.key.check_id
        )
    else:
        try:
            HttpTransport(conf.url, conf.key)
        except ConfigurationError as error:
            yield Error(str(error), hint=Conf.url.hint, id="heliograph.E012")


def check_signals() -> Iterator[CheckMessage]:
    unknown = selection.unknown_names()
    if unknown:
        yield Error(
            f"HELIOGRAPH_SIGNALS: {', '.join(unknown)} can't be captured.",
            hint=f"Groups: {', '.join(selection.GROUPS)}. Names: those in them, and {', '.join(selection.ON_REQUEST)}.",
            id=Conf.signals.check_id,
        )
    try:
        list(selection.custom_signals())
    except ImportError as error:
        yield Error(
            f"HELIOGRAPH_CUSTOM_SIGNALS: {error}.", hint=Conf.custom_signals.hint, id=Conf.custom_signals.check_id
        )


def check_cost() -> Iterator[CheckMessage]:
    """Tell which models Django would delete in one statement, if nobody listened."""
    slowed = sorted(model._meta.label for model in selection.models() if loses_fast_delete(model))
    if slowed:
        yield Info(
            f"Mass deletes of {', '.join(slowed)} load each object first, because their deletion is captured.",
            hint="Put those whose mass deletes matter more than their trail into HELIOGRAPH_EXCLUDE_MODELS.",
            id="heliograph.I001",
        )


def loses_fast_delete(model: type[Model]) -> bool:
    listeners = [each[0] for signal in (pre_delete, post_delete) for each in signal.receivers]
    others = [
        uid for uid, sender in listeners if sender in {id(None), id(model)} and not str(uid).startswith("heliograph.")
    ]
    return not others and Unheard(using=DEFAULT_DB_ALIAS).can_fast_delete(model._base_manager.none())


class Unheard(Collector):
    """A collector as it would be without listeners."""

    def _has_signal_listeners(self, model: type[Model]) -> bool:
        return False
