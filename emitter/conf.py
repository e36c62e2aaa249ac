"""Settings of the emitter: flat ``HELIOGRAPH_*`` names in the project's Django settings, read when first asked for.

A value that can't be one is never used: what can be read of it is, else the default. The checks say so.

To add one: a line in `Conf`, a test, a line in docs/reference/emitter-settings.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from django.conf import settings

from emitter.complaints import complain

T = TypeVar("T")

BATCH = 1_000  # events that the service takes in one request
DAY = 86_400.0  # seconds; a thread can't wait for ever, which infinity would have it do


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def is_flag(value: object) -> bool:
    return isinstance(value, bool)


def is_modes(value: object) -> bool:
    modes = ("loaded", "select", "off")
    return isinstance(value, dict) and is_texts(list(value)) and all(mode in modes for mode in value.values())


def is_priorities(value: object) -> bool:
    names = ("low", "normal", "high")
    return isinstance(value, dict) and is_texts(list(value)) and all(name in names for name in value.values())


def is_fractions(value: object) -> bool:
    return isinstance(value, dict) and is_texts(list(value)) and all(map(is_fraction, value.values()))


def is_fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def is_delivery(value: object) -> bool:
    return isinstance(value, str) and value in {"memory", "outbox"}


def is_relay(value: object) -> bool:
    return isinstance(value, str) and value in {"thread", "command"}


def is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_batch_size(value: object) -> bool:
    return is_count(value) and value <= BATCH  # type: ignore[operator]  # a count is a number


def is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= DAY


def is_seconds_or_never(value: object) -> bool:
    return is_seconds(value) or (is_number(value) and not value)


@dataclass(eq=False, slots=True)
class Setting(Generic[T]):
    """One setting: its default, what a good value is, in words and as a test, and the id of its check."""

    default: T
    good: Callable[[object], bool]
    hint: str
    check_id: str
    name: str = field(default="", init=False)
    attribute: str = field(default="", init=False)

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute
        self.name = f"HELIOGRAPH_{attribute.upper()}"

    @overload
    def __get__(self, conf: None, owner: type) -> "Setting[T]": ...

    @overload
    def __get__(self, conf: object, owner: type) -> T: ...

    def __get__(self, conf: object | None, owner: type) -> Any:
        if conf is None:
            return self
        found = vars(conf)[self.attribute] = self.value  # asked for next, it is found there, at no cost
        return found

    @property
    def written(self) -> Any:
        """What the project's settings say, good or not."""
        return getattr(settings, self.name, self.default)

    @property
    def value(self) -> T:
        written = self.written
        if self.good(written):
            return written  # type: ignore[no-any-return]  # it is good
        complain(self.name, f"{self.name} can't be of that value, which is not used. {self.hint} See manage.py check.")
        return self.readable(written)

    def readable(self, written: object) -> T:
        """Return the texts in what was to be a list of them, so that no name to mask is lost; else the default."""
        if self.good is not is_texts:
            return self.default
        texts = [written] if isinstance(written, str) else written
        if not isinstance(texts, list | tuple | set | frozenset):
            return self.default
        return [text for text in texts if isinstance(text, str)]  # type: ignore[return-value]  # T is a list of texts


