"""A worker with a spool: what goes to disk when, what comes back, and what the next process finds."""

import json
import logging
import os
import shutil
import threading
from collections import Counter

import pytest

from emitter.delivery import BREAKER
from emitter.event import Refusal
from emitter.exceptions import PermanentError, TemporaryError
from emitter.folders import requeue
from emitter.parking import ParkedFile
from emitter.worker import REASONS, About, Worker
from tests.sending.cast import NEVER, PATIENCE, FakeService, Policy, an_event, eventually, put, taken

NOTHING_LOST = dict.fromkeys(REASONS, 0)
AWAY = TemporaryError("away")


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def make(service, directory):
    made = []

    def make(**settings):
        defaults = {
            "transport": service, "interval": 0.01, "retry": Policy(0.001), "spool": directory, "telemetry_interval": 0,
        }  # fmt: skip
        made.append(Worker(**{**defaults, **settings}))
        return made[-1]

    yield make
    service.open.set()
    for worker in made:
        worker.close(PATIENCE)


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="heliograph")
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def folders(directory):
    return sorted(path for path in directory.iterdir() if path.is_dir())


def counters(folder):
    return json.loads((folder / "counters").read_text())["telemetry"]


def in_memory(worker):
    return worker._stock.telemetry().queued


def spooled(worker):
    return worker._stock.telemetry().spooled


# An outage


def test_without_an_outage_no_event_touches_the_disk(make, service, directory):
    worker = make(batch_size=2)

    put(worker, 5)

    assert worker.flush(PATIENCE)
    assert [path.name for folder in folders(directory) for path in folder.glob("*.events")] == []


def test_an_outage_moves_what_waits_to_disk_and_its_end_brings_it_back_in_order(make, service):
    service.always = AWAY
    worker = make(batch_size=10)

    put(worker, 1_000)
    eventually(lambda: spooled(worker) == 1_000)
    assert in_memory(worker) == 0
    service.always = None

    assert worker.flush(PATIENCE)
    assert service.arrived == list(range(1, 1_001))
    assert worker.counts == NOTHING_LOST


def test_a_busy_thread_leaves_the_disk_its_turn_and_loses_nothing(make, service):
    service.open.clear()
    worker = make(batch_size=10, queue_size=200)
    put(worker, 1)
    service.wait_for_call()

    put(worker, 5_000)
    service.open.set()

    assert worker.flush(PATIENCE)
    assert sorted(service.arrived) == list(range(1, 5_002))
    assert worker.counts == NOTHING_LOST


def test_many_times_the_queue_is_kept_while_the_service_hangs(make, service):
    service.open.clear()
    worker = make(batch_size=10, queue_size=100)

    for _ in range(200):
        put(worker, 50)
        eventually(lambda: worker._stock.backlog.length < 50)
    service.open.set()

    assert worker.flush(PATIENCE)
    assert sorted(service.arrived) == list(range(1, 10_001))
    assert worker.counts == NOTHING_LOST


def test_spooled_events_arrive_as_they_were_put(make, service):
    service.always = AWAY
    worker = make()
    event = an_event(kind="shop.signals.order_paid", data={"a": [1.0, 10**30, "\u2603\n"], "b": None})
    event.actor, event.subject = "auth.User/7", "shop.Order/42"

    worker.put(event)
    eventually(lambda: spooled(worker))
    service.always = None

    assert worker.flush(PATIENCE)
    (arrived,) = service.events
    assert bytes(arrived.data) == bytes(event.data)
    assert {name: getattr(arrived, name) for name in event.__struct_fields__ if name != "data"} == {
        name: getattr(event, name) for name in event.__struct_fields__ if name != "data"
    }


def test_flush_waits_for_what_is_on_disk(make, service):
    service.always = AWAY
    worker = make()
    put(worker, 3)
    eventually(lambda: spooled(worker) == 3)

    assert not worker.flush(0.05)
    service.always = None
    assert worker.flush(PATIENCE)


