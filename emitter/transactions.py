"""Hold events until their transaction is decided, and tell which way it went.

Django tells of a commit and not of a rollback. So each connection that has events waiting gets some of its methods
wrapped, on the instance: where a savepoint is rolled back, what has come since it was made was rolled back. What waits
may be written into the transaction itself just before its commit, by `keep`. Knows nothing of signals.
"""

import weakref
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from emitter import frames
from emitter.complaints import complain
from emitter.exceptions import CaptureError

ATTRIBUTE = "heliograph"  # of a connection
LIMIT = 10_000  # of what waits for one transaction; what is over that is counted, and its memory spared

waiting: set[int] = set()  # which ledgers hold anything, of all threads; asked on the path of every loaded row

Decided = Callable[[Any, str], None]
Keep = Callable[[BaseDatabaseWrapper, "list[Held]"], Callable[[], None] | None]

# Called before a commit with what waits for it. Marks as kept what it has written into the transaction, which is told
# by that, and returns what to call after the commit. A CaptureError or DatabaseError of it passes to the project,
# instead of the commit.
keep: Keep | None = None


def nothing(what: Any, outcome: str) -> None:
    """Stand in where nothing waits but a fate."""


class Fate:
    """What became of a transaction, or of the part of it that something happened in: None while it is open."""

    __slots__ = ("outcome", "within")

    def __init__(self, within: tuple[str, ...] = ()) -> None:
        self.outcome: str | None = None
        self.within = within  # which savepoints: what is in the same is decided together

    @property
    def is_rolled_back(self) -> bool:
        return self.outcome == "rolledback"


class Held:
    """Something that waits for its fate. Django calls it after the commit, as one of its callbacks."""

    __slots__ = ("__weakref__", "decided", "fate", "is_held", "is_kept", "what")

    def __init__(self, what: Any, decided: Decided, within: tuple[str, ...] = ()) -> None:
        self.is_held = True
        self.is_kept = False  # written into the transaction, so that its commit has told it
        self.what = what
        self.decided = decided
        self.fate = Fate(within)

    def __call__(self) -> None:
        self.decide("committed")

    def decide(self, outcome: str) -> None:
        """Let it go with its outcome, or with the one that it has already: that of a savepoint."""
        if self.is_held:
            self.is_held = False
            self.fate.outcome = self.fate.outcome or outcome
            if self.is_kept and outcome == "committed":
                return
            try:
                self.decided(self.what, self.fate.outcome)
            except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
                complain("decide", "What was decided could not be told", error)


