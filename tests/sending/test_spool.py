"""The spool's files: what comes out of them whatever was done to them, whose they are, and how they end."""

import os
import uuid
from collections import Counter

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emitter import filelock, records, segments
from emitter.complaints import Complaints
from emitter.event import Telemetry, encode, uuid7
from emitter.parking import ParkedFile, parked
from emitter.spool import Spool
from tests.sending.cast import an_event

MUCH = 10**9


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def make(directory):
    made = []

    def make(limit=MUCH, emitter_id=None):
        made.append(Spool(directory, limit, emitter_id=emitter_id or uuid7(), complaints=Complaints()))
        return made[-1]

    yield make
    for spool in made:
        spool.close(remove=False)


@pytest.fixture
def adopt():
    """Return a function that has a spool take over an orphan."""
    adopted = []

    def adopt(spool):
        folder = spool.orphan()
        if folder is not None:
            adopted.append(folder)
        return folder

    yield adopt
    for folder in adopted:
        folder.close()


def events(*numbers):
    return [an_event(number, data={"number": number}) for number in numbers]


def telemetry(emitter_id, captured):
    return Telemetry(
        emitterid=emitter_id, source="/s", started="t", time="t", versions={}, host="h", pid=1, delivery="memory",
        captured=captured,
    )  # fmt: skip


def drained(spool, folder, step=7):
    """Return the numbers of the events that come out, and how many are told to be damaged."""
    found, corrupt = [], 0
    while True:
        read = spool.read(folder, step, MUCH)
        corrupt += spool.advance(folder)
        if not read:
            return found, corrupt
        found.extend(int(event.sequence) for event in read)


# Records


@given(payloads=st.lists(st.text().map(str.encode), max_size=8), junk=st.binary(max_size=30))
def test_records_come_out_whatever_stands_before_and_behind_them(payloads, junk):
    data = b"".join(records.framed(number, payload) for number, payload in enumerate(payloads))

    found = list(records.intact(junk + data + junk))

    assert [(record.number, record.payload) for record in found] == list(enumerate(payloads))


def test_a_record_that_is_torn_anywhere_is_one_and_other_bytes_are_none():
    whole = records.framed(0, b"whole")
    next_one = records.framed(1, b"torn")

    assert [records.has_torn(whole + next_one[:size], len(whole)) for size in range(1, len(next_one))] == [True] * (
        len(next_one) - 1
    )
    assert not any(records.has_torn(whole + junk, len(whole)) for junk in (b"", b"\0", b"junk", b"\xff\xff"))


@given(junk=st.sampled_from([b"\0", b"junk behind all of it", b"}"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_no_record_at_the_end_of_a_file_is_no_lost_event(tmp_path, junk):
    directory = tmp_path / uuid.uuid4().hex
    dead = Spool(directory, MUCH, emitter_id=uuid7(), complaints=Complaints())
    dead.keep(events(1, 2, 3))
    dead.save(telemetry(dead._emitter_id, 3))
    dead.close(remove=False)
    (path,) = directory.glob("*/*.events")
    path.write_bytes(path.read_bytes() + junk)

    heir = Spool(directory, MUCH, emitter_id=uuid7(), complaints=Complaints())
    folder = heir.orphan()
    told = drained(heir, folder)
    folder.remove()

    assert told == ([1, 2, 3], 0)


damage = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 5_000), st.just(0)),
    st.tuples(st.just("flip"), st.integers(0, 5_000), st.integers(1, 255)),
    st.tuples(st.just("insert"), st.integers(0, 5_000), st.integers(0, 255)),
    st.tuples(st.just("delete"), st.integers(0, 5_000), st.just(0)),
)


def damaged(data, harm):
    kind, at, value = harm
    at %= len(data) + (kind in {"cut", "insert"})
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + bytes([value]) + data[at:]
    middle = b"" if kind == "delete" else bytes([data[at] ^ value])
    return data[:at] + middle + data[at + 1 :]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(1, 12), harms=st.lists(damage, min_size=1, max_size=3), step=st.integers(1, 13))