def test_an_open_circuit_is_probed_with_few_events_and_then_more(make, service):
    service.answers = [AWAY] * (BREAKER + 2)
    worker = make(batch_size=100)

    put(worker, 100)

    assert worker.flush(PATIENCE)
    sizes = [len(batch) for batch in service.batches]
    assert sizes[: BREAKER + 3] == [100] * BREAKER + [10] * 3
    assert sizes[BREAKER + 3 :] == [20, 40, 30]


# The end, and the next process


def test_what_an_exit_can_not_send_is_on_disk_for_the_next_process(make, service, log):
    service.always = AWAY
    worker = make(batch_size=2, interval=NEVER)
    put(worker, 9)
    worker.close(PATIENCE)
    assert worker.counts == NOTHING_LOST

    service.always = None
    service.events.clear()
    put(make(), 1)

    eventually(lambda: len(service.events) == 10)
    told = {(event.emitterid, event.sequence) for event in service.events}
    assert {(worker.emitter_id, str(number)) for number in range(1, 10)} < told
    assert not any("lost" in message for message in log())


def test_an_exit_while_the_service_hangs_keeps_all_within_its_time(make, service):
    service.open.clear()
    worker = make(batch_size=2)
    put(worker, 2)
    service.wait_for_call()
    put(worker, 1_000)

    worker.close(0.4)

    assert worker.counts == NOTHING_LOST
    other = FakeService()
    put(make(transport=other), 1)
    eventually(lambda: len(other.events) == 1_003)


def test_an_exit_with_nothing_left_leaves_nothing_behind(make, service, directory):
    worker = make(telemetry_interval=60)
    put(worker, 3)
    assert worker.flush(PATIENCE)

    worker.close(PATIENCE)

    assert list(directory.iterdir()) == []
    assert [(told.captured, told.ended) for told in service.reports] == [(3, True)]


def test_a_worker_that_captured_nothing_makes_no_directory(make, directory):
    make().close(PATIENCE)

    assert not directory.exists()


def test_files_are_for_their_user_alone(make, service, directory):
    service.always = AWAY
    worker = make()
    put(worker, 3)
    eventually(lambda: spooled(worker) == 3)

    modes = {path.stat().st_mode & 0o777 for path in directory.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (directory, *folders(directory))} == {0o700}


def test_a_living_process_keeps_its_folder(make, service):
    service.always = AWAY
    one = make()
    put(one, 5)
    eventually(lambda: spooled(one) == 5)
    other_service = FakeService()
    other = make(transport=other_service)

    put(other, 1)
    assert other.flush(PATIENCE)
    eventually(lambda: other._stock.spool.looks_in > 0)

    assert other_service.arrived == [1]
    service.always = None
    assert one.flush(PATIENCE)


# Bounds


def test_a_full_spool_drops_the_oldest_in_memory_and_says_why(make, service, log):
    service.always = AWAY
    worker = make(spool_bytes=20_000, queue_size=100)

    for _ in range(100):
        put(worker, 10)
        eventually(lambda: not worker._sender._spiller.is_due())
    worker.close(PATIENCE)

    counts, kept = worker.counts, spooled_by(worker)
    assert counts == {**NOTHING_LOST, "spool_full": 1_000 - kept}
    assert 50 < kept < 150
    assert any("is full: 20000 bytes" in message for message in log())


def spooled_by(worker):
    return sum(
        sum(json.loads((folder / "counters").read_text())["segments"].values())
        for folder in folders(worker._stock.spool.path)
    )


def test_a_spool_that_was_full_takes_more_when_it_was_drained(make, service):
    service.always = AWAY
    worker = make(spool_bytes=20_000, queue_size=100)
    for _ in range(100):
        put(worker, 10)
        eventually(lambda: not worker._sender._spiller.is_due())
    lost = worker.counts["spool_full"]
    assert lost
    service.always = None
    assert worker.flush(PATIENCE)

    service.always = AWAY
    put(worker, 60)
    eventually(lambda: spooled(worker) == 60)
    service.always = None

    assert worker.flush(PATIENCE)
    assert worker.counts == {**NOTHING_LOST, "spool_full": lost}
    assert len(service.events) == 1_060 - lost


# What goes wrong with the directory


