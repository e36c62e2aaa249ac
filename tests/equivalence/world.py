"""Where operations are done, inside of transactions and out, and where each log is held against the database."""

import copy
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import msgspec
from auditlog.models import LogEntry
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Model
from hypothesis.stateful import RuleBasedStateMachine
from msgspec.structs import replace

from emitter import transactions
from emitter.event import Event, Limits, Result, Telemetry, encode_batch
from emitter.worker import Worker
from tests.equivalence import contender, state, tally
from tests.equivalence.replay import Replay
from tests.equivalence.state import State, Table, Version

KEPT = 6  # instances that are held at once
REFUSALS = (DatabaseError, ObjectDoesNotExist, ValueError)  # of Django, or of the database, to do what a rule wants


def on_the_wire(events: list[Event]) -> list[Event]:
    return msgspec.json.decode(encode_batch(events), type=list[Event])


class Shelf:
    """A transport that keeps events in memory."""

    limits = Limits()

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, events: list[Event], *, timeout: float | None = None) -> Result:
        self.events.extend(on_the_wire(events))
        return Result(accepted=len(events), duplicates=0, rejected=0)

    def report(self, telemetry: Telemetry, *, timeout: float | None = None) -> None:
        pass

    def reset(self) -> None:
        self.events.clear()


class SorryError(Exception):
    """Leaves a block, which is then rolled back."""


@dataclass
class Block:
    """A transaction, or a part of one, and what there was before it."""

    atomic: transaction.Atomic
    before: State
    audited: State
    left: int  # operations until it is left, and how
    ends: str
    logged: int = 0  # entries of auditlog in it, those of blocks that were rolled back left out


@dataclass(eq=False)
class Kept:
    """An instance that is held, and when it last knew what its row holds."""

    instance: Any
    synced: int


@dataclass
class Cast:
    """What a machine is given: the app's models, whether instances may be stale, and where events leave and arrive."""

    models: ModuleType
    stale: bool
    worker: Worker
    shelf: Shelf
    complaints: list[logging.LogRecord]
    ids: set[Any] = field(default_factory=set)
    sequence: int = 0

    @property
    def app(self) -> str:
        return self.models.__package__.rpartition(".")[2] if self.models.__package__ else ""


