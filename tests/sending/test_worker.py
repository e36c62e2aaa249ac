"""The queue and its thread: what leaves when, what is lost and told, forks and the end."""

import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
import weakref
from pathlib import Path

import pytest

from emitter.complaints import QUIET
from emitter.event import Limits, Refusal, encode_batch, uuid7
from emitter.exceptions import PermanentError, TemporaryError
from emitter.transport import HttpTransport
from emitter.worker import REASONS, Worker
from tests.sending.cast import NEVER, PATIENCE, Policy, an_event, put, taken

NOTHING_LOST = dict.fromkeys(REASONS, 0)

forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def make(service):
    """Return a function that makes workers which send only full batches, unless told otherwise."""
    made = []

    def make(**settings):
        made.append(Worker(**{"transport": service, "interval": NEVER, "retry": Policy(), **settings}))
        return made[-1]

    yield make
    service.open.set()
    for worker in made:
        worker.close(PATIENCE)
    for thread in threads():  # one that close() did not wait for
        thread.join(PATIENCE)


@pytest.fixture
def log(caplog):
    """Return a function giving the messages of a level."""
    caplog.set_level(logging.INFO, logger="heliograph")
    return lambda level: [record.getMessage() for record in caplog.records if record.levelname == level]


@pytest.fixture
def no_thread_starts(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "heliograph"]


