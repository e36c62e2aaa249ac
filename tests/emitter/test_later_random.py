"""Whatever is done, and whenever it is told: the events are those of telling each save at once.

``LATER_EXAMPLES=2000`` for more than the few that are tried each time.
"""

import copy
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.models import F, Model
from django.db.models.signals import post_save
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emitter import outlet
from emitter.event import Event
from emitter.testing import Recorder
from tests.emitter.library.models import Audiobook, Author, Book, Card, Cover, Genre, Novel, Room, Seat, Shelf
from tests.emitter.library.signals import book_lent

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

KINDS: list[type[Model]] = [Book, Genre, Novel, Audiobook, Seat, Shelf, Room, Cover]
JSON = [{"a": 1}, '{"a": 1}', [], "[]", {"a": [1, {"b": None}]}, 1, True, None, "x", 1.5, {"n": 2**70}, {"a": 1.0}]
VALUES: dict[str, list[Any]] = {
    "title": ["Emma", "Persuasion", "", 1, True, "1"],
    "name": ["a", "b", ""],
    "narrator": ["n", ""],
    "price": ["9.90", Decimal("9.9"), 1, 1.5, Decimal("3.333"), "F"],
    "details": JSON,
    "bought_at": [None, datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"],
    "taken_by": ["", "me"],
    "labels": [[], ["x"], ["x", "y"]],
    "plan": ["", "a.txt"],
    "drawing": ["", "a.txt", "b.txt", None],
    "stamp": [b"", b"\1"],
    "height": [1.0, float("nan"), 2],
    "width": [1, 2],
    "length": [3, "3"],
}


class UndoneError(Exception):
    """Rolls a block back."""


class World:
    """Runs a program, and remembers the objects that it has made."""

    def __init__(self, is_later: bool) -> None:
        self.is_later = is_later
        self.objects: list[Any] = []
        self.keys = iter(range(1, 1_000))

    def run(self, program: list[Any]) -> None:
        for step, *arguments in program:
            getattr(self, step)(*arguments)

    def pick(self, number: int) -> Any:
        return self.objects[number % len(self.objects)] if self.objects else None

    def guarded(self, call: Any, using: str = "default") -> None:
        with suppress(DatabaseError, ValueError, LookupError, TypeError), transaction.atomic(using):
            call()

    def make(self, kind: int, number: int, is_bare: bool) -> None:
        model, key = KINDS[kind % len(KINDS)], next(self.keys)
        made: Any
        if model is Seat:
            made = Seat(row="A", number=key, taken_by="me")
        elif model is Room:
            made = Room(pk=key, width=1, length=2)
        else:
            made = model(pk=key)
            self.change(number, number, made)
        if is_bare:
            with suppress(DatabaseError, ValueError):
                made.save(force_insert=True)
        else:
            self.guarded(lambda: made.save(force_insert=True))
        self.objects.append(made)

    def change(self, number: int, value: int, of: Any = None) -> None:
        found = of or self.pick(number)
        if found is None:
            return
        names = [each.attname for each in found._meta.concrete_fields if each.attname in VALUES]
        name = names[value % len(names)]
        new = copy.deepcopy(VALUES[name][(value // 7) % len(VALUES[name])])
        if new == "F":
            new = F(name) + 1 if of is None else 1
        setattr(found, name, new)

    def mutate(self, number: int) -> None:
        held = getattr(self.pick(number), "__dict__", {})
        if hasattr(held.get("drawing"), "name"):
            held["drawing"].name = f"{number}.txt"
        for value in (held.get("details"), held.get("labels")):
            if isinstance(value, dict):
                value["more"] = number
            elif isinstance(value, list):
                value.append("more")

    def save(self, number: int, names: int | None, using: str, is_bare: bool) -> None:
        found = self.pick(number)
        if found is None:
            return
        if found.pk is None:
            found.pk = next(self.keys)
        fields: Any = None
        if names is not None:
            every = [each.name for each in found._meta.concrete_fields if each.attname in VALUES]
            fields = [every[names % len(every)], every[(names // 5) % len(every)]]

        def call() -> None:
            found.save(using=using, update_fields=fields)

        if is_bare:
            with suppress(DatabaseError, ValueError, TypeError):
                call()
        else:
            self.guarded(call, using)

    def rework(self, number: int, value: int, times: int) -> None:
        """Change an object before and after each of its saves."""
        for each in range(times):
            self.change(number, value + each)
            self.mutate(number)
            self.save(number, None, "default", is_bare=False)
            self.mutate(number)

    def regret(self, number: int, value: int) -> None:
        """Save an object, have that rolled back, and save it again."""
        self.atomic([("rework", number, value, 2)], True, "default")
        self.rework(number, value + 1, 1)

    def load(self, number: int, how: int) -> None:
        found = self.pick(number)
        if found is None or found.pk is None:
            return
        rows = type(found).objects.filter(pk=found.pk)
        name = next(each.name for each in found._meta.concrete_fields if each.attname in VALUES)
        rows = [rows, rows.only(name), rows.defer(name), rows][how % 4]
        with suppress(DatabaseError):
            loaded = rows.first() if how % 4 != 3 else next(iter(rows.iterator()), None)
            if loaded is not None:
                self.objects.append(loaded)

    def refresh(self, number: int, is_part: bool) -> None:
        found = self.pick(number)
        if found is not None:
            names = [each.name for each in found._meta.concrete_fields if each.attname in VALUES]
            with suppress(Exception):
                found.refresh_from_db(fields=names[:1] if is_part else None)

    def duplicate(self, number: int, is_pickled: bool) -> None:
        found = self.pick(number)
        if found is not None:
            pickled = pickle.dumps(found) if is_pickled else b""
            self.objects.append(pickle.loads(pickled) if is_pickled else copy.copy(found))

    def rekey(self, number: int, other: int) -> None:
        found, of = self.pick(number), self.pick(other)
        if found is not None and type(found) is type(of) is not Audiobook:
            found.pk = of.pk

    def delete(self, number: int) -> None:
        found = self.pick(number)
        if found is not None and found.pk is not None:
            self.guarded(found.delete)

    def lend(self, number: int) -> None:
        found = self.pick(number)
        if found is not None:
            book_lent.send(None, days=number)

    def sweep(self) -> None:
        self.guarded(lambda: Genre.objects.update(name="swept"))

    def untold(self, program: list[Any]) -> None:
        with override_settings(HELIOGRAPH_URL=""):
            self.run(program)

    def atomic(self, program: list[Any], is_undone: bool, using: str) -> None:
        with suppress(UndoneError, DatabaseError), transaction.atomic(using):
            self.run(program)
            if is_undone:
                raise UndoneError

    def render(self) -> None:
        if self.is_later:
            outlet.work()

    def forget(self, number: int) -> None:
        if self.objects:
            del self.objects[number % len(self.objects)]


@contextmanager
def recorded(at_once: int) -> Iterator[Recorder]:
    recorder, before = Recorder(), (outlet._worker, outlet.intake.at_once)
    outlet.work()
    outlet._worker, outlet.intake.at_once = recorder, at_once
    try:
        yield recorder
        outlet.work()
    finally:
        outlet._worker, outlet.intake.at_once = before


def told(events: list[Event]) -> list[Any]:
    numbers: dict[Any, int] = {event.id: number for number, event in enumerate(events)}
    return [
        (event.type, event.subject, event.action, event.outcome, repr(event.data), numbers.get(event.causationid))
        for event in events
    ]


def listen(sender: Any, instance: Any, created: bool, **_: Any) -> None:
    """Do what receivers do: save something, of some objects; what they cause has the cause told at once."""
    if sender is Author or instance.__dict__.get("_seen"):
        return
    number = (instance.pk if isinstance(instance.pk, int) else 0) + created
    if number % 5 == 3:
        instance.__dict__["_seen"] = True
        instance.save()
        instance.__dict__["_seen"] = False
        transaction.on_commit(lambda: Author(pk=900 + number, name="late").save())
    elif number % 5 == 4:
        Author(pk=900 + number, name=str(created)).save()


def events_of(program: list[Any], is_later: bool, at_once: int) -> list[Any]:
    for using in ("default", "other"):
        for model in (Audiobook, Book, Genre, Seat, Shelf, Room, Card, Cover, Author):
            model._base_manager.using(using).all()._raw_delete(using)
    post_save.connect(listen)
    try:
        before = outlet.counts.copy()
        with recorded(at_once if is_later else 1) as recorder:
            World(is_later).run(program)
        return [*told(recorder.events), outlet.counts - before]
    finally:
        post_save.disconnect(listen)


NUMBERS = st.integers(0, 200)
USING = st.sampled_from(["default", "default", "other"])
step = st.one_of(
    st.tuples(st.just("make"), NUMBERS, NUMBERS, st.booleans()),
    st.tuples(st.just("change"), NUMBERS, NUMBERS),
    st.tuples(st.just("change"), NUMBERS, NUMBERS),
    st.tuples(st.just("mutate"), NUMBERS),
    st.tuples(st.just("save"), NUMBERS, st.none() | NUMBERS, st.just("default"), st.booleans()),
    st.tuples(st.just("save"), NUMBERS, st.none() | NUMBERS, USING, st.booleans()),
    st.tuples(st.just("rework"), NUMBERS, NUMBERS, st.integers(1, 5)),
    st.tuples(st.just("regret"), NUMBERS, NUMBERS),
    st.tuples(st.just("load"), NUMBERS, NUMBERS),
    st.tuples(st.just("refresh"), NUMBERS, st.booleans()),
    st.tuples(st.just("duplicate"), NUMBERS, st.booleans()),
    st.tuples(st.just("rekey"), NUMBERS, NUMBERS),
    st.tuples(st.just("delete"), NUMBERS),
    st.tuples(st.just("lend"), NUMBERS),
    st.tuples(st.just("forget"), NUMBERS),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("render")),
)
programs = st.recursive(
    st.lists(step, min_size=1, max_size=12),
    lambda inner: st.lists(
        step | st.tuples(st.just("atomic"), inner, st.booleans(), USING) | st.tuples(st.just("untold"), inner),
        min_size=1,
        max_size=12,
    ),
    max_leaves=40,
)


@settings(
    max_examples=int(os.environ.get("LATER_EXAMPLES", "60")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(programs, st.sampled_from([2, 3, 16, 1_000]))
def test_events_are_those_of_telling_at_once(program: list[Any], at_once: int) -> None:
    program = [("make", kind, kind, False) for kind in range(len(KINDS))] + program
    assert events_of(program, True, at_once) == events_of(program, False, 1)