class Conf:
    """All settings: ``conf.queue_size`` is the value of ``HELIOGRAPH_QUEUE_SIZE``."""

    url = Setting("", is_text, "The service's address, such as 'https://heliograph.example.com'.", "heliograph.W001")
    key = Setting("", is_text, "A key with the scope events:write, made by manage.py create_key.", "heliograph.W002")
    source = Setting("", is_text, "This project and component, such as '/shop/web'.", "heliograph.E003")
    signals = Setting[Sequence[str]](
        ["model", "m2m", "auth", "request"],
        is_texts,
        "A list of groups (model, m2m, auth, request) or names (pre_save) of signals.",
        "heliograph.E013",
    )
    custom_signals = Setting[Sequence[str]](
        [],
        is_texts,
        "Dotted paths such as 'shop.signals.order_paid', or 'shop.*' for all of an app.",
        "heliograph.E006",
    )
    # What the project's own apps declare, and who may do what in it.
    models = Setting[Sequence[str]](
        ["@own", "auth.*", "@user"], is_texts, "A list of patterns such as 'shop.*' or 'auth.User'.", "heliograph.E004"
    )
    exclude_models = Setting[Sequence[str]](
        [], is_texts, "A list of patterns such as 'shop.Cart*'; it wins over HELIOGRAPH_MODELS.", "heliograph.E005"
    )
    exclude_fields = Setting[Sequence[str]](
        [], is_texts, "A list of patterns such as 'shop.Order.notes' or '*.thumbnail'.", "heliograph.E014"
    )
    diff = Setting[Mapping[str, str]](
        {}, is_modes, "A mapping of patterns of models to 'loaded', 'select' or 'off'.", "heliograph.E015"
    )
    bulk = Setting(True, is_flag, "True or False: whether update(), bulk_create() … are told.", "heliograph.E016")
    bulk_pks = Setting(1000, is_count, "How many primary keys a bulk call tells at the most.", "heliograph.E017")
    fail_closed = Setting[Sequence[str]](
        [], is_texts, "A list of patterns of models that must not be saved unheard.", "heliograph.E018"
    )
    mask_names = Setting[Sequence[str]](
        [], is_texts, "A list of further names whose values are secret, such as 'diagnosis'.", "heliograph.E019"
    )
    unmask_names = Setting[Sequence[str]](
        [], is_texts, "A list of names whose values are not secret after all.", "heliograph.E020"
    )
    mask_secret = Setting("", is_text, "A secret: masked values that are equal then look equal.", "heliograph.E021")
    trusted_proxies = Setting(
        0, is_number, "How many proxies stand before this project and set X-Forwarded-For.", "heliograph.E022"
    )
    delivery = Setting(
        "memory",
        is_delivery,
        "'memory', or 'outbox': with the data, in its database and transaction.",
        "heliograph.E060",
    )
    outbox_atomic = Setting(
        False,
        is_flag,
        "True or False: whether saves without a transaction get one, with their event.",
        "heliograph.E061",
    )
    outbox_lease = Setting(
        60.0, is_seconds, "Seconds, up to a day, for which a relay has the rows that it sends.", "heliograph.E062"
    )
    relay = Setting(
        "thread",
        is_relay,
        "'thread', or 'command' where manage.py heliograph_relay empties the outbox.",
        "heliograph.E063",
    )
    queue_size = Setting(10_000, is_count, "How many events wait in memory at the most.", "heliograph.E007")
    queue_bytes = Setting(
        16 * 1024 * 1024, is_count, "How many bytes of memory they take at the most.", "heliograph.E051"
    )
    priorities = Setting[Mapping[str, str]](
        {}, is_priorities, "A mapping of patterns of types to 'low', 'normal' or 'high'.", "heliograph.E050"
    )
    sample = Setting[Mapping[str, float]](
        {}, is_fractions, "A mapping of patterns of types to the fraction, 0 to 1, that is told.", "heliograph.E055"
    )
    spool = Setting("", is_text, "A directory that keeps events over an outage, or '' for none.", "heliograph.E052")
    spool_bytes = Setting(
        256 * 1024 * 1024, is_count, "How many bytes of events that directory may hold.", "heliograph.E053"
    )
    telemetry_interval = Setting(
        60.0,
        is_seconds_or_never,
        "Seconds, up to a day, between two reports of counters; 0 for none.",
        "heliograph.E054",
    )
    batch_size = Setting(
        500, is_batch_size, "How many events go in one request; the service takes 1000.", "heliograph.E008"
    )
    interval = Setting(
        1.0, is_seconds, "Seconds, up to a day, after which a batch leaves that isn't full.", "heliograph.E009"
    )
    timeout = Setting(
        10.0, is_seconds, "Seconds, up to a day, that one request to the service may take.", "heliograph.E010"
    )
    connect_timeout = Setting(
        5.0, is_seconds, "Seconds, up to a day, of those, to connect to the service.", "heliograph.E040"
    )
    proxy = Setting[str | None](
        None,
        is_text_or_none,
        "A proxy's URL, '' for none, or None for what HTTPS_PROXY and NO_PROXY say.",
        "heliograph.E041",
    )
    ca_file = Setting("", is_text, "A file of the certificates, in PEM, that are trusted.", "heliograph.E042")
    client_cert = Setting("", is_text, "A file with our certificate and its key, both in PEM.", "heliograph.E043")
    shutdown_timeout = Setting(
        2.0, is_seconds, "Seconds, up to a day, that an exit may wait for the rest.", "heliograph.E011"
    )


conf = Conf()


def forget() -> None:
    """Have every setting read anew, as Django's signal ``setting_changed`` asks for."""
    vars(conf).clear()


def all_settings() -> list[Setting[Any]]:
    return [setting for setting in vars(Conf).values() if isinstance(setting, Setting)]
