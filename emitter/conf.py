"""Settings of the emitter: flat ``HELIOGRAPH_*`` names in the project's Django settings, read on access.

To add one: a line in `Conf`, a test, a line in docs/reference/emitter-settings.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from django.conf import settings

T = TypeVar("T")


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


@dataclass(eq=False, slots=True)
class Setting(Generic[T]):
    """One setting: its default, what a good value is, in words and as a test, and the id of its check."""

    default: T
    good: Callable[[object], bool]
    hint: str
    check_id: str
    name: str = field(default="", init=False)

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.name = f"HELIOGRAPH_{attribute.upper()}"

    @overload
    def __get__(self, conf: None, owner: type) -> "Setting[T]": ...

    @overload
    def __get__(self, conf: object, owner: type) -> T: ...

    def __get__(self, conf: object | None, owner: type) -> Any:
        return self if conf is None else self.value

    @property
    def value(self) -> T:
        value: T = getattr(settings, self.name, self.default)
        return value


class Conf:
    """All settings. ``conf.queue_size`` is the value of ``HELIOGRAPH_QUEUE_SIZE`` now."""

    url = Setting("", is_text, "The service's address, such as 'https://heliograph.example.com'.", "heliograph.W001")
    key = Setting("", is_text, "A key with the scope events:write, made by manage.py create_key.", "heliograph.W002")
    source = Setting("", is_text, "This project and component, such as '/shop/web'.", "heliograph.E003")
    models = Setting[Sequence[str]](
        ["*"], is_texts, "A list of patterns such as 'shop.*' or 'auth.User'.", "heliograph.E004"
    )
    # Django's own bookkeeping. A session's primary key is a credential, so that it must never leave.
    exclude_models = Setting[Sequence[str]](
        ["admin.LogEntry", "auth.Permission", "contenttypes.*", "sessions.*"],
        is_texts,
        "A list of patterns such as 'shop.Cart*'; it wins over HELIOGRAPH_MODELS.",
        "heliograph.E005",
    )
    signals = Setting[Sequence[str]](
        [],
        is_texts,
        "A list of dotted paths of your own signals, such as 'shop.signals.order_paid'.",
        "heliograph.E006",
    )
    queue_size = Setting(10_000, is_count, "How many events wait in memory at the most.", "heliograph.E007")
    batch_size = Setting(500, is_count, "How many events go in one request; the service takes 1000.", "heliograph.E008")
    interval = Setting(1.0, is_seconds, "Seconds after which a batch leaves that isn't full.", "heliograph.E009")
    timeout = Setting(10.0, is_seconds, "Seconds to wait for the service's answer.", "heliograph.E010")
    shutdown_timeout = Setting(2.0, is_seconds, "Seconds that an exit may wait for the rest.", "heliograph.E011")


conf = Conf()


def all_settings() -> list[Setting[Any]]:
    return [setting for setting in vars(Conf).values() if isinstance(setting, Setting)]