def in_time(function, *arguments):
    """Call a function which might hang for ever; an alarm ends the test then."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("It hangs."))
    signal.alarm(int(PATIENCE))
    try:
        return function(*arguments)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# What leaves when


def test_the_thread_starts_with_the_first_event(make):
    worker = make()
    before = threads()

    put(worker, 2)

    assert before == []
    (thread,) = threads()
    assert thread.daemon


def test_a_full_batch_leaves_at_once_and_a_partial_one_waits(make, service):
    worker = make(batch_size=3)

    put(worker, 2)
    put(worker, 2)
    service.wait_for_call()

    assert service.batches == [[1, 2, 3]]


def test_a_full_batch_wakes_the_thread(make, service):
    worker = make(batch_size=2)

    for _ in range(200):  # most of these find it waiting
        put(worker, 2)
        service.wait_for_call()

    assert len(service.batches) == 200


def test_a_partial_batch_leaves_after_the_interval(make, service):
    worker = make(interval=0.01)

    put(worker, 1)
    service.wait_for_call()

    assert service.batches == [[1]]


def test_the_interval_goes_on_after_an_idle_one(make, service):
    worker = make(interval=0.001)

    for _ in range(20):
        put(worker, 1)
        service.wait_for_call()

    assert service.sequences == list(range(1, 21))


def test_a_long_queue_leaves_in_batches(make, service):
    worker = make(batch_size=4)
    service.open.clear()
    put(worker, 4)
    service.wait_for_call()

    put(worker, 10)
    service.open.set()

    assert worker.flush(PATIENCE)
    assert service.batches == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14]]


def test_events_carry_the_emitter_and_its_numbers(make):
    one, other = make(), make()
    events = [an_event() for _ in range(3)]

    for event in events:
        one.put(event)

    assert [event.sequence for event in events] == ["1", "2", "3"]
    assert {event.emitterid for event in events} == {one.emitter_id}
    assert one.emitter_id.version == 7
    assert one.emitter_id != other.emitter_id


def test_many_threads_draw_every_number_once_and_in_order(make, service):
    worker = make(batch_size=50)
    writers = [threading.Thread(target=put, args=(worker, 1_000)) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert worker.flush(PATIENCE)
    assert service.sequences == list(range(1, 8_001))
    assert worker.counts == NOTHING_LOST


def test_an_event_can_be_put_by_what_interrupts_putting(make, service):
    worker = make(batch_size=1)

    with worker._stock.lock:
        assert in_time(put, worker, 1) == [True]

    service.wait_for_call()


# What is lost, and what is told of it


def test_a_full_queue_drops_what_is_oldest_and_the_numbers_show_it(make, service):
    worker = make(batch_size=2, queue_size=5)
    service.open.clear()
    put(worker, 2)
    service.wait_for_call()

    kept = put(worker, 8)
    service.open.set()

    assert kept == [True] * 8
    assert worker.flush(PATIENCE)
    put(worker, 1)
    assert worker.flush(PATIENCE)
    assert service.sequences == [1, 2, 6, 7, 8, 9, 10, 11]
    assert worker.counts == {**NOTHING_LOST, "queue_full": 3}


def test_drops_are_told_by_the_thread_once(make, service, log):
    worker = make(batch_size=1, queue_size=1)
    service.open.clear()
    put(worker, 1)
    service.wait_for_call()

    put(worker, 5)
    told_by_put = log("WARNING")
    service.open.set()
    worker.close(PATIENCE)

    assert told_by_put == []
    assert log("WARNING") == ["The queue was full: 4 events dropped until now"]


def test_drops_are_told_during_an_outage(make, service, log):
    worker = make(batch_size=1, queue_size=1)
    told = threading.Event()
    service.answers = [TemporaryError("away"), lambda events: told.wait(PATIENCE) and taken(events)]
    service.open.clear()
    put(worker, 4)
    service.wait_for_call()
    put(worker, 4)
    service.open.set()
    service.wait_for_call()

    messages = log("WARNING")
    told.set()

    assert messages[0] == "Events wait for the service: away"
    assert messages[1].startswith("The queue was full")


def test_drops_are_not_told_again_without_new_ones(make, service, clock, log):
    worker = make(batch_size=1, queue_size=1, clock=clock)
    service.open.clear()
    put(worker, 1)
    service.wait_for_call()
    put(worker, 2)
    service.open.set()
    assert worker.flush(PATIENCE)

    clock.now += QUIET + 1
    put(worker, 1)
    worker.close(PATIENCE)

    assert log("WARNING") == ["The queue was full: 1 events dropped until now"]


def test_a_temporary_error_is_tried_again_as_the_policy_says(make, service):
    policy = Policy()
    worker = make(batch_size=2, retry=policy)
    service.answers = [TemporaryError("away"), TemporaryError("busy", retry_after=7), TemporaryError("away")]

    put(worker, 2)

    assert worker.flush(PATIENCE)
    assert service.batches == [[1, 2]] * 4
    assert policy.asked == [(0, None), (1, 7), (2, None)]
    assert worker.counts == NOTHING_LOST


def test_the_policy_begins_anew_with_each_batch(make, service):
    policy = Policy()
    worker = make(batch_size=1, retry=policy)
    service.answers = [TemporaryError("away"), taken, TemporaryError("away")]

    put(worker, 2)

    assert worker.flush(PATIENCE)
    assert policy.asked == [(0, None), (0, None)]


def test_the_queue_fills_while_the_worker_waits_to_try_again(make, service):
    worker = make(batch_size=2, queue_size=4, retry=Policy(NEVER))
    service.answers = [TemporaryError("away")]
    put(worker, 2)
    service.wait_for_call()

    assert put(worker, 5) == [True] * 5
    assert worker.counts == {**NOTHING_LOST, "queue_full": 1}
    assert service.batches == [[1, 2]]


def test_a_permanent_error_costs_the_batch_and_no_other(make, service, log):
    worker = make(batch_size=2)
    service.answers = [PermanentError("answered 401", status=401)]

    put(worker, 4)

    assert worker.flush(PATIENCE)
    assert service.batches == [[1, 2], [3, 4]]
    assert worker.counts == {**NOTHING_LOST, "failed_permanently": 2}
    assert log("WARNING") == ["2 events are lost: answered 401"]


def test_items_refused_and_unencodable_are_counted_and_told(make, service, log):
    worker = make(batch_size=9)
    errors = (Refusal(code="too_old"), Refusal(code="too_large"), Refusal(code="too_old"))
    service.answers = [lambda events: taken(events, rejected=3, errors=errors, unencodable=2)]

    put(worker, 9)

    assert worker.flush(PATIENCE)
    assert worker.counts == {**NOTHING_LOST, "refused": 2, "too_large": 1, "unencodable": 2}
    assert log("WARNING") == [
        "The service refused 3 events: too_large, too_old",
        "2 events can't be written as JSON",
    ]


def test_a_fault_costs_the_batch_but_not_the_thread(make, service, log, caplog):
    worker = make(batch_size=2)
    service.answers = [ZeroDivisionError("a fault")]

    put(worker, 2)
    assert worker.flush(PATIENCE)
    before = threads()
    put(worker, 2)

    assert worker.flush(PATIENCE)
    assert threads() == before
    assert service.batches == [[1, 2], [3, 4]]
    assert worker.counts == {**NOTHING_LOST, "failed_permanently": 2}
    assert log("WARNING") == ["2 events are lost to a fault in the emitter"]
    assert "ZeroDivisionError: a fault" in caplog.text


def test_should_the_thread_end_the_next_event_starts_another(make, service, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    worker = make(batch_size=1)
    service.answers = [SystemExit()]

    put(worker, 1)
    (thread,) = threads()
    assert worker.flush(PATIENCE)
    thread.join(PATIENCE)
    put(worker, 1)

    assert worker.flush(PATIENCE)
    assert service.batches == [[1], [2]]
    assert worker.counts == {**NOTHING_LOST, "failed_permanently": 1}


def test_a_lasting_problem_is_told_once_a_minute_with_how_often_it_came(make, service, clock, log):
    worker = make(batch_size=1, clock=clock)

    def fail(seconds):
        clock.now += seconds
        service.answers = [PermanentError("answered 401", status=401)]
        put(worker, 1)
        assert worker.flush(PATIENCE)

    for seconds in (0, 1, QUIET - 2, 1, 1):
        fail(seconds)

    first = "1 events are lost: answered 401"
    assert log("WARNING") == [first, f"{first} (2 more such since the last warning)"]


def test_one_problem_does_not_hide_another(make, service, clock, log):
    worker = make(batch_size=1, clock=clock)
    service.answers = [PermanentError("answered 401", status=401), TemporaryError("away"), ValueError()]

    put(worker, 2)

    assert worker.flush(PATIENCE)
    assert len(log("WARNING")) == 3


def test_that_events_arrive_again_is_told_once(make, service, clock, log):
    worker = make(batch_size=1, clock=clock)
    service.answers = [TemporaryError("away"), TemporaryError("away"), taken, taken, TemporaryError("away"), taken]

    put(worker, 4)

    assert worker.flush(PATIENCE)
    assert log("WARNING") == ["Events wait for the service: away"]
    assert log("INFO") == ["Events are arriving again."]


def test_a_log_handler_may_put_events(make, service):
    worker = make(batch_size=1)
    service.answers = [TemporaryError("away")]

    class Recorder(logging.Handler):
        def emit(self, record):
            put(worker, 1)
            worker.counts  # noqa: B018 - takes the lock

    logger, recorder = logging.getLogger("heliograph"), Recorder()
    logger.addHandler(recorder)
    put(worker, 1)
    flushed = worker.flush(PATIENCE)
    logger.removeHandler(recorder)

    assert flushed
    assert service.batches[:2] == [[1], [1]]


def test_a_service_that_is_away_costs_little_and_one_warning(make, log):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    policy = Policy()
    worker = make(transport=HttpTransport(url, "hg_secret"), batch_size=10, queue_size=100, retry=policy)
    events = [an_event() for _ in range(5_000)]

    begin = time.perf_counter()
    for event in events:
        worker.put(event)
    seconds = time.perf_counter() - begin
    worker.close(PATIENCE)

    assert seconds / len(events) < 0.000_2
    unreachable = [message for message in log("WARNING") if "refused" in message]
    assert len(unreachable) == 1
    assert "Events wait for the service: http://127.0.0.1" in unreachable[0]
    counts = worker.counts
    assert counts["queue_full"] + counts["shutdown"] == 5_000


# Flush


def test_flush_sends_what_waits(make, service):
    worker = make()
    put(worker, 3)

    assert worker.flush(PATIENCE)
    assert service.batches == [[1, 2, 3]]


def test_flush_of_nothing_is_done_at_once(make):
    worker = make()

    assert worker.flush(0)
    assert threads() == []


def test_flush_waits_for_the_batch_being_sent(make, service):
    worker = make(batch_size=1)
    service.open.clear()
    put(worker, 1)
    service.wait_for_call()

    assert not worker.flush(0.01)

    service.open.set()
    assert worker.flush(PATIENCE)


def test_flush_does_not_wait_for_what_is_put_later(make, service):
    worker = make()
    put(worker, 1)
    service.answers = [lambda events: put(worker, 1) and taken(events)]

    assert worker.flush(PATIENCE)
    assert service.batches == [[1]]


# The end


def test_close_sends_what_waits_and_ends_the_thread(make, service):
    worker = make(batch_size=2)
    put(worker, 5)

    worker.close(PATIENCE)

    assert service.batches == [[1, 2], [3, 4], [5]]
    assert threads() == []
    assert worker.counts == NOTHING_LOST


def test_close_of_a_worker_that_never_began(make, service, log):
    worker = make()

    worker.close(NEVER)

    assert (service.batches, threads(), log("WARNING")) == ([], [], [])
    assert worker.flush(0)


def test_a_closed_worker_counts_and_numbers_what_it_does_not_take(make, service):
    worker = make()
    put(worker, 1)
    worker.close(PATIENCE)
    event = an_event()

    assert not worker.put(event)
    assert event.sequence == "2"
    assert service.sequences == [1]
    assert worker.counts == {**NOTHING_LOST, "shutdown": 1}


def test_close_does_not_wait_longer_than_it_may(make, service, log):
    worker = make(batch_size=2, shutdown_timeout=0.05)
    service.open.clear()
    service.answers = [PermanentError("too late to count again", status=401)]
    put(worker, 7)
    service.wait_for_call()
    (thread,) = threads()

    in_time(worker.close)

    assert worker.counts == {**NOTHING_LOST, "shutdown": 7}
    assert log("WARNING") == ["Closed before all was sent: 7 events may be lost."]
    assert worker.flush(0)
    service.open.set()
    thread.join(PATIENCE)
    assert worker.counts == {**NOTHING_LOST, "shutdown": 7}
    assert service.batches == [[1, 2]]


def test_closing_twice_is_closing_once(make, service, log):
    worker = make(shutdown_timeout=0.05)
    service.open.clear()
    put(worker, 1)

    worker.close()
    worker.close(NEVER)

    assert worker.counts["shutdown"] == 1
    assert len(log("WARNING")) == 1


def test_close_ends_the_wait_for_another_try_and_tries_once_more(make, service):
    worker = make(batch_size=1, retry=Policy(NEVER))
    service.answers = [TemporaryError("away")]
    put(worker, 2)
    service.wait_for_call()

    in_time(worker.close, NEVER)

    assert service.batches == [[1], [1], [2]]
    assert worker.counts == NOTHING_LOST


def test_close_gives_each_batch_one_last_try(make, service, log):
    policy = Policy(NEVER)
    worker = make(batch_size=1, retry=policy)
    service.answers = [TemporaryError("away")] * 3
    put(worker, 3)
    service.wait_for_call()

    in_time(worker.close, NEVER)

    assert service.batches == [[1], [1], [2], [3]]
    assert worker.counts == {**NOTHING_LOST, "shutdown": 2}
    assert log("WARNING")[-1] == "Closed before all was sent: 2 events may be lost."


def test_a_try_at_the_end_has_the_seconds_that_are_left(make, service, clock):
    worker = make(batch_size=1, clock=clock, shutdown_timeout=5)
    service.open.clear()
    put(worker, 3)
    service.wait_for_call()
    service.answers = [lambda events: pass_time(2, events)] * 3

    def pass_time(seconds, events):
        closing.join(0)
        clock.now += seconds
        return taken(events)

    closing = threading.Thread(target=worker.close)
    closing.start()
    while worker._stock.deadline is None:  # until close() has begun
        os.sched_yield()
    service.open.set()
    closing.join(PATIENCE)

    assert service.timeouts == [None, 3, 1]


def test_without_a_thread_close_sends_by_itself(make, service, no_thread_starts):
    worker = make(batch_size=2)

    assert put(worker, 3) == [True] * 3
    worker.close(5)

    assert service.batches == [[1, 2], [3]]
    assert all(0 < timeout <= 5 for timeout in service.timeouts)
    assert worker.counts == NOTHING_LOST


def test_without_a_thread_close_is_bounded_too(make, service, clock, no_thread_starts):
    worker = make(batch_size=1, clock=clock)

    def hang(events):
        clock.now += 1.5
        raise TemporaryError("timed out")

    service.answers = [hang] * 9
    put(worker, 9)
    worker.close(2)

    assert service.timeouts == [2, 0.5]
    assert worker.counts == {**NOTHING_LOST, "shutdown": 9}


def test_a_thread_that_did_not_start_is_tried_again(make, service, monkeypatch):
    worker = make(batch_size=2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError()))
        put(worker, 1)

    put(worker, 1)
    service.wait_for_call()

    assert service.batches == [[1, 2]]


def test_a_service_that_accepts_and_never_answers_does_not_hold_up_the_end(make):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}", "hg_secret", timeout=5)
        worker = make(transport=transport, batch_size=1)
        put(worker, 3)

        begin = time.monotonic()
        worker.close(0.1)

        assert time.monotonic() - begin < 3
        assert worker.counts["shutdown"] == 3


@pytest.mark.parametrize("last_put", ["", "atexit.register(lambda: worker.put(event()))"])
def test_close_at_interpreter_exit(last_put):
    """The handler registered last runs first: the event put there may be the first one, when no thread starts."""
    script = f"""
        import atexit
        from emitter.event import Event, Limits, Result, stamp
        from emitter.worker import Worker

        class Printer:
            limits = Limits()

            def send(self, events, *, timeout=None):
                print("sent", *[event.sequence for event in events], flush=True)
                return Result(accepted=len(events), duplicates=0, rejected=0)
            def report(self, telemetry, *, timeout=None): pass
            def reset(self): pass

        def event():
            identity, time = stamp()
            return Event(id=identity, time=time, source="/s", type="t")

        worker = Worker(Printer(), interval=3600)
        atexit.register(worker.close, 10)
        {last_put or "worker.put(event()); worker.put(event())"}
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split() == (["sent", "1"] if last_put else ["sent", "1", "2"])


