"""Events are completed several at a time, and leave in the order in which they were brought."""

import os
import threading
from uuid import UUID

import pytest

from emitter.event import Event, Later, identity, moment, stamp, stamp_of
from emitter.intake import AT_ONCE, Intake


class Noted(Later, kw_only=True, eq=False):
    """An event that is made of its name; of none, nothing is told."""

    name: str
    made: int = 0

    def make(self, cause: UUID | None) -> Event | None:
        self.made += 1
        event_id, time = stamp_of(self.moment)
        return Event(id=event_id, time=time, source="/test", type=self.name, causationid=cause) if self.name else None


def noted(name="saved", cause=None):
    return Noted(moment=moment(), name=name, cause=cause)


def an_event(name="sent"):
    event_id, time = stamp()
    return Event(id=event_id, time=time, source="/test", type=name)


class Desk:
    """What an intake passes its events on to."""

    def __init__(self):
        self.accepted = []
        self.woken = 0
        self.intake = Intake(self.accepted.append, self.wake)

    def wake(self):
        self.woken += 1

    @property
    def names(self):
        return [event.type for event in self.accepted]


@pytest.fixture
def desk():
    return Desk()


def test_the_last_of_several_has_all_leave_in_order(desk):
    names = [str(number) for number in range(AT_ONCE)]
    for name in names[:-1]:
        desk.intake.put(noted(name))
    waiting = list(desk.accepted)
    desk.intake.put(an_event(names[-1]))

    assert (waiting, desk.names) == ([], names)


def test_the_first_of_several_wakes_who_fetches_fewer(desk):
    for _ in range(3):
        desk.intake.put(noted())
    woken = desk.woken
    desk.intake.work()

    assert (woken, len(desk.accepted)) == (1, 3)


def test_what_may_never_leave_is_completed_all_the_same(desk):
    held = [noted(str(number)) for number in range(AT_ONCE)]
    for each in held:
        desk.intake.expect(each)

    assert [each.made for each in held] == [1] * AT_ONCE
    assert desk.accepted == []


def test_an_event_is_made_once_and_leaves_with_what_was_found_out_since(desk):
    event = noted()
    desk.intake.expect(event)
    desk.intake.work()
    event.actor, event.outcome = "auth.User/7", "committed"
    desk.intake.put(event)
    desk.intake.work()

    (left,) = desk.accepted
    assert (left.actor, left.outcome, event.made) == ("auth.User/7", "committed", 1)


def test_what_tells_nothing_does_not_leave(desk):
    desk.intake.put(noted(""))
    desk.intake.put(noted("saved"))
    desk.intake.work()

    assert desk.names == ["saved"]


def test_what_is_brought_by_an_interruption_leaves_after_what_it_interrupted(desk):
    class Interrupted(Noted, kw_only=True, eq=False):
        def make(self, cause):
            for number in range(AT_ONCE):
                desk.intake.put(noted(str(number)))
            return super().make(cause)

    desk.intake.put(Interrupted(moment=moment(), name="first"))
    desk.intake.put(noted("second"))
    desk.intake.work()

    assert desk.names == ["first", "second", *map(str, range(AT_ONCE))]


def test_what_is_being_made_when_the_process_is_told_to_end_is_not_lost(desk):
    class Ended(Noted, kw_only=True, eq=False):
        def make(self, cause):
            if not self.made:
                self.made += 1
                raise SystemExit
            return super().make(cause)

    desk.intake.put(Ended(moment=moment(), name="first"))
    desk.intake.put(noted("second"))
    with pytest.raises(SystemExit):
        desk.intake.work()
    desk.intake.work()

    assert desk.names == ["first", "second"]


def test_the_cause_is_the_nearest_that_tells_something(desk):
    first = noted("first")
    silent = noted("", cause=noted("", cause=first))
    desk.intake.put(noted("last", cause=silent))
    desk.intake.work()

    assert desk.accepted[0].causationid == identity(first) == first.complete().id
    assert identity(noted("", cause=None)) is None


def test_ids_are_in_the_order_of_what_happened_whenever_they_are_made():
    events = [noted() for _ in range(100)]
    ids = [event.complete().id for event in reversed(events)]

    assert sorted(ids) == ids[::-1]


def test_several_threads_bring_each_event_once_and_in_their_order(desk):
    def bring(name):
        for number in range(500):
            desk.intake.put(noted(f"{name}.{number}"))

    threads = [threading.Thread(target=bring, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.intake.work()

    assert len(desk.names) == len(set(desk.names)) == 2_000
    for name in "abcd":
        assert [each for each in desk.names if each.startswith(name)] == [f"{name}.{number}" for number in range(500)]


def test_what_passing_on_brings_is_passed_on_too(desk):
    def accept(event):
        desk.accepted.append(event)
        if len(desk.accepted) < 50:
            intake.put(noted())

    intake = Intake(accept, desk.wake)
    intake.put(noted())
    intake.work()

    assert len(desk.accepted) == 50


@pytest.mark.parametrize("is_told", [True, False], ids=["by Python's hook", "unnoticed"])
def test_a_forked_child_starts_empty_though_its_parent_was_at_work(desk, is_told):
    desk.intake.put(an_event("parent's"))
    desk.intake.expect(noted("parent's"))
    desk.intake._lock.acquire()
    if not (child := os.fork()):
        if is_told:
            desk.intake.begin()
        desk.intake.put(an_event("child's"))
        desk.intake.work()
        os._exit(0 if desk.names == ["child's"] else 1)
    _, status = os.waitpid(child, 0)
    desk.intake.work()

    assert (status, desk.names) == (0, ["parent's"])


def test_a_child_that_brings_nothing_passes_on_nothing_of_its_parents(desk):
    desk.intake.put(an_event("parent's"))
    if not (child := os.fork()):
        desk.intake.work()
        os._exit(0 if desk.names == [] else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
