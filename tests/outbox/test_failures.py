"""An outbox that can't be written to costs the project nothing but its promise, unless it asked for more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connections, transaction
from django.test import override_settings

from emitter import outbox, pipeline
from emitter.event import Event
from emitter.exceptions import CaptureError
from tests.outbox import ask
from tests.outbox.store.models import Item
from tests.outbox.store.signals import sold
from tests.outbox.test_transactions import create, told

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Events = Callable[[], list[Event]]


@contextmanager
def without_table(using: str) -> Iterator[None]:
    call_command("migrate", "heliograph", "zero", database=using, verbosity=0)
    try:
        yield
    finally:
        call_command("migrate", "heliograph", database=using, verbosity=0)


@contextmanager
def interrupted(using: str, call: Callable[[Any, str, Any, Any, Any], Any]) -> Iterator[None]:
    """Have ``call`` come between the project and its statements that are about the outbox."""

    def wrapper(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        if outbox.TABLE in sql:
            return call(execute, sql, params, many, context)
        return execute(sql, params, many, context)

    with connections[using].execute_wrapper(wrapper):
        yield


def refuse(*_: Any) -> Any:
    raise DatabaseError("refused")


def broken(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
    return execute(sql.replace("(event)", "(no_such_column)"), params, many, context)


def test_without_the_table_the_commit_goes_through_and_events_leave_from_memory(
    using: str, memory: Events, caplog: pytest.LogCaptureFixture
) -> None:
    with without_table(using):
        with transaction.atomic(using=using):
            create(using, "one")
        create(using, "two")
        with transaction.atomic(using=using):
            create(using, "three")

        assert Item.objects.using(using).count() == 3
        assert told(memory()) == [("one", "committed"), ("two", "autocommit"), ("three", "committed")]
        assert outbox.counts["outbox_failed"] == 3
        assert [record.message for record in caplog.records] == [
            "Events could not be written into the outbox, and leave from memory"
        ]


@pytest.mark.parametrize("fault", [refuse, broken])
def test_a_failed_insert_takes_nothing_of_the_project_along(
    using: str, memory: Events, waiting: Events, fault: Callable[..., Any]
) -> None:
    with interrupted(using, fault), transaction.atomic(using=using):
        create(using, "one")

    assert Item.objects.using(using).count() == 1
    assert told(memory()) == [("one", "committed")]
    assert waiting() == []


def test_the_connection_is_fit_for_the_next_transaction(using: str, waiting: Events) -> None:
    with interrupted(using, broken), transaction.atomic(using=using):
        create(using, "one")
    with transaction.atomic(using=using):
        create(using, "two")

    assert told(waiting()) == [("two", "committed")]


def test_callbacks_of_the_project_run_all_the_same(using: str) -> None:
    ran: list[str] = []

    with interrupted(using, broken), transaction.atomic(using=using):
        create(using, "one")
        transaction.on_commit(lambda: ran.append("mine"), using=using)

    assert ran == ["mine"]


@pytest.mark.parametrize("fault", [refuse, broken])
def test_a_model_that_must_not_go_unheard_is_rolled_back(
    using: str, memory: Events, waiting: Events, fault: Callable[..., Any]
) -> None:
    ran: list[str] = []

    with (
        override_settings(HELIOGRAPH_FAIL_CLOSED=["store.Item"]),
        interrupted(using, fault),
        pytest.raises(CaptureError, match="outbox"),
        transaction.atomic(using=using),
    ):
        transaction.on_commit(lambda: ran.append("mine"), using=using)
        create(using, "gone")

    assert not Item.objects.using(using).exists()
    assert (ran, waiting()) == ([], [])
    assert told(memory()) == [("gone", "rolledback")]
    with transaction.atomic(using=using):
        create(using, "next")
    assert told(waiting()) == [("next", "committed")]


def test_what_was_taken_back_anyway_refuses_nothing(using: str) -> None:
    with (
        override_settings(HELIOGRAPH_FAIL_CLOSED=["store.Item"]),
        interrupted(using, refuse),
        transaction.atomic(using=using),
    ):
        with pytest.raises(LookupError), transaction.atomic(using=using):
            create(using, "gone")
            raise LookupError
        sold.send(None, using=using)


def test_without_a_transaction_the_project_is_told_that_it_went_unheard(using: str, memory: Events) -> None:
    with (
        override_settings(HELIOGRAPH_FAIL_CLOSED=["store.Item"]),
        interrupted(using, refuse),
        pytest.raises(CaptureError),
    ):
        create(using, "written")

    assert Item.objects.using(using).exists()
    assert told(memory()) == [("written", "autocommit")]


def test_a_transaction_in_error_is_rolled_back_by_its_commit_and_told_so(memory: Events, waiting_here: Events) -> None:
    """Postgres makes a ROLLBACK of a COMMIT then, and Django doesn't notice."""
    with transaction.atomic():
        create("default", "gone")
        with pytest.raises(DatabaseError), connections["default"].cursor() as cursor:
            cursor.execute("SELECT no_such_column")

    assert not Item.objects.exists()
    assert waiting_here() == []
    assert told(memory()) == [("gone", "rolledback")]


