"""System checks of the configuration: what is wrong is said by ``manage.py check``, with what to do."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning  # noqa: A004  # Django's name
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import Model
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete, pre_delete
from django.utils.module_loading import import_string

from emitter import outlet, selection
from emitter.conf import Conf, Setting, all_settings, conf
from emitter.exceptions import ConfigurationError
from emitter.models import Waiting

MIDDLEWARE = "emitter.middleware.HeliographMiddleware"
DJANGOS_MIDDLEWARE = (  # which find out who asks, or answer themselves
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
)
SECRET = (Conf.key, Conf.mask_secret, Conf.proxy)  # whose value no log of a check should show


def check_configuration(**kwargs: Any) -> list[CheckMessage]:
    bad: list[CheckMessage] = [
        Error(f"{setting.name} can't be {shown(setting)}.", hint=setting.hint, id=setting.check_id)
        for setting in all_settings()
        if not setting.good(setting.written)
    ]
    return [
        *(bad or [*check_address(), *check_signals(), *check_patterns(), *check_outbox()]),
        *check_names(),
        *check_middleware(),
    ]


def shown(setting: Setting[Any]) -> str:
    return f"a {type(setting.written).__name__}" if setting in SECRET else repr(setting.written)


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
            outlet.make_http_transport()
        except ConfigurationError as error:
            yield Error(
                str(error),
                hint="It has to do with HELIOGRAPH_URL, _KEY, _PROXY (or HTTPS_PROXY), _CA_FILE or _CLIENT_CERT.",
                id="heliograph.E012",
            )


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


def check_patterns() -> Iterator[CheckMessage]:
    """Tell which patterns match nothing, as one with a typing error does: it excludes, or captures, nobody."""
    labels = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    captured = {policy.label for model in selection.models() if (policy := selection.policy(model))}
    fields = {
        f"{model._meta.label}.{name}"
        for model in apps.get_models(include_auto_created=True)
        for each in (*model._meta.concrete_fields, *model._meta.many_to_many)
        for name in (each.name, each.attname)
    }
    for setting, what, names in (
        (Conf.models, "model", labels | {"@own", "@user"}),
        (Conf.exclude_models, "model", labels),
        (Conf.exclude_fields, "field", fields),
        (Conf.diff, "captured model", captured),
        (Conf.fail_closed, "captured model", captured),
    ):
        for pattern in setting.value if setting.written is not setting.default else ():
            if not any(selection.matches(name, [pattern]) for name in names):
                yield Warning(
                    f"{setting.name}: {pattern!r} matches no {what}.",
                    hint=f"{setting.hint} A model is written as its app's label and its name, a field with its name.",
                    id="heliograph.W025",
                )


def check_names() -> Iterator[CheckMessage]:
    known = [setting.attribute for setting in all_settings()]
    for name in dir(settings):
        attribute = name.removeprefix("HELIOGRAPH_").lower()
        if name.startswith("HELIOGRAPH_") and attribute not in known:
            close = [f"HELIOGRAPH_{each.upper()}" for each in get_close_matches(attribute, known, n=1)]
            yield Warning(
                f"{name} is no setting of the emitter.",
                hint=f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known).upper()}.",
                id="heliograph.W026",
            )


def check_middleware() -> Iterator[CheckMessage]:
    """Say so where requests are told without who asks, by which route and how they ended."""
    installed = list(getattr(settings, "MIDDLEWARE", None) or [])
    place = next((number for number, path in enumerate(installed) if is_ours(path)), None)
    if place is None and getattr(settings, "ROOT_URLCONF", None):
        yield Warning(
            "HeliographMiddleware is not in MIDDLEWARE: events name no actor, and requests no route and status.",
            hint=f"Put {MIDDLEWARE!r} first in MIDDLEWARE.",
            id="heliograph.W023",
        )
    elif place is not None and (before := [path for path in installed[:place] if path in DJANGOS_MIDDLEWARE]):
        yield Warning(
            f"HeliographMiddleware comes after {before[0]}: what that does or answers is not seen.",
            hint=f"Put {MIDDLEWARE!r} first in MIDDLEWARE.",
            id="heliograph.W024",
        )


def is_ours(path: str) -> bool:
    """Tell whether this is our middleware or a subclass of the project's own."""
    try:
        found = import_string(path)
    except ImportError:  # which Django itself will say
        return False
    return MIDDLEWARE in {f"{each.__module__}.{each.__qualname__}" for each in getattr(found, "__mro__", ())}


def check_outbox() -> Iterator[CheckMessage]:
    """Tell which databases are written to and have no outbox, as a router keeps its table out of them."""
    if conf.delivery != "outbox":
        return
    written = {router.db_for_write(model) for model in selection.models()}
    for alias in sorted(written):
        if connections[alias].vendor not in {"postgresql", "sqlite", "mysql"}:
            yield Warning(
                f"The outbox is not tried out on the database {alias!r}, a {connections[alias].vendor}.",
                hint="It is on PostgreSQL, SQLite, MariaDB and MySQL.",
                id="heliograph.W046",
            )
        if not router.allow_migrate_model(alias, Waiting):
            yield Warning(
                f"A router keeps the outbox out of the database {alias!r}, so that its events leave from memory.",
                hint="Have its allow_migrate() allow the app 'heliograph' there.",
                id="heliograph.W044",
            )


def check_outbox_tables(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Tell which databases lack the table; Django asks when it migrates, or ``manage.py check --database`` does."""
    return [
        Warning(
            f"The database {alias!r} has no outbox, so that its events leave from memory.",
            hint=f"Run manage.py migrate heliograph --database={alias}, unless that is what runs.",
            id="heliograph.W045",
        )
        for alias in databases or ()
        if conf.delivery == "outbox"
        and router.allow_migrate_model(alias, Waiting)
        and Waiting._meta.db_table not in connections[alias].introspection.table_names()
    ]


def check_cost(**kwargs: Any) -> Iterator[CheckMessage]:
    """Tell which models Django would delete in one statement, if nobody listened.

    For ``check --deploy``: elsewhere each command would print it, as Django does with all that its checks find.
    """
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
