"""Which numbers are stored, which are gaps and how many are missing: exactly, whatever was sent, in any order."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from service.events.models import Tally
from service.projects.models import Project
from service.telemetry import operations
from service.telemetry.models import Emitter
from tests.service.cast import Api, event, numbered, raw_event, report, uuid7
from tests.service.properties import bounded

# Each event has one id, whoever sends it and however often; 3 emitters of 8 numbers in each of 2 projects.
IDS = {(name, number): str(uuid7()) for name in "abc" for number in range(1, 9)}
sequence_numbers = st.integers(1, 8)
items = st.tuples(st.sampled_from("abc"), sequence_numbers, st.sampled_from(["good", "good", "good", "refused"]))
posts = st.tuples(st.just("post"), st.sampled_from([0, 1]), st.lists(items, max_size=12))
reports = st.tuples(
    st.just("report"),
    st.sampled_from([0, 1]),
    st.fixed_dictionaries(
        {
            "emitter": st.sampled_from("abc"),
            "captured": st.integers(0, 12),
            "lost": st.dictionaries(st.sampled_from("xy"), st.integers(0, 3)),
            "queued": st.integers(0, 2),
        }
    ),
)
folds = st.tuples(st.just("fold"), st.sampled_from([0, 1]), st.none())
reads = st.tuples(st.just("read"), st.sampled_from([0, 1]), st.none())


@dataclass
class Model:
    """One emitter, as naively as can be."""

    numbers: set[int] = field(default_factory=set)
    captured: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    queued: int = 0

    def told(self) -> dict[str, Any]:
        captured = max(self.numbers | {self.captured})
        away = [number for number in range(1, captured + 1) if number not in self.numbers]
        return {
            "captured": captured,
            "stored": len(self.numbers),
            "gaps": ranges(away),
            "missing": max(0, len(away) - sum(self.lost.values()) - self.queued),
            "lost": self.lost,
        }


def ranges(numbers: list[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def wire(emitters: dict[str, UUID], name: str, number: int, state: str) -> dict[str, Any]:
    bad = {"specversion": "0.3"} if state == "refused" else {}
    return event(id=IDS[name, number], emitterid=str(emitters[name]), sequence=str(number), **bad)


@bounded(40)
@given(steps=st.lists(posts | posts | reports | folds | reads, max_size=14))
def test_whatever_happens_the_numbers_are_those_of_a_naive_model(
    steps: list[Any], api: Api, neighbours_api: Api, project: Project, neighbour: Project
) -> None:
    Emitter.objects.all().delete()
    with connection.cursor() as cursor:
        for table in ("event", "event_tally", "event_delta", "event_arrival"):
            cursor.execute(f"DELETE FROM {table}")
    apis, projects = (api, neighbours_api), (project.pk, neighbour.pk)
    emitters = {name: uuid4() for name in "abc"}  # the same in both projects
    models: list[dict[str, Model]] = [defaultdict(Model), defaultdict(Model)]
    clock = 0

    for kind, place, content in steps:
        if kind == "post":
            apis[place].send([wire(emitters, *item) for item in content])
            for name, number, state in content:
                if state == "good":
                    models[place][name].numbers.add(number)
        elif kind == "report":
            clock += 1
            model = models[place][content["emitter"]]
            told = {name: value for name, value in content.items() if name != "emitter"}
            apis[place].told(emitters[content["emitter"]], time=f"2026-11-20T10:00:{clock:02}Z", **told)
            model.captured = max(model.captured, content["captured"])
            model.queued = content["queued"]
            model.lost = {
                reason: max(model.lost.get(reason, 0), content["lost"].get(reason, 0))
                for reason in model.lost | content["lost"]
            }
        elif kind == "fold":
            operations.fold(projects[place])
        else:
            apis[place].emitters()

    for each, model_of in zip(apis, models, strict=True):
        found = {read["emitterid"]: read for read in each.emitters()}
        assert {emitter: {name: read[name] for name in Model().told()} for emitter, read in found.items()} == {
            str(emitters[name]): model.told() for name, model in model_of.items()
        }
        assert [each.emitter(emitter) for emitter in found] == list(found.values())


def numbers_of(api: Api, emitter: object) -> tuple[int, int, list[list[int]]]:
    read = api.emitter(emitter)
    return read["stored"], read["missing"], read["gaps"]


def test_a_number_that_came_twice_is_stored_once(api: Api) -> None:
    emitter = uuid4()
    sent = numbered(emitter, 1, 2, 4)

    for _ in range(2):
        assert api.send(sent).status_code == 200
        assert numbers_of(api, emitter) == (3, 1, [[3, 3]])


def test_a_duplicate_with_another_number_doesnt_bring_it(api: Api) -> None:
    """Two events with one id: the second is not stored, and its number is told to be missing."""
    emitter, other = uuid4(), uuid4()
    first, second = numbered(emitter, 1, 2)
    stray = event(id=first["id"], emitterid=str(other), sequence="1")
    api.send([first, second | {"id": first["id"]}])

    api.send([stray, *numbered(emitter, 3)])

    assert numbers_of(api, emitter) == (2, 1, [[2, 2]])
    assert other not in {read["emitterid"] for read in api.emitters()}


def test_a_refused_event_brings_no_number(api: Api) -> None:
    emitter = uuid4()
    first, second, third = numbered(emitter, 1, 2, 3)

    assert api.send([first, second | {"type": ""}, third]).status_code == 207

    assert numbers_of(api, emitter) == (2, 1, [[2, 2]])


def test_an_event_that_postgres_cant_hold_brings_no_number(transactional_db: None, api: Api) -> None:
    emitter = uuid4()
    sent = [
        raw_event(emitterid=f'"{emitter}"', sequence=f'"{number}"', data=f"0.{'0' * 17_000}1" if number == 3 else "1")
        for number in range(1, 6)
    ]

    assert api.send(b"[" + b",".join(sent) + b"]").json()["rejected"] == 1

    assert numbers_of(api, emitter) == (4, 1, [[3, 3]])


def test_one_event_alone_is_counted_like_many(api: Api) -> None:
    emitter = uuid4()

    assert [api.send(each).status_code for each in numbered(emitter, 1, 3)] == [201, 201]

    assert numbers_of(api, emitter) == (2, 1, [[2, 2]])


@pytest.mark.parametrize("left_out", [{"sequence": None}, {"emitterid": None}])
def test_an_event_that_isnt_numbered_by_an_emitter_is_of_no_account(left_out: dict[str, None], api: Api) -> None:
    api.send([event(**{"emitterid": str(uuid4()), "sequence": "1"} | left_out)])

    assert api.emitters() == []
    assert Tally.objects.count() == 0


def test_numbers_out_of_bounds_are_stored_and_not_counted(api: Api) -> None:
    emitter = uuid4()
    sent = numbered(emitter, 0, 1, 2**53, 2**63 - 2, 2**63 - 1)

    assert api.send(sent).json()["accepted"] == 5

    assert numbers_of(api, emitter) == (1, 0, [])
    assert {each["sequence"] for each in api.list().json()["results"]} == {each["sequence"] for each in sent}


def test_the_greatest_number_leaves_a_vast_gap(api: Api) -> None:
    emitter, greatest = uuid4(), 2**53 - 1

    api.send(numbered(emitter, greatest))

    assert numbers_of(api, emitter) == (1, greatest - 1, [[1, greatest - 1]])


def test_a_run_ends_at_the_greatest_number(api: Api) -> None:
    emitter, greatest = uuid4(), 2**53 - 1
    ordered = sorted(str(uuid7()) for _ in range(3))  # as the service sorts a batch
    sent = numbered(emitter, greatest - 1, greatest, greatest + 1)

    api.send([each | {"id": event_id} for each, event_id in zip(sent, ordered, strict=True)])

    assert numbers_of(api, emitter) == (2, greatest - 2, [[1, greatest - 2]])


def test_numbers_may_come_in_reverse(api: Api, project: Project) -> None:
    emitter = uuid4()
    for number in range(40, 0, -1):
        api.send(numbered(emitter, number))
        if number % 7 == 0:
            operations.fold(project.pk)

    assert numbers_of(api, emitter) == (40, 0, [])


def test_the_first_hundred_gaps_are_told_and_all_are_missing(api: Api) -> None:
    emitter = uuid4()

    api.send(numbered(emitter, *range(2, 402, 2)))

    assert numbers_of(api, emitter) == (200, 200, [[number, number] for number in range(1, 201, 2)])


def test_what_is_queued_spooled_or_lost_isnt_missing(api: Api) -> None:
    emitter = uuid4()
    api.send(numbered(emitter, 1, 2))

    for members, missing in [
        ({"captured": 12}, 10),
        ({"captured": 12, "queued": 4}, 6),
        ({"captured": 12, "queued": 4, "spooled": 3}, 3),
        ({"captured": 12, "queued": 4, "spooled": 3, "lost": {"a": 1, "b": 1}}, 1),
        ({"captured": 12, "queued": 4, "spooled": 3, "lost": {"a": 9, "b": 1}}, 0),
    ]:
        api.told(emitter, **members)
        assert api.emitter(emitter)["missing"] == missing


def test_many_emitters_in_one_batch_are_told_apart(api: Api) -> None:
    emitters = [uuid4() for _ in range(300)]

    api.send([each for number, emitter in enumerate(emitters, 2) for each in numbered(emitter, 1, number)])

    found = {read["emitterid"]: read for read in api.emitters(page_size=1000)}
    assert [found[str(each)]["captured"] for each in emitters] == list(range(2, 302))
    assert sum(read["stored"] for read in found.values()) == 600


def test_a_batch_of_one_emitter_costs_one_small_row(api: Api) -> None:
    api.send(numbered(uuid4(), *range(1, 501)))

    (tally,) = Tally.objects.all()
    assert str(tally.sequences) == "{[1, 501)}"


def test_a_report_is_not_needed_and_changes_no_number(api: Api) -> None:
    emitter = uuid4()
    api.send(numbered(emitter, 1, 3, source="/shop/worker"))
    unreported = api.emitter(emitter)

    api.tell(report(emitter, captured=3))

    assert unreported["source"] == "/shop/worker"
    assert [unreported[name] for name in ("started", "host", "pid", "clock_skew")] == [None] * 4
    assert [unreported[name] for name in ("lost", "unsent", "versions", "ended")] == [{}, {}, {}, False]
    assert numbers_of(api, emitter) == (2, 1, [[2, 2]])