def test_a_closed_worker_nobody_holds_is_collected(make, service):
    worker = Worker(service, interval=NEVER)
    put(worker, 1)
    worker.close(PATIENCE)
    reference = weakref.ref(worker)

    del worker
    gc.collect()

    assert reference() is None


# Forks


def in_a_child(function):
    """Fork, and return what the function returned in the child, as JSON carries it."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(PATIENCE))  # a deadlock ends the child, and the read below with it
        try:
            os.write(writer, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "the child hung"
    return json.loads(answer)


@forks
def test_a_child_begins_empty_and_as_another_emitter(make, service):
    worker = make(batch_size=100, queue_size=5)
    put(worker, 7)

    def child():
        inherited = worker.counts
        put(worker, 3)
        flushed = worker.flush(PATIENCE)
        worker.close(PATIENCE)
        return [str(worker.emitter_id), inherited, service.sequences, flushed, service.resets]

    emitter_id, inherited, sequences, flushed, resets = in_a_child(child)

    assert emitter_id != str(worker.emitter_id)
    assert (inherited, sequences, flushed, resets) == (NOTHING_LOST, [1, 2, 3], True, 1)
    assert service.resets == 0
    assert worker.flush(PATIENCE)
    assert service.sequences == [3, 4, 5, 6, 7]
    assert worker.counts == {**NOTHING_LOST, "queue_full": 2}


@forks
def test_a_child_forked_while_another_thread_holds_the_lock_is_not_stuck(make):
    worker = make()
    held, release = threading.Event(), threading.Event()

    def hold():
        with worker._stock.lock:
            held.set()
            release.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(PATIENCE)
    answer = in_a_child(lambda: [put(worker, 1), worker.flush(PATIENCE)])
    release.set()
    thread.join()

    assert answer == [[True], True]


@forks
def test_a_child_of_a_hanging_parent_can_close(make, service):
    worker = make(batch_size=1)
    service.open.clear()
    put(worker, 3)
    service.wait_for_call()

    assert in_a_child(lambda: [worker.close(NEVER), worker.counts, len(threads())]) == [None, NOTHING_LOST, 0]


@pytest.mark.parametrize("first", [lambda worker: worker.flush(0), lambda worker: worker.close(0), lambda _: None])
def test_a_fork_python_was_not_told_of_is_noticed(make, service, no_thread_starts, first, monkeypatch):
    worker = make(batch_size=9)
    put(worker, 3)
    parent = worker.emitter_id
    monkeypatch.setattr("emitter.forks.pid", os.getpid() - 1)

    first(worker)
    event = an_event()
    worker.put(event)

    assert event.sequence == "1"
    assert event.emitterid == worker.emitter_id != parent
    assert service.resets == 1
    assert worker.counts["shutdown"] in {0, 1}  # never the parent's


class File:
    """A transport that appends to a file, which parents and children share."""

    limits = Limits()

    def __init__(self, path):
        self.path = path

    def send(self, events, *, timeout=None):
        with self.path.open("ab", buffering=0) as file:
            file.write(encode_batch(events) + b"\n")
        return taken(events)

    def report(self, telemetry, *, timeout=None):
        pass

    def reset(self):
        pass

    def read(self):
        return [event for line in self.path.read_text().splitlines() for event in json.loads(line)]


@forks
def test_forking_under_load_neither_hangs_nor_doubles_nor_loses(make, tmp_path: Path):
    file = File(tmp_path / "events")
    worker = make(transport=file, batch_size=20, queue_size=1_000_000, interval=0.001)
    stop = threading.Event()
    put_by_parent: list[int] = []

    def load():
        number = 0
        while not stop.is_set():
            number += sum(put(worker, 50))
            worker.flush(PATIENCE)
        put_by_parent.append(number)

    def child():
        writers = [threading.Thread(target=put, args=(worker, 100)) for _ in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        return [str(worker.emitter_id), worker.flush(PATIENCE), str(uuid7())]

    loaders = [threading.Thread(target=load) for _ in range(4)]
    for loader in loaders:
        loader.start()
    answers = [in_a_child(child) for _ in range(15)]
    stop.set()
    for loader in loaders:
        loader.join()
    assert worker.flush(PATIENCE)

    assert all(flushed for _, flushed, _ in answers)
    emitters = {str(worker.emitter_id), *(emitter for emitter, _, _ in answers)}
    assert len(emitters) == 16
    events = file.read()
    assert {event["emitterid"] for event in events} == emitters
    assert len(events) == sum(put_by_parent) + 15 * 300
    assert len({(event["emitterid"], event["sequence"]) for event in events}) == len(events)
    assert len({event["id"] for event in events}) == len(events)
    assert len({uuid.UUID(event["id"]).int & (1 << 62) - 1 for event in events}) == len(events)