@pytest.fixture
def waiting_here() -> Events:
    return lambda: ask.events("default")


def test_a_read_only_transaction_stays_one(memory: Events) -> None:
    with transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        sold.send(None)

    assert [event.outcome for event in memory()] == ["committed"]


def test_a_deadlock_that_has_ended_the_transaction_is_not_passed_over(using: str, memory: Events) -> None:
    if connections[using].vendor != "mysql":
        pytest.skip("only there a failed statement ends the whole transaction")

    def deadlock(execute: Any, *_: Any) -> Any:
        connections[using].connection.rollback()
        raise OperationalError(outbox.DEADLOCK, "Deadlock found when trying to get lock; try restarting transaction")

    with pytest.raises(OperationalError), interrupted(using, deadlock), transaction.atomic(using=using):
        create(using, "gone")

    assert told(memory()) == [("gone", "rolledback")]


def test_sqlite_ending_the_transaction_is_not_passed_over(memory: Events) -> None:
    def full(execute: Any, *_: Any) -> Any:
        connections["sqlite"].connection.rollback()
        raise OperationalError("database or disk is full")

    with pytest.raises(OperationalError), interrupted("sqlite", full), transaction.atomic(using="sqlite"):
        create("sqlite", "gone")

    assert told(memory()) == [("gone", "rolledback")]


def test_the_connection_lost_before_the_commit_is_a_rollback(memory: Events) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        create("default", "gone")
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        kill("default", pid)

    assert not Item.objects.exists()
    assert told(memory()) == [("gone", "rolledback")]


def kill(using: str, pid: int) -> None:
    from emitter import leases

    with leases.connected(using) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])


def test_one_event_that_cannot_be_written_holds_up_no_other(
    using: str, waiting: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pipeline.unnumbered

    def unnumbered(what: Any) -> Event | None:
        event = original(what)
        if event is not None and b"bad" in bytes(event.data):
            raise ZeroDivisionError
        return event

    monkeypatch.setattr(pipeline, "unnumbered", unnumbered)

    with transaction.atomic(using=using):
        create(using, "one")
        create(using, "bad")
        create(using, "two")

    assert told(waiting()) == [("one", "committed"), ("two", "committed")]


def test_a_second_try_of_a_commit_stores_nothing_that_is_not_there(using: str, waiting: Events) -> None:
    """SQLite keeps a transaction whose commit has failed; the same event twice is one to the service."""
    connection = connections[using]
    transaction.set_autocommit(False, using=using)
    try:
        create(using, "one")
        original, connection._commit = connection._commit, refuse
        with pytest.raises(DatabaseError):
            connection.commit()
        connection._commit = original
        connection.commit()
    finally:
        connection.__dict__.pop("_commit", None)
        transaction.rollback(using=using)
        transaction.set_autocommit(True, using=using)

    assert set(told(waiting())) == {("one", "committed")}
    assert len({event.id for event in waiting()}) == 1
