"""The relay in the process: started by the first commit, woken by each, and of no concern to a fork."""

import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from emitter import outlet, relay, relays
from emitter.event import Event
from emitter.models import Waiting
from emitter.worker import Worker
from tests.live import eventually
from tests.outbox.conftest import Service, stop_relays
from tests.outbox.test_transactions import create
from tests.sending.service import an_event

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Events = Callable[[], list[Event]]


@pytest.fixture(autouse=True)
def _thread(settings: Any, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.HELIOGRAPH_RELAY = "thread"
    monkeypatch.setattr(outlet, "make_transport", lambda: service)


def test_a_commit_starts_it_and_another_wakes_it(using: str, service: Service) -> None:
    with transaction.atomic(using=using):
        create(using, "one")
        assert relays.threads._relays == {}

    eventually(lambda: len(service.events) == 1)
    (thread,) = [thread for _, thread in relays.threads._relays.values()]
    with transaction.atomic(using=using):
        create(using, "two")

    eventually(lambda: len(service.events) == 2)
    assert [thread for _, thread in relays.threads._relays.values()] == [thread]
    eventually(lambda: not Waiting.objects.using(using).exists())


def test_a_rollback_starts_nothing(using: str) -> None:
    with pytest.raises(LookupError), transaction.atomic(using=using):
        create(using, "gone")
        raise LookupError

    assert relays.threads._relays == {}


def test_with_a_command_to_relay_the_process_starts_nothing(using: str, settings: Any) -> None:
    settings.HELIOGRAPH_RELAY = "command"

    create(using, "one")

    assert relays.threads._relays == {}


def test_flush_sends_what_is_in_the_outbox(using: str, service: Service, settings: Any) -> None:
    settings.HELIOGRAPH_INTERVAL = 60
    create(using, "one")

    assert outlet.flush(10)

    assert len(service.events) == 1


def test_an_exit_sends_what_it_has_time_for(using: str, service: Service, settings: Any) -> None:
    settings.HELIOGRAPH_INTERVAL = 60
    create(using, "one")

    stop_relays()

    assert len(service.events) == 1
    assert not Waiting.objects.using(using).exists()


def test_worker_and_relays_share_the_seconds_of_an_exit(
    using: str, settings: Any, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HELIOGRAPH_SHUTDOWN_TIMEOUT = 1.0
    is_over, hanging = threading.Event(), threading.Semaphore(0)

    def hang(_: Any) -> None:
        hanging.release()
        is_over.wait(30)

    def seconds_of_an_exit(*, with_relay: bool) -> float:
        monkeypatch.setattr(outlet, "_worker", Worker(service, interval=60, batch_size=1))
        outlet.worker().put(an_event())
        assert hanging.acquire(timeout=10)
        if with_relay:
            create(using, "one")
            assert hanging.acquire(timeout=10)
        begun = time.monotonic()
        outlet.close()
        return time.monotonic() - begun

    service.before = hang
    try:
        alone = seconds_of_an_exit(with_relay=False)
        assert seconds_of_an_exit(with_relay=True) < 1.6 * alone
    finally:
        is_over.set()


def test_a_fork_python_was_not_told_of_has_a_relay_of_its_own(
    using: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(using, "one")
    assert outlet.flush(10)
    ((_, parents),) = relays.threads._relays.values()

    monkeypatch.setattr("emitter.forks.pid", os.getpid() - 1)
    create(using, "two")

    ((_, ours),) = relays.threads._relays.values()
    assert ours is not parents
    eventually(lambda: len(service.events) == 2)
    for each, _ in relays.threads._inherited.pop().values():  # type: ignore[attr-defined]
        each.stop()
    parents.join(10)


def test_its_connection_is_closed_while_nothing_happens(
    using: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "IDLE", 0.01)
    closed: list[bool] = []
    original = relay.leases.own

    def own(using: str) -> Any:
        made = original(using)
        close = made.close
        made.close = lambda: (close(), closed.append(True))  # type: ignore[method-assign]
        return made

    monkeypatch.setattr(relay.leases, "own", own)
    create(using, "one")
    eventually(lambda: closed)
    create(using, "two")

    eventually(lambda: len(service.events) == 2)


def test_a_forked_child_has_a_relay_of_its_own(using: str, service: Service) -> None:
    create(using, "one")
    assert outlet.flush(10)  # and now the parent's waits to be woken
    connections.close_all()

    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert relays.threads._relays == {}
            create(using, "two")
            eventually(lambda: len(service.events) == 2)
            stop_relays()
            code = 0
        except Exception:  # noqa: BLE001  # the child must end here
            traceback.print_exc()
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    create(using, "three")
    eventually(lambda: len(service.events) == 2)


def test_its_own_connection_is_none_of_the_projects(using: str) -> None:
    """Serializable by the project's settings, its transactions could fail for the relay's."""
    project = connections[using]
    with relay.leases.connected(using) as mine:
        assert connections[using] is mine is not project
        assert mine.settings_dict["NAME"] == project.settings_dict["NAME"]

    assert connections[using] is project
    assert mine.connection is None


def test_where_no_thread_is_to_be_had_the_row_waits_for_another_process(
    using: str, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    settings.HELIOGRAPH_FAIL_CLOSED = ["store.Item"]
    monkeypatch.setattr("threading.Thread.start", fail)

    create(using, "one")
    with transaction.atomic(using=using):
        create(using, "two")

    assert Waiting.objects.using(using).count() == 2
    assert "can't start new thread" in caplog.text