class World(RuleBasedStateMachine):
    """An empty library. Subclasses have the rules that fill it."""

    def __init__(self, cast: Cast) -> None:
        super().__init__()
        self.cast = cast
        self.models: Any = cast.models
        self.arrived()
        clear(cast.app)
        self.actual, self.versions = state.read(cast.app)
        self.told, self.audited = self.actual.copy(), self.actual.copy()
        self.entry = 0
        self.blocks: list[Block] = []
        self.taken_back: set[Any] = set()  # ids of events that were looked at when their savepoint was rolled back
        self.kept: list[Kept] = []
        self.clock = 0
        self.seen: dict[Version, int] = {}

    def teardown(self) -> None:
        """Leave what is open without another look: after a failure that would hide it."""
        for block in reversed(self.blocks):
            block.atomic.__exit__(SorryError, SorryError(), None)

    @contextmanager
    def operation(self, kind: str, *kept: Kept) -> Iterator[None]:
        """Do one thing and look at what is told of it. ``kept`` are the instances that know of it."""
        tally.performed[kind] += 1
        try:
            yield
        except REFUSALS:
            tally.failed[kind] += 1
            if self.blocks:
                self.roll_back(broken=True)
        self.check(kind)
        for each in kept:
            each.synced = self.clock
        self.leave_blocks()

    def check(self, kind: str) -> None:
        events = [event for event in self.arrived() if event.outcome != "rolledback"]
        self.actual, self.versions = state.read(self.cast.app)
        self.notice_versions()
        self.check_auditlog(kind)
        if self.blocks:
            assert not events, f"told before the commit: {events}"
            return
        replay = Replay(self.told)
        replay.apply(events)
        tally.unknown[kind] += replay.unknown
        problems = replay.problems + state.differences(self.told, self.actual)
        tally.ours[kind] += bool(problems)
        assert not problems, f"after {kind}: {problems}; told: {brief(events)}"

    def check_auditlog(self, kind: str) -> None:
        entries = contender.entries(self.entry)
        tally.entries["written"] += len(entries)
        contender.apply(self.audited, entries)
        tally.auditlogs[kind] += bool(state.differences(self.audited, self.actual))
        self.audited = self.actual.copy()  # each miss counts once
        if entries:
            self.entry = entries[-1].pk
        if self.blocks:
            self.blocks[-1].logged += len(entries)

    def arrived(self) -> list[Event]:
        """Return the events that have left since last asked, having looked at their ids and numbers."""
        assert self.cast.worker.flush(timeout=10)
        assert not self.cast.complaints, self.cast.complaints[0].getMessage()
        events = list(self.cast.shelf.events)
        self.cast.shelf.events.clear()
        for event in events:
            self.cast.sequence += 1
            assert event.sequence == str(self.cast.sequence)
            assert event.id not in self.cast.ids
            self.cast.ids.add(event.id)
            tally.told[str(event.outcome)] += 1
        return events

    # Transactions

    def begin(self, savepoint: bool, lasts: int, ends: str) -> None:
        block = Block(transaction.atomic(savepoint=savepoint), self.actual.copy(), self.audited.copy(), lasts, ends)
        block.atomic.__enter__()
        self.blocks.append(block)

    def leave_blocks(self) -> None:
        """Leave the innermost block when it has lasted as long as it should."""
        if not self.blocks:
            return
        self.blocks[-1].left -= 1
        if self.blocks[-1].left <= 0:
            tally.performed[self.blocks[-1].ends] += 1
            if self.blocks[-1].ends == "commit":
                self.commit()
            else:
                self.roll_back(quietly=self.blocks[-1].ends == "set_rollback()")

    def commit(self) -> None:
        """Leave the innermost block. The outermost may be refused: then all of it was rolled back."""
        before = self.actual.copy()
        block = self.blocks.pop()
        try:
            block.atomic.__exit__(None, None, None)
        except DatabaseError:
            tally.failed["commit"] += 1
            tally.entries["rolledback"] += block.logged
            self.check_rolled_back(block, before)
        else:
            if self.blocks:
                self.blocks[-1].logged += block.logged
        self.check("commit")

    def roll_back(self, *, quietly: bool = False, broken: bool = False) -> None:
        """Leave the innermost block by an exception, or ``quietly``, and with it those that can't go on without it.

        The connection may be ``broken``: then nobody can tell what there was in the transaction.
        """
        before = None if broken else self.actual.copy()
        sorry: Any = (None, None, None) if quietly else (SorryError, SorryError(), None)
        while True:
            block = self.blocks.pop()
            tally.entries["rolledback"] += block.logged
            if quietly:
                transaction.set_rollback(True)
            block.atomic.__exit__(*sorry)
            sorry = (None, None, None)
            quietly = False
            if not (self.blocks and connection.needs_rollback):
                break
        self.check_rolled_back(block, before)
        self.check("rollback")

    def check_rolled_back(self, block: Block, before: State | None) -> None:
        """See that nothing of it was told as a fact, and that what is told of it is all there was."""
        told = self.arrived()
        facts = [event for event in told if self.blocks or event.outcome != "rolledback"]
        assert not facts, f"told as facts, or too early: {brief(facts)}"
        events = [event for event in (self.waiting() if self.blocks else told) if event.id not in self.taken_back]
        self.taken_back |= {event.id for event in events}
        replay = Replay(block.before)
        replay.apply(events)
        problems = replay.problems + (state.differences(block.before, before) if before else [])
        assert not problems, f"rolled back: {problems}; told: {brief(events)}"
        self.audited = block.audited

    def waiting(self) -> list[Event]:
        """Return what a savepoint has taken back, which leaves with the rest of its transaction."""
        held = [each for each in transactions.ledger(connections["default"]).held if each.what is not None]
        back = [each.what.complete() for each in held if each.fate.is_rolled_back]
        return on_the_wire([replace(event, outcome="rolledback") for event in back if event is not None])

    # Instances that are held

    def keep(self, instance: Model) -> Kept:
        kept = Kept(instance, self.clock)
        self.kept = [*self.kept, kept][-KEPT:]
        return kept

    def held(self, n: int, *models: Table) -> Kept | None:
        """Return one of the instances that are held, if there is one; fresh where the app's mode wants that."""
        fitting = [each for each in self.kept if not models or isinstance(each.instance, models)]
        if not fitting:
            return None
        return self.fresh(fitting[n % len(fitting)])

    def fresh(self, kept: Kept) -> Kept:
        if not self.cast.stale and self.is_stale(kept):
            with self.operation("refresh_from_db", kept):
                kept.instance.refresh_from_db()
        return kept

    def is_stale(self, kept: Kept) -> bool:
        """Tell whether somebody else has written its row since, and that wasn't rolled back."""
        keys = [(table, kept.instance.pk) for table in state.lineage(type(kept.instance))]
        return any(key in self.versions and self.seen[self.versions[key]] > kept.synced for key in keys)

    def notice_versions(self) -> None:
        self.clock += 1
        for version in self.versions.values():
            self.seen.setdefault(version, self.clock)

    # Rows

    def key(self, model: Table, n: int) -> Any:
        """Return the key of one of the rows there are; None if there is none."""
        keys = sorted(self.actual.rows[model._meta.concrete_model or model])
        return keys[n % len(keys)] if keys else None

    def keys(self, model: Table, numbers: list[int]) -> list[Any]:
        return sorted({self.key(model, n) for n in numbers} - {None})


def clear(app: str) -> None:
    """Empty the app's tables and auditlog's: far faster than the flush of a test case."""
    names = [table._meta.db_table for table in state.tables(app)] + [LogEntry._meta.db_table]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE")


def brief(events: list[Event]) -> list[Any]:
    return [(event.type.rpartition(".")[2], event.action, event.subject, event.outcome, event.data) for event in events]


def copied(instance: Any, how: str) -> Any:
    return copy.deepcopy(instance) if how == "deepcopy" else pickle.loads(pickle.dumps(instance))
