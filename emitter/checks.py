"""System checks of the configuration: what is wrong is said by ``manage.py check``, with what to do."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  # Django's name
from django.utils.module_loading import import_string

from emitter.conf import Conf, all_settings, conf
from emitter.exceptions import ConfigurationError
from emitter.transport import HttpTransport


def check_configuration(**kwargs: Any) -> list[CheckMessage]:
    bad: list[CheckMessage] = [
        Error(f"{setting.name} can't be {setting.value!r}.", hint=setting.hint, id=setting.check_id)
        for setting in all_settings()
        if not setting.good(setting.value)
    ]
    return bad or [*check_address(), *check_signals()]


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
    for path in conf.signals:
        try:
            signal = import_string(path)
        except ImportError as error:
            yield Error(f"HELIOGRAPH_SIGNALS: {error}.", hint=Conf.signals.hint, id=Conf.signals.check_id)
            continue
        if not callable(getattr(signal, "connect", None)):
            yield Error(f"HELIOGRAPH_SIGNALS: {path} is no signal.", hint=Conf.signals.hint, id=Conf.signals.check_id)