class Ledger:
    """What waits for one connection's transaction, in order."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.held: list[Held] = []
        self.latest: Fate | None = None  # that of the last thing which waits: whatever is read now shares it
        self.marked: tuple[tuple[str, ...], Fate] | None = None  # what isn't held shares it, within these savepoints
        self.savepoints: dict[str, int] = {}  # how many were held when each was made
        self.when_committed: Callable[[], None] | None = None  # what `keep` asked for
        self.connection = weakref.ref(connection)
        for name, before, after in (
            ("savepoint", None, self.after_savepoint),
            ("savepoint_commit", None, self.after_savepoint_commit),
            ("savepoint_rollback", None, self.after_savepoint_rollback),
            ("set_autocommit", self.before_set_autocommit, self.after_set_autocommit),
            ("commit", self.before_commit, self.after_commit),
            ("rollback", None, self.after_rollback),
            ("close", None, self.after_rollback),
            ("run_and_clear_commit_hooks", partial(quietly, self.after_commit), None),
        ):
            setattr(connection, name, followed(connection, name, before, after))
        connection.__dict__["on_commit"] = carrying(connection)

    def __del__(self) -> None:
        waiting.discard(id(self))

    def hold(self, what: Any, decided: Decided) -> Fate:
        """Call ``decided(what, outcome)`` once the transaction that is open now has an outcome."""
        held = Held(what, decided, tuple(self.savepoints))
        self.held.append(held)
        self.latest = held.fate
        waiting.add(id(self))
        connection = self.connection()
        if connection is not None and connection.in_atomic_block:
            # For TestCase.captureOnCommitCallbacks(), since no commit comes there; held already, should this fail.
            quietly(connection.on_commit, held, robust=True)
        return held.fate

    @property
    def is_full(self) -> bool:
        """Tell whether all room is taken, by what a test case's callbacks have let go of as little as possible."""
        if len(self.held) >= LIMIT and not self.savepoints:
            self.held = [each for each in self.held if each.is_held]
        return len(self.held) >= LIMIT

    def fate_of_now(self) -> Fate:
        """Return what becomes of what happens now and isn't held: one fate for each savepoint, not for each event."""
        connection = self.connection()
        within = tuple(connection.savepoint_ids) if connection is not None else ()
        if self.marked is None or self.marked[0] != within or self.marked[1].outcome is not None:
            self.marked = (within, self.hold(None, nothing))
        return self.marked[1]

    def before_commit(self, *_: Any) -> None:
        """Have what waits written into the transaction, by whoever keeps it."""
        connection = self.connection()
        if keep is None or not self.held or connection is None or connection.in_atomic_block:
            return
        if connection.connection is not None and not connection.needs_rollback:
            self.when_committed = keep(connection, self.held)

    def before_set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        if autocommit and has_implicit_commit(self.connection()):
            self.before_commit()

    def after_commit(self, *_: Any) -> None:
        """Let go of everything, in order, before other callbacks of the commit make new events."""
        connection = self.connection()
        if connection is not None and not connection.in_atomic_block:
            self.settle("committed")

    def after_savepoint(self, sid: str | None) -> None:
        if sid is not None:
            self.savepoints[sid] = len(self.held)

    def after_savepoint_commit(self, _: None, sid: str) -> None:
        self.savepoints.pop(sid, None)

    def after_savepoint_rollback(self, _: None, sid: str) -> None:
        """Decide what became of what has come since. It leaves with the rest, in order."""
        for each in self.held[self.savepoints.get(sid, 0) :]:  # a savepoint from before the first event: it has all
            each.fate.outcome = each.fate.outcome or "rolledback"
        self.latest = next((each.fate for each in reversed(self.held) if each.fate.outcome is None), None)

    def after_set_autocommit(self, _: None, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """Where switching it on is allowed in a transaction, as in SQLite and MySQL, it commits."""
        if autocommit:
            self.after_commit()

    def after_rollback(self, *_: Any) -> None:
        self.settle("rolledback")

    def settle(self, outcome: str) -> None:
        decided, self.held = self.held, []
        waiting.discard(id(self))
        self.savepoints.clear()
        self.latest = self.marked = None
        when_committed, self.when_committed = self.when_committed, None
        for each in decided:
            each.decide(outcome)
        if when_committed is not None and outcome == "committed":
            when_committed()


def is_open(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether what is done now may still be rolled back: in ``atomic()``, or with autocommit switched off."""
    return connection.in_atomic_block or (connection.connection is not None and not connection.autocommit)


def has_implicit_commit(connection: BaseDatabaseWrapper | None) -> bool:
    """Tell whether switching autocommit on commits what is open; Postgres refuses that."""
    return connection is not None and not connection.autocommit and connection.vendor != "postgresql"


def ledger(connection: BaseDatabaseWrapper) -> Ledger:
    found: Ledger | None = connection.__dict__.get(ATTRIBUTE)
    if found is None:
        found = connection.__dict__[ATTRIBUTE] = Ledger(connection)
    return found


def followed(
    connection: BaseDatabaseWrapper, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None
) -> Callable[..., Any]:
    """Return the connection's method ``name``, with ``before`` called first, and ``after`` when it has succeeded.

    ``before`` gets the arguments, ``after`` the result too.
    """
    original = present(connection, name)

    @wraps(getattr(connection, name))
    def method(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            heeded(before, *args, **kwargs)
        result = original()(*args, **kwargs)
        if after is not None:
            quietly(after, result, *args, **kwargs)
        return result

    return method


def heeded(call: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call what may refuse a commit, or find the transaction lost. A fault of ours does neither."""
    try:
        call(*args, **kwargs)
    except (CaptureError, DatabaseError):
        raise
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing else may pass it
        complain("transaction", "A transaction could not be told", error)


def quietly(call: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    try:
        call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
        complain("transaction", "A transaction's outcome could not be followed", error)


def present(connection: BaseDatabaseWrapper, name: str) -> Callable[[], Any]:
    """Return what gives the method ``name`` as it would be without us: the instance's own, or now that of its class."""
    own = connection.__dict__.get(name)
    reference = weakref.ref(connection)
    return lambda: own if own is not None else frames.bound(getattr(type(reference()), name), reference())


def carrying(connection: BaseDatabaseWrapper) -> Callable[..., Any]:
    """Return the connection's ``on_commit``, under which a callback has the cause of whoever registered it."""
    original = present(connection, "on_commit")

    @wraps(connection.on_commit)
    def on_commit(func: Callable[[], object], *args: Any, **kwargs: Any) -> Any:
        callback = func if isinstance(func, Held) or not callable(func) else frames.carried(func)
        return original()(callback, *args, **kwargs)

    return on_commit