def test_a_directory_that_can_not_be_is_told_and_events_wait_in_memory(make, service, directory, log):
    directory.write_text("a file")
    service.always = AWAY
    worker = make(queue_size=50)

    put(worker, 60)
    eventually(lambda: any("The spool can't be" in message for message in log()))  # looked through, or written to
    service.always = None

    assert worker.flush(PATIENCE)
    assert len(service.events) + worker.counts["queue_full"] == 60
    assert directory.read_text() == "a file"


def check_lost(worker, service):
    """Of twenty-five, what was on disk is lost, and counted; all others arrive."""
    assert worker.flush(PATIENCE)
    lost = worker.counts["spool_corrupt"]
    assert worker.counts == {**NOTHING_LOST, "spool_corrupt": lost}
    assert lost >= 10  # the others were being sent
    assert len(service.arrived) == 25 - lost


def test_a_folder_removed_while_running_costs_what_was_in_it(make, service, directory, log):
    service.always = AWAY
    worker = make()
    put(worker, 20)
    eventually(lambda: spooled(worker) == 20)

    with worker._stock.disk:
        shutil.rmtree(directory)
    put(worker, 5)
    eventually(lambda: worker.counts["spool_corrupt"])
    eventually(lambda: in_memory(worker) == 0)
    service.always = None

    check_lost(worker, service)
    assert any("events are lost" in message or "was removed" in message for message in log())


def test_a_file_removed_while_running_costs_what_was_in_it(make, service, directory):
    service.always = AWAY
    worker = make()
    put(worker, 20)
    eventually(lambda: spooled(worker) == 20)

    (file,) = directory.glob("*/*.events")
    file.unlink()
    put(worker, 5)
    eventually(lambda: worker._stock.backlog.length == 0)
    service.always = None

    check_lost(worker, service)


def test_what_is_not_the_emitters_is_let_alone_and_told(make, service, directory, log):
    directory.mkdir()
    (directory / "README").write_text("mine")
    (directory / "not-a-uuid").mkdir()
    worker = make()

    put(worker, 1)
    assert worker.flush(PATIENCE)
    eventually(lambda: worker._stock.spool.looks_in > 0)
    worker.close(PATIENCE)

    assert (directory / "README").read_text() == "mine"
    assert sum("is not the emitter's" in message for message in log()) == 1  # and not once a look


def test_a_damaged_record_costs_itself_and_is_counted_for_its_emitter(make, service, directory, log):
    service.always = AWAY
    dead = make(interval=NEVER)
    put(dead, 9)
    dead.close(PATIENCE)
    (file,) = directory.glob("*/*.events")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)

    service.always = None
    heir = make(telemetry_interval=60)
    put(heir, 1)
    told = eventually(lambda: [report for report in service.reports if report.emitterid == dead.emitter_id])

    eventually(lambda: len(service.events) == 9)
    assert [(report.captured, report.lost, report.ended) for report in told] == [(9, {"spool_corrupt": 1}, True)]
    assert heir.counts == NOTHING_LOST
    assert any("1 events are lost" in message and "is damaged" in message for message in log())


def test_counters_that_can_not_be_read_are_told_and_made_anew(make, service, directory, log):
    service.always = AWAY
    dead = make(interval=NEVER)
    put(dead, 9)
    dead.close(PATIENCE)
    (file,) = directory.glob("*/counters")
    file.write_bytes(b'{"telem')

    service.always = None
    put(make(telemetry_interval=60), 1)
    (told,) = eventually(lambda: [report for report in service.reports if report.emitterid == dead.emitter_id])

    assert (told.captured, told.spooled, told.ended) == (9, 0, True)
    assert any("can't be read" in message for message in log())


# Parked


def test_what_is_refused_is_parked_with_the_reason(make, service, directory):
    worker = make(batch_size=3, interval=NEVER)
    service.answers = [
        lambda events: taken(
            events,
            rejected=2,
            errors=(Refusal(index=1, code="too_old"), Refusal(id=str(events[2].id), code="too_large")),
        ),
        PermanentError("answered 401: no such key", status=401, detail="no such key"),
    ]

    put(worker, 6)

    assert worker.flush(PATIENCE)
    found = [
        (item.code, item.detail, item.status, json.loads(bytes(item.event))["sequence"]) for item in parked(directory)
    ]
    assert found == [
        ("too_old", "", None, "2"),
        ("too_large", "", None, "3"),
        *[("failed", "no such key", 401, number) for number in "456"],
    ]
    assert worker.counts == {**NOTHING_LOST, "refused": 1, "too_large": 1, "failed_permanently": 3}