def test_a_damaged_file_loses_at_most_what_was_damaged_and_counts_it(tmp_path, number, harms, step):
    directory = tmp_path / uuid.uuid4().hex
    dead = Spool(directory, MUCH, emitter_id=uuid7(), complaints=Complaints())
    items = events(*range(1, number + 1))
    assert dead.keep(items) == number
    dead.save(telemetry(dead._emitter_id, number))
    dead.close(remove=False)
    (path,) = directory.glob("*/*.events")
    original = path.read_bytes()
    data = original
    for harm in harms:
        data = damaged(data, harm) or b"\0"
    path.write_bytes(data)
    untouched = {index + 1 for index, event in enumerate(items) if records.framed(index, encode(event)) in data}

    heir = Spool(directory, MUCH, emitter_id=uuid7(), complaints=Complaints())
    folder = heir.orphan()
    found, corrupt = drained(heir, folder, step)
    folder.remove()

    assert untouched <= set(found)
    assert found == sorted(set(found))
    assert corrupt == number - len(found)


def test_events_come_out_in_order_over_many_files(make, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 2_000)
    spool = make()
    for first in range(1, 400, 10):
        spool.keep(events(*range(first, first + 10)))

    assert len(list(spool.mine.path.glob("*.events"))) > 10
    assert drained(spool, spool.mine) == (list(range(1, 401)), 0)


def test_what_is_read_comes_again_until_it_is_done(make):
    spool = make()
    spool.keep(events(1, 2, 3))
    folder = spool.mine

    once = [event.sequence for event in spool.read(folder, 2, MUCH)]
    again = [event.sequence for event in spool.read(folder, 2, MUCH)]
    further = [event.sequence for event in spool.read(folder, 2, MUCH, further=True)]

    assert (once, again, further) == (["1", "2"], ["1", "2"], ["3"])
    spool.advance(folder)
    assert spool.read(folder, 2, MUCH) == []


def test_what_is_added_while_the_last_file_is_read_is_not_lost(make):
    spool = make()
    spool.keep(events(1, 2))
    spool.read(spool.mine, 9, MUCH)

    spool.keep(events(3))
    spool.advance(spool.mine)

    assert spool.pending == 1
    assert drained(spool, spool.mine) == ([3], 0)


def test_what_is_done_is_not_sent_again_by_the_next(make, adopt):
    dead = make()
    dead.keep(events(1, 2, 3, 4, 5))
    dead.read(dead.mine, 2, MUCH)
    dead.advance(dead.mine)
    dead.save(telemetry(dead._emitter_id, 5))
    dead.close(remove=False)

    heir = make()

    assert drained(heir, adopt(heir)) == ([3, 4, 5], 0)


def test_done_files_go_once_that_is_written_down(make):
    spool = make()
    spool.keep(events(1, 2))
    spool.read(spool.mine, 9, MUCH)
    spool.advance(spool.mine)

    assert list(spool.mine.path.glob("*.events"))
    spool.save(telemetry(spool._emitter_id, 2))
    assert list(spool.mine.path.glob("*.events")) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfeHG", b"garbage"])
def test_an_orphan_with_a_file_of_no_events_ends(make, directory, content, adopt):
    folder = directory / str(uuid7())
    folder.mkdir(parents=True)
    (folder / "1.events").write_bytes(content)
    spool = make()

    assert drained(spool, adopt(spool)) == ([], int(bool(content)))


def test_a_file_of_which_nothing_was_written_down_loses_its_torn_end_alone(make, directory, adopt):
    dead = make()
    dead.keep(events(1, 2, 3))
    dead.close(remove=False)
    (path,) = directory.glob("*/*.events")
    path.write_bytes(path.read_bytes()[:-5])

    heir = make()
    assert drained(heir, adopt(heir)) == ([1, 2], 1)


def test_a_write_that_fails_in_the_middle_leaves_nothing_half_done(make, monkeypatch):
    spool = make()
    spool.keep(events(1))
    real = segments.write_all

    def torn(file, data):
        real(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segments, "write_all", torn)
        assert spool.keep(events(2, 3)) == 0
    assert not spool.is_ready
    assert spool.keep(events(2, 3)) == 2

    assert drained(spool, spool.mine) == ([1, 2, 3], 0)


def test_events_that_can_not_be_written_as_json_are_counted(make):
    spool = make()
    bad = an_event(2)
    bad.data = object()

    assert spool.keep([*events(1), bad, *events(3)]) == 3

    assert +spool.losses() == Counter(unencodable=1)
    assert drained(spool, spool.mine) == ([1, 3], 0)


