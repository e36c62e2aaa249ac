"""What an entry of another package's history becomes: an event with an id that is always the same, without secrets."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.db.models import Field, Model
from django.utils import timezone

from emitter import outlet, payload, selection, serialization
from emitter.conf import conf
from emitter.event import Event, stamp_of
from emitter.values import Column, column_of

MODEL = "django.db.models.signals."
SIGNALS = {"created": MODEL + "post_save", "updated": MODEL + "post_save", "deleted": MODEL + "post_delete"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ORDERED = 28  # bits of an id that are the entry's own number, of the 62 after its time; the rest are of a hash
LONGEST = 255  # characters of an actor


class LeftOut(NamedTuple):
    """Stands for an entry that isn't told, since the settings say so."""

    why: str


class Unreadable(NamedTuple):
    """Stands for an entry that no event can be made of."""

    code: str
    detail: str


Found = Event | LeftOut | Unreadable
Data = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One table of a package's."""

    package: str
    table: str
    source: str = field(default_factory=lambda: conf.source or outlet.default_source())

    def moment(self, when: datetime, key: Any) -> tuple[int, int, int]:
        """Return what the id and the time of the event are made of, which are the same whenever this is asked.

        Entries of one moment, as those of a transaction may be, are in the order of their numbers.
        """
        nanoseconds = max(0, (in_zone(when) - EPOCH) // MICROSECOND * 1000)
        unique = f"{self.source}\0{self.package}\0{self.table}\0{key}".encode()
        chance = int.from_bytes(hashlib.blake2b(unique, digest_size=8).digest()) >> 2
        if type(key) is int:
            chance = (key % (1 << ORDERED)) << (62 - ORDERED) | chance >> ORDERED
        return (nanoseconds << 12) // 1_000_000, nanoseconds, chance

    def told(self, key: Any, tell: Callable[..., Found], *arguments: Any) -> Found:
        """Return what ``tell`` makes of an entry. One that it fails on is counted, and the others go on."""
        try:
            return tell(*arguments)
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001  # an entry may be of a form that nobody has thought of
            return Unreadable("unreadable_entry", f"{key} of {self.table}: {type(error).__name__}")

    def event(self, when: datetime, key: Any, *, type: str, data: Data, **attributes: Any) -> Event:  # noqa: A002  # as on the wire
        """Return the event that an entry becomes; its ``data`` says which entry that was."""
        identity, time = stamp_of(self.moment(when, key))
        imported = {"from": self.package, "table": self.table, "pk": serialization.json_safe(key)}
        return Event(
            id=identity,
            time=time,
            source=self.source,
            type=type,
            outcome="committed",
            data=payload.encoded({**data, "imported": imported}),
            **attributes,
        )


def in_zone(when: datetime) -> datetime:
    """Return a time that has a zone, which times of a project without `USE_TZ` lack."""
    return timezone.make_aware(when, timezone.get_default_timezone()) if when.tzinfo is None else when


class Told(NamedTuple):
    """How one field is told."""

    name: str
    is_secret: bool
    column: Column
    is_nullable: bool

    def value(self, value: Any) -> Any:
        return payload.told(self.column.stored(value), self.is_secret)


Read = Callable[[Told, Any], Any]


def as_is(_: Told, value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model as its history names it; ``model`` is None for one that the project has no more.

    ``fields`` are the columns that are told, by their names and attribute names. ``hidden`` are the names of all else
    that the model has: what is excluded by the settings, and relations, which are no values of a row.
    """

    label: str
    model: type[Model] | None
    fields: Mapping[str, Told]
    hidden: frozenset[str]
    is_excluded: bool

    def subject_of_keys(self, keys: list[Any]) -> str | None:
        """Return the same for a key as its columns hold it, which are several for a composite one."""
        if self.model is None or None in keys:
            return None
        return f"{self.label}/{serialization.key_of(self.model, keys)}"

    def subject(self, key: Any) -> str | None:
        """Return ``shop.Order/42``, masked where the key is secret; None without a key."""
        if key is None or key == "":
            return None
        if self.model is not None and selection.has_secret_key(self.model):
            return f"{self.label}/{payload.told(key, is_secret=True)}"
        return f"{self.label}/{key if type(key) is int else serialization.json_safe(str(key))}"

    def values(self, held: Mapping[str, Any], read: Read = as_is) -> Data:
        """Return values as events tell them, typed where the field is known."""
        told = {}
        for name, value in held.items():
            if known := self.fields.get(name):
                told[known.name] = known.value(read(known, value))
            elif not self.hides(name):
                told[serialization.text(name)] = self.unknown(name, value)
        return told

    def changes(self, held: Mapping[str, Any], read: Read = as_is) -> Data:
        """Return pairs of values as events tell them."""
        told = {}
        for name, pair in held.items():
            if known := self.fields.get(name):
                told[known.name] = [known.value(read(known, value)) for value in pair]
            elif not self.hides(name):
                told[serialization.text(name)] = [self.unknown(name, value) for value in pair]
        return told

    def hides(self, name: str) -> bool:
        return name in self.hidden or selection.matches(f"{self.label}.{name}", conf.exclude_fields)

    def unknown(self, name: str, value: Any) -> Any:
        """Return a value of a field that the model has no more, or never had, such as another's that points to it."""
        return payload.told(value, selection.is_secret_name(name, self.label.rpartition(".")[2]))


def subject_of(app_label: str, name: str) -> Subject:
    """Return the model of this name, which may be in lower case, as content types have it."""
    try:
        return subject_of_model(apps.get_model(app_label, name))
    except LookupError:
        label = f"{app_label}.{name}"
        return Subject(
            label=label,
            model=None,
            fields={},
            hidden=frozenset(),
            is_excluded=selection.matches(label, [*selection.NEVER, *conf.exclude_models]),
        )


def subject_of_model(model: type[Model]) -> Subject:
    concrete = model._meta.concrete_model or model
    told = list(selection.told_fields(concrete))
    return Subject(
        label=concrete._meta.label,
        model=concrete,
        fields={name: told_field(each) for each in told for name in (each.name, each.attname)},
        hidden=frozenset(
            name
            for each in concrete._meta.get_fields(include_hidden=True)
            if each not in told
            for name in (each.name, getattr(each, "attname", each.name))
        ),
        is_excluded=selection.is_excluded_model(model),
    )


def told_field(each: "Field[Any, Any]") -> Told:
    return Told(each.attname, selection.is_secret_field(each), column_of(each), each.null)


remembered_subject = selection.remembered(subject_of_model)


def actor(key: Any, model: type[Model] | None = None) -> str | None:
    """Return ``auth.User/7`` for the key of a user, if not of ``model``, of the project's own."""
    found = remembered_subject(model or get_user_model()).subject(key)
    return None if found is None else selection.scrubbed(found, LONGEST)