def parked(directory):
    return ParkedFile(directory).read()


def test_what_is_parked_is_sent_again_only_when_asked_for(make, service, directory):
    service.answers = [PermanentError("answered 401", status=401)]
    worker = make(batch_size=3)
    put(worker, 3)
    assert worker.flush(PATIENCE)
    worker.close(PATIENCE)

    assert requeue(directory) == 3
    assert parked(directory) == []
    put(make(), 1)

    eventually(lambda: len(service.events) == 4)
    assert [(event.emitterid, event.sequence) for event in service.events if event.emitterid == worker.emitter_id] == [
        (worker.emitter_id, number) for number in "123"
    ]


def test_without_a_spool_the_last_parked_are_in_memory(make, service):
    worker = make(spool="", batch_size=1)
    service.answers = [PermanentError(f"answered 40{number}", status=400 + number) for number in range(30)]

    put(worker, 30)

    assert worker.flush(PATIENCE)
    assert len(worker.parked) == 20
    assert worker.parked[-1].status == 429


def test_a_spooled_event_is_parked_and_done(make, service, directory):
    service.always = AWAY
    worker = make()
    put(worker, 5)
    eventually(lambda: spooled(worker) == 5)
    service.always = None
    service.answers = [lambda events: taken(events, rejected=1, errors=(Refusal(index=0, code="too_old"),))]

    assert worker.flush(PATIENCE)
    worker.close(PATIENCE)

    assert [json.loads(bytes(item.event))["sequence"] for item in parked(directory)] == ["1"]
    assert worker.counts == {**NOTHING_LOST, "refused": 1}


# An event that the service fails on


def fails_on(*sequences):
    def answer(events):
        if any(event.sequence in sequences and event.emitterid == answer.emitter_id for event in events):
            raise TemporaryError("answered 500", status=500)
        return taken(events)

    answer.emitter_id = None
    return answer


@pytest.mark.parametrize("settings", [{}, {"spool": ""}])
def test_an_event_that_the_service_fails_on_is_parked_once_others_pass_it(make, service, directory, settings):
    service.always = fails_on("3")
    worker = make(**settings)
    service.always.emitter_id = worker.emitter_id
    put(worker, 3)
    eventually(lambda: worker._sender._delivery.is_stuck(worker._stock.hand))

    put(worker, 2)

    assert worker.flush(PATIENCE)
    assert sorted(service.arrived) == [1, 2, 4, 5]
    assert worker.counts == {**NOTHING_LOST, "failed_permanently": 1}
    kept = parked(directory) if worker._stock.spool else list(worker.parked)
    assert [(item.status, json.loads(bytes(item.event))["sequence"]) for item in kept] == [(500, "3")]


def test_an_orphan_that_the_service_fails_on_does_not_keep_ours_from_leaving(make, service, directory):
    service.always = AWAY
    dead = make(interval=NEVER)
    put(dead, 1)
    dead.close(PATIENCE)
    service.always = fails_on("1")
    service.always.emitter_id = dead.emitter_id
    worker = make(batch_size=1)

    put(worker, 3)

    assert worker.flush(PATIENCE)
    assert service.arrived == [1, 2, 3]

    def is_parked():
        worker._stock.spool._scan_at = 0
        put(worker, 1)
        return parked(directory)

    assert [item.status for item in eventually(is_parked)] == [500]


# Counters


def test_counters_are_kept_and_told_by_the_next(make, service, directory):
    worker = make(telemetry_interval=60)
    service.report_answers = [TemporaryError("no telemetry today")] * 9
    put(worker, 7)
    assert worker.flush(PATIENCE)
    worker.close(PATIENCE)
    (folder,) = folders(directory)
    assert (counters(folder)["captured"], counters(folder)["ended"]) == (7, True)

    service.report_answers = []
    service.reports.clear()
    put(make(telemetry_interval=60), 1)

    (told,) = eventually(lambda: [report for report in service.reports if report.emitterid == worker.emitter_id])
    assert (told.captured, told.queued, told.spooled, told.ended) == (7, 0, 0, True)
    eventually(lambda: not folder.exists())