def test_no_more_is_kept_than_there_is_room_for_in_all_of_the_directory(make):
    one, other = make(limit=2_000), make(limit=2_000)
    kept = one.keep(events(1, 2, 3, 4))

    kept += other.keep(events(*range(1, 20)))

    size = sum(path.stat().st_size for path in one.path.glob("*/*.events"))
    assert other.is_full
    assert 1_500 < size <= 2_000
    assert kept == sum(len(list(records.intact(path.read_bytes()))) for path in one.path.glob("*/*.events"))


# Whose it is


def test_an_orphan_is_taken_over_once(make, adopt):
    dead = make()
    dead.keep(events(1))
    dead.close(remove=False)
    one, other = make(), make()

    assert adopt(one) is not None
    assert adopt(other) is None


def test_the_living_are_no_orphans(make, adopt):
    alive = make()
    alive.keep(events(1))

    assert adopt(make()) is None


def test_orphans_come_oldest_first(make, adopt):
    dead = [make() for _ in range(3)]
    for spool in reversed(dead):
        spool.keep(events(1))
        spool.close(remove=False)

    heir = make()

    names = [adopt(heir).path.name for _ in range(3)]
    assert names == [str(spool._emitter_id) for spool in dead]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_another_user_owns_is_let_alone(make, directory, adopt):
    dead = make()
    dead.keep(events(1))
    dead.close(remove=False)
    (folder,) = directory.iterdir()
    os.chown(folder, 12345, 12345)

    heir = make()

    assert adopt(heir) is None
    assert list(folder.glob("*.events"))


def test_no_link_is_followed(make, directory, tmp_path, adopt):
    secret = tmp_path / "secret"
    secret.write_bytes(records.framed(0, encode(an_event(1))))
    folder = directory / str(uuid7())
    folder.mkdir(parents=True)
    (folder / "1.events").symlink_to(secret)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (directory / str(uuid7())).symlink_to(elsewhere)

    spool = make()

    assert spool.read(adopt(spool), 9, MUCH) is None
    assert adopt(spool) is None
    assert list(elsewhere.iterdir()) == []


def test_a_lock_ends_with_its_process_and_not_with_its_children(tmp_path):
    """The child inherits the file, and outlives its parent."""
    reader, writer = os.pipe()
    parent = os.fork()
    if not parent:
        lock = filelock.acquire(tmp_path / "lock")
        if not os.fork():
            os.read(reader, 1)
            os._exit(0)
        os._exit(0 if lock else 1)

    assert os.waitpid(parent, 0)[1] == 0
    lock = filelock.acquire(tmp_path / "lock")
    os.write(writer, b"x")
    os.close(reader)
    os.close(writer)

    assert lock is not None
    lock.release()


def test_a_lock_survives_the_end_of_a_child(tmp_path):
    lock = filelock.acquire(tmp_path / "lock")
    child = os.fork()
    if not child:
        lock.forget()
        os._exit(0 if filelock.acquire(tmp_path / "lock") is None else 1)

    assert os.waitpid(child, 0)[1] == 0
    child = os.fork()
    if not child:
        os._exit(0 if filelock.acquire(tmp_path / "lock") is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    lock.release()


def test_a_lock_is_not_given_twice_in_one_process(tmp_path):
    lock = filelock.acquire(tmp_path / "lock")

    assert filelock.acquire(tmp_path / "lock") is None
    lock.release()
    again = filelock.acquire(tmp_path / "lock")
    assert again is not None
    again.release()


# Parked


def a_parked(number):
    return parked(encode(an_event(number)), "too_old", "why", 422)


def test_parked_events_are_bounded_and_the_rest_is_told(tmp_path):
    file = ParkedFile(tmp_path, largest=2_000)

    kept = sum(file.add([a_parked(number)]) for number in range(50))

    assert 2 < kept < 10
    assert len(file.read()) == kept
    assert (tmp_path / "parked").stat().st_size <= 2_000


def test_a_damaged_parked_event_costs_itself_alone(tmp_path):
    file = ParkedFile(tmp_path)
    file.add([a_parked(number) for number in range(3)])
    path = tmp_path / "parked"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    assert [msgspec.json.decode(item.event)["sequence"] for item in file.read()] == ["0", "2"]


def test_events_that_were_parked_twice_are_listed_once(tmp_path):
    file = ParkedFile(tmp_path)
    item = a_parked(1)

    file.add([item])
    file.add([item])

    assert file.read() == [item]
    assert file.clear() == 1
    assert file.read() == []