def test_counters_without_a_numbered_event_are_kept_and_told_by_the_next(make, service, directory):
    unsent = {}
    worker = make(telemetry_interval=60, about=About(delivery="outbox", unsent=lambda: unsent))
    worker.start()
    unsent["outbox"] = 3
    (file,) = eventually(lambda: list(directory.glob("*/counters")))
    folder = file.parent
    assert counters(folder)["unsent"] == {"outbox": 3}

    service.report_answers = [TemporaryError("no telemetry today")] * 9
    worker.close(PATIENCE)
    assert (counters(folder)["unsent"], counters(folder)["ended"]) == ({"outbox": 3}, True)
    service.report_answers = []
    make(telemetry_interval=60).start()

    eventually(lambda: not folder.exists())
    assert (service.reports[-1].unsent, service.reports[-1].captured) == ({"outbox": 3}, 0)


def test_a_worker_that_saw_nothing_leaves_nothing(make, directory):
    worker = make(telemetry_interval=60)
    worker.start()
    worker.close(PATIENCE)

    assert not directory.exists() or not folders(directory)


def test_counters_stay_until_they_are_heard(make, service, directory):
    service.always = AWAY
    worker = make(telemetry_interval=60)
    put(worker, 3)
    worker.close(PATIENCE)
    (folder,) = folders(directory)

    service.always = None
    service.report_answers = [TemporaryError("no telemetry today")] * 9
    second = make(telemetry_interval=60)
    put(second, 1)
    eventually(lambda: len(service.events) == 4)
    eventually(lambda: service.reports)
    second.close(PATIENCE)

    assert counters(folder)["ended"]
    assert not list(folder.glob("*.events"))


def test_telemetry_is_told_by_the_thread_while_there_is_news(make, service):
    worker = make(spool="", telemetry_interval=0.02)
    put(worker, 3)
    assert worker.flush(PATIENCE)

    eventually(lambda: [report for report in service.reports if report.captured == 3 and not report.queued])
    number = len(service.reports)
    put(worker, 1)
    eventually(lambda: service.reports[-1].captured == 4)

    assert service.reports[0].emitterid == worker.emitter_id
    assert number <= 2
    assert len(service.reports) <= number + 2


def test_telemetry_that_fails_delays_no_event(make, service):
    worker = make(spool="", telemetry_interval=0.001)
    service.report_answers = [TemporaryError("away"), PermanentError("404", status=404), ZeroDivisionError()] * 50

    for _ in range(50):
        put(worker, 1)
        assert worker.flush(PATIENCE)

    assert service.arrived == list(range(1, 51))
    assert worker.counts == NOTHING_LOST


# Forks


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_has_a_folder_of_its_own_and_its_end_leaves_the_parents_alone(make, service, directory):
    service.always = AWAY
    worker = make()
    put(worker, 5)
    eventually(lambda: spooled(worker) == 5)
    disk = threading.Thread(
        target=hold, args=(worker._stock.disk, held := threading.Event(), release := threading.Event())
    )
    disk.start()
    held.wait(PATIENCE)
    child = os.fork()
    if not child:
        code = 1
        try:
            put(worker, 3)
            eventually(lambda: spooled(worker) == 3)
            worker.close(PATIENCE)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    release.set()
    disk.join()

    assert len(folders(directory)) == 2
    assert worker._stock.spool.mine.is_there
    put(worker, 2)
    service.always = None
    assert worker.flush(PATIENCE)
    worker._stock.spool._scan_at = 0  # now, and not in some seconds
    eventually(lambda: len(service.events) == 10)
    told = Counter(event.emitterid for event in service.events)
    assert sorted(told.values()) == [3, 7]


def hold(lock, held, release):
    with lock:
        held.set()
        release.wait(PATIENCE)
