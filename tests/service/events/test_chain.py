"""``GET events/{id}/chain/``: causes and effects, over projects, and never more than the key may read."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from service.api import limits
from service.events import chain as chains
from service.events import operations as events
from service.events.operations import Row
from service.projects import operations
from service.projects.models import Project, Scope
from tests.service.cast import EVENTS, Api, event, problem, uuid7
from tests.service.properties import bounded

START = uuid7()
numbers = count(1)


def next_id() -> str:
    """Return an id that is greater than all before."""
    return str(UUID(int=START.int + (next(numbers) << 4)))


def row(cause: object = None, **columns: Any) -> Row:
    whole = {"id": next_id(), "type": "shop.paid", "source": "/shop", "occurred_at": "2026-11-20T10:15:00Z"} | columns
    return Row(**whole, causation_id=None if cause is None else str(cause))


def stored(project: Project, *rows: Row) -> list[str]:
    events.store(project.pk, rows)
    return [each.id for each in rows]


def reader(project: Project, *others: Project) -> Api:
    return Api(key=operations.create_key(project, [Scope.EVENTS_READ], reads=others))


def chain(api: Api, event_id: object) -> Any:
    answer = api.get(f"{EVENTS}{event_id}/chain/")
    assert answer.status_code == 200, answer.content
    return answer.json()


def continued(found: Any) -> list[str]:
    """Return the ids of the events whose causes or effects are told elsewhere."""
    return [address.split("/")[-3] for address in found["continue_at"]]


def followed(api: Api, event_id: object) -> list[Any]:
    """Return all answers that make up a chain, by each address once: a circle would be followed for ever."""
    found, addresses = [chain(api, event_id)], set()
    for one in found:
        assert len(found) < 100
        for address in one["continue_at"]:
            if address not in addresses:
                addresses.add(address)
                answer = api.get(address)
                assert answer.status_code == 200, answer.content
                found.append(answer.json())
    return found


def told(found: Any) -> list[tuple[int, str]]:
    return [(node["depth"], node["event"]["id"]) for node in found["events"]]


def test_each_event_is_followed_by_its_effects_and_the_first_cause_comes_first(api: Api, project: Project) -> None:
    (root,) = stored(project, row())
    first, second = stored(project, row(root), row(root))
    asked, other, beside = stored(project, row(first), row(second), row(first))
    effect, later = stored(project, row(asked), row(asked))
    (last,) = stored(project, row(effect))

    assert told(chain(api, asked)) == [(-2, root), (-1, first), (0, asked), (1, effect), (2, last), (1, later)]
    whole = chain(api, root)
    assert told(whole) == [
        *[(0, root), (1, first), (2, asked), (3, effect), (4, last), (3, later), (2, beside)],
        *[(1, second), (2, other)],
    ]
    assert (whole["truncated"], whole["continue_at"]) == (False, [])


def test_an_event_comes_as_it_is_listed_with_the_name_of_its_project(api: Api) -> None:
    sent = event(sender="shop.Order", subject="shop.Order/42", data={"fields": {}}, project="mine", depth="9")
    api.send(sent)

    (node,) = chain(api, sent["id"])["events"]

    assert node == {"depth": 0, "project": "shop", "truncated": False, "event": api.list().json()["results"][0]}


def test_an_event_that_nobody_has_is_not_found(api: Api) -> None:
    assert "no event" in problem(api.get(f"{EVENTS}{uuid7()}/chain/"), 404, "not_found")["detail"]


@pytest.mark.parametrize(
    "cause", ["order-17", "", "01A1F873-C8A0-7C3E-A1B2-5F0E6D3C9A41", str(uuid4()), "%", "x" * 255]
)
def test_a_cause_that_is_no_events_id_is_none(cause: str, api: Api, project: Project) -> None:
    (asked,) = stored(project, row(cause))

    assert told(chain(api, asked)) == [(0, asked)]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_circle_ends(length: int, api: Api, project: Project) -> None:
    ids = [next_id() for _ in range(length)]
    events.store(project.pk, [row(ids[place - 1], id=event_id) for place, event_id in enumerate(ids)])

    found = chain(api, ids[0])

    assert sorted(event_id for _, event_id in told(found)) == sorted(ids)
    assert not found["truncated"]


def test_causes_end_after_so_many_and_say_where_they_go_on(
    api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "DEPTH", 3)
    ids = line(project, 9)

    found = chain(api, ids[5])

    assert told(found) == [(place - 5, ids[place]) for place in range(2, 9)]
    assert (found["truncated"], continued(found)) == (True, [ids[2]])
    assert [told(each) for each in followed(api, ids[5])[1:]] == [[(-2, ids[0]), (-1, ids[1]), (0, ids[2])]]


def line(project: Project, length: int) -> list[str]:
    ids = stored(project, row())
    while len(ids) < length:
        ids += stored(project, row(ids[-1]))
    return ids


@pytest.mark.parametrize(("length", "rest"), [(4, False), (5, True)])
def test_effects_end_after_so_many_levels(
    length: int, rest: bool, api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "DEPTH", 3)
    ids = line(project, length)

    found = chain(api, ids[0])

    assert told(found) == list(enumerate(ids[:4]))
    assert (found["truncated"], continued(found)) == (rest, [ids[3]] if rest else [])


@pytest.mark.parametrize("nodes", range(8))
def test_effects_end_where_there_is_no_more_room_and_all_that_has_more_is_named(
    nodes: int, api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "NODES", nodes)
    (root,) = stored(project, row())
    children = stored(project, row(root), row(root), row(root))
    grandchildren = stored(project, row(children[0]), row(children[0]), row(children[2]))

    found = chain(api, root)

    seen = {event_id for _, event_id in told(found)}
    effects = {root: children, children[0]: grandchildren[:2], children[2]: grandchildren[2:]}
    assert len(seen) == 1 + min(nodes, 6)
    assert set(continued(found)) == {one for one in effects if one in seen and not seen.issuperset(effects[one])}
    assert found["truncated"] == (nodes < 6)
    assert [node["event"]["id"] for node in found["events"] if node["truncated"]] == continued(found)


def test_the_number_of_statements_is_that_of_levels_not_of_events(api: Api, project: Project) -> None:
    level = stored(project, row())
    root = level[0]
    for width in (5, 40, 200):
        level = stored(project, *(row(level[place % len(level)]) for place in range(width)))
    api.list()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = chain(api, root)

    assert len(found["events"]) == 246
    assert len(queries) <= 10


def test_a_write_key_reads_no_chain(writer: Api, project: Project) -> None:
    (asked,) = stored(project, row())

    problem(writer.get(f"{EVENTS}{asked}/chain/"), 403, "scope_missing")


def test_a_key_reads_further_projects_in_chains_and_nowhere_else(project: Project, neighbour: Project) -> None:
    (root,) = stored(neighbour, row())
    (asked,) = stored(project, row(root))
    (effect,) = stored(neighbour, row(asked))

    wide, narrow, back = reader(project, neighbour), reader(project), reader(neighbour)

    assert told(chain(wide, asked)) == [(-1, root), (0, asked), (1, effect)]
    assert [node["project"] for node in chain(wide, asked)["events"]] == ["neighbour", "shop", "neighbour"]
    assert told(chain(wide, effect))[-1] == (0, effect)
    assert told(chain(narrow, asked)) == [(0, asked)]
    assert told(chain(back, root)) == [(0, root)]
    assert wide.listed() == [asked]
    for api in (wide, narrow):
        assert api.read(root).status_code == 404
    assert narrow.get(f"{EVENTS}{root}/chain/").status_code == 404


def test_of_two_events_with_one_id_a_cause_is_that_of_the_same_project(project: Project, neighbour: Project) -> None:
    (shared,) = stored(project, row())
    stored(neighbour, row(id=shared))
    (mine,), (theirs,) = stored(project, row(shared)), stored(neighbour, row(shared))
    (joined,) = stored(project, row(theirs))
    wide = reader(project, neighbour)

    assert told(chain(wide, shared)) == [(0, shared), (1, mine)]
    assert told(chain(wide, theirs)) == [(-1, shared), (0, theirs), (1, joined)]
    assert [node["project"] for node in chain(wide, theirs)["events"]] == ["neighbour", "neighbour", "shop"]


def test_a_chain_that_only_further_projects_have_is_not_found(project: Project, neighbour: Project) -> None:
    (root,) = stored(neighbour, row())
    (effect,) = stored(neighbour, row(root))
    wide = reader(project, neighbour)
    nothing = problem(wide.get(f"{EVENTS}{uuid7()}/chain/"), 404, "not_found")

    for asked in (root, effect):
        assert problem(wide.get(f"{EVENTS}{asked}/chain/"), 404, "not_found").keys() == nothing.keys()
    (beside,) = stored(project, row(root))
    assert told(chain(wide, root)) == [(0, root), (1, effect), (1, beside)]
    problem(wide.get(f"{EVENTS}{effect}/chain/"), 404, "not_found")


def of_events(queries: CaptureQueriesContext) -> list[str]:
    """Return the statements about events; which others are run is a matter of time."""
    return [query["sql"] for query in queries if re.search(r"\bevent\b", query["sql"])]


def test_what_a_key_may_not_read_changes_nothing_in_its_answer(project: Project, neighbour: Project) -> None:
    """Not what is in it, not whether it is truncated, not which statements are run."""
    (asked,) = stored(project, row(uuid7()))
    narrow = reader(project)
    narrow.list()

    with CaptureQueriesContext(connection) as before:
        alone = chain(narrow, asked)
    hidden = stored(neighbour, row(id=alone["events"][0]["event"]["causationid"]), *(row(asked) for _ in range(1_100)))
    stored(neighbour, row(hidden[0], id=asked), row(hidden[1]))
    with CaptureQueriesContext(connection) as after:
        beside = chain(narrow, asked)

    assert beside == alone
    assert of_events(after) == of_events(before) != []


def test_a_right_that_is_taken_away_is_gone(project: Project, neighbour: Project) -> None:
    (asked,) = stored(project, row())
    stored(neighbour, row(asked))
    wide = reader(project, neighbour)
    assert len(chain(wide, asked)["events"]) == 2

    neighbour.readers.clear()

    assert told(chain(wide, asked)) == [(0, asked)]


@dataclass(frozen=True)
class Made:
    """An event of the model: of which project, which of the ids, and caused by which."""

    project: int
    id: int
    cause: int | None


def modelled(made: Sequence[Made], projects: Sequence[int], asked: int) -> list[tuple[int, int, int]] | None:
    """Return the chain as (depth, project, id): by looking at each event for each, with no regard for cost."""
    visible = [each for project in projects for each in made if each.project == project]

    def of(event_id: int | None, own: int | None = None) -> Made | None:
        found = [each for each in visible if each.id == event_id]
        return next((each for each in found if each.project == own), found[0] if found else None)

    def cause(each: Made) -> Made | None:
        return None if each.cause is None else of(each.cause, each.project)

    start = of(asked)
    if start is None:
        return None
    above = [start]
    while (up := cause(above[-1])) is not None and up not in above:
        above.append(up)
    seen = set(above)

    def below(each: Made, depth: int) -> Iterable[tuple[int, int, int]]:
        yield depth, each.project, each.id
        effects = [other for other in visible if cause(other) == each and other not in seen]
        seen.update(effects)
        for effect in sorted(effects, key=lambda other: (other.id, other.project)):
            yield from below(effect, depth + 1)

    causes = [(-place, up.project, up.id) for place, up in enumerate(above) if place]
    whole = [*reversed(causes), *below(start, 0)]
    return whole if projects[0] in {project for _, project, _ in whole} else None


made_events = st.lists(
    st.builds(
        Made,
        project=st.integers(0, 2),
        id=st.integers(0, 11),
        cause=st.none() | st.integers(0, 12),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda each: (each.project, each.id),
)


@bounded(60)
@given(made=made_events, reads=st.permutations(range(3)), further=st.integers(0, 2), asked=st.integers(0, 12))
def test_a_chain_is_that_of_a_plain_model(
    db: None, made: list[Made], reads: list[int], further: int, asked: int
) -> None:
    projects = [Project.objects.create(name=f"p{Project.objects.count()}") for _ in range(3)]
    ids = [next_id() for _ in range(13)]
    for each in made:
        stored(projects[each.project], row(None if each.cause is None else ids[each.cause], id=ids[each.id]))
    own, others = reads[0], sorted(reads[1 : 1 + further])
    api = reader(projects[own], *(projects[other] for other in others))

    answer = api.get(f"{EVENTS}{ids[asked]}/chain/")

    wanted = modelled(made, [own, *others], asked)
    if wanted is None:
        assert answer.status_code == 404
        return
    found = answer.json()
    names = {project.name: number for number, project in enumerate(projects)}
    told_of = [(node["depth"], names[node["project"]], ids.index(node["event"]["id"])) for node in found["events"]]
    assert told_of == wanted
    assert not found["truncated"]


@bounded(60)
@given(
    made=made_events.filter(lambda made: len(made) > 5),
    reads=st.permutations(range(3)),
    asked=st.integers(0, 5),
    depth=st.integers(1, 3),
    nodes=st.integers(1, 2),
)
def test_all_of_a_chain_is_reached_by_the_addresses_of_the_rest(
    db: None, *, made: list[Made], reads: list[int], asked: int, depth: int, nodes: int
) -> None:
    projects = [Project.objects.create(name=f"p{Project.objects.count()}") for _ in range(3)]
    ids = [next_id() for _ in range(13)]
    for each in made:
        stored(projects[each.project], row(None if each.cause is None else ids[each.cause], id=ids[each.id]))
    own, others = reads[0], sorted(reads[1:])
    api = reader(projects[own], *(projects[other] for other in others))
    names = {project.name: number for number, project in enumerate(projects)}
    wanted = modelled(made, [own, *others], made[asked].id) or []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "DEPTH", depth)
        patch.setattr(chains, "NODES", nodes)
        if api.get(f"{EVENTS}{ids[made[asked].id]}/chain/").status_code == 404:
            assert own not in {project for at, project, _ in wanted if -depth <= at <= depth} or nodes < len(wanted)
            return
        found = followed(api, ids[made[asked].id])

    seen = {(names[node["project"]], ids.index(node["event"]["id"])) for one in found for node in one["events"]}
    assert seen >= {(project, event_id) for _, project, event_id in wanted}
    # In a circle, what is above is below too, and is told with its effects.
    first = next((each.cause for each in made if (each.project, each.id) == wanted[0][1:]), None)
    assert len(seen) == len(wanted) or first in {event_id for _, _, event_id in wanted}


def test_many_effects_in_another_project_are_all_reached(
    project: Project, neighbour: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_BYTES", ROOM)
    monkeypatch.setattr(chains, "NODES", 4)
    (root,) = stored(project, row())
    (middle,) = stored(neighbour, row(root))
    theirs = stored(neighbour, *(large_row(300, middle) for _ in range(10)))
    ours = stored(project, *(row(middle) for _ in range(6)))

    found = followed(reader(project, neighbour), root)

    effects = [event_id for one in found for depth, event_id in told(one) if event_id not in {root, middle}]
    assert sorted(effects) == sorted(theirs + ours)
    assert all(bytes_of(node["event"]) <= ROOM for one in found for node in one["events"])


def test_far_causes_in_another_project_are_all_reached(
    project: Project, neighbour: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "DEPTH", 2)
    above = line(neighbour, 9)
    (asked,) = stored(project, row(above[-1]))
    api = reader(project, neighbour)

    assert {event_id for one in followed(api, asked) for _, event_id in told(one)} == {*above, asked}
    problem(api.get(f"{EVENTS}{above[3]}/chain/"), 404, "not_found")


def test_the_rest_is_of_the_event_that_was_told_and_not_of_its_namesake(
    project: Project, neighbour: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "DEPTH", 1)
    (theirs,) = stored(neighbour, row())
    (shared,) = stored(neighbour, row(theirs))
    stored(project, row(id=shared))
    (middle,) = stored(neighbour, row(shared))
    (asked,) = stored(project, row(middle))
    api = reader(project, neighbour)

    assert {told_of["event"]["id"] for one in followed(api, asked) for told_of in one["events"]} == {
        theirs, shared, middle, asked,
    }  # fmt: skip


def test_an_address_of_the_rest_is_for_who_was_told_it_and_may_read_it(
    project: Project, neighbour: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "DEPTH", 1)
    (root,) = stored(neighbour, row())
    (cause,) = stored(neighbour, row(root))
    (asked,) = stored(project, row(cause))
    third = Project.objects.create(name="third")
    wide, other = reader(project, neighbour), reader(third, neighbour)
    [address] = chain(wide, asked)["continue_at"]

    assert told(wide.get(address).json()) == [(-1, root), (0, cause)]
    problem(wide.get(address.replace(cause, root)), 400, "invalid_parameter")
    problem(wide.get(address[:-1]), 400, "invalid_parameter")
    problem(other.get(address), 400, "invalid_parameter")
    problem(reader(project).get(address), 404, "not_found")
    neighbour.readers.clear()
    problem(wide.get(address), 404, "not_found")


ROOM = 1_000  # bytes, of which causes may take half
SIZES = [0, 0, 10, 100, 400, 700, 1_500]


@bounded(60)
@given(
    causes=st.lists(st.sampled_from(SIZES), max_size=4),
    own=st.sampled_from(SIZES),
    effects=st.lists(st.tuples(st.integers(0, 8), st.sampled_from(SIZES)), max_size=8),
)
def test_large_events_are_left_out_of_a_chain_that_says_where_they_are(
    db: None, causes: list[int], own: int, effects: list[tuple[int, int]]
) -> None:
    project = Project.objects.create(name=f"p{Project.objects.count()}")
    api = reader(project)
    above: list[str] = []
    for size in causes:
        above += stored(project, large_row(size, *above[-1:]))
    tree = stored(project, large_row(own, *above[-1:]))
    for cause, size in effects:
        tree += stored(project, large_row(size, tree[cause % len(tree)]))

    with pytest.MonkeyPatch.context() as patch:
        whole = chain(api, tree[0])
        patch.setattr(limits, "PAGE_BYTES", ROOM)
        found = chain(api, tree[0])

    shown = [node["event"] for node in found["events"]]
    seen = {each["id"] for each in shown}
    left_out = [node["event"] for node in whole["events"] if node["event"]["id"] not in seen]
    assert [node["event"] for node in whole["events"] if node["event"]["id"] in seen] == shown
    assert sum(bytes_of(each) for each in shown if each["id"] != tree[0]) <= ROOM
    assert left_out == [] or sum(map(bytes_of, [node["event"] for node in whole["events"]])) > ROOM / 2
    below = {each["causationid"] for each in left_out if each["id"] in tree}
    first = {shown[0]["id"]} if any(each["id"] in above for each in left_out) else set()
    assert set(continued(found)) == below & seen | first
    assert {node["event"]["id"] for node in found["events"] if node["truncated"]} == set(continued(found))
    assert found["truncated"] == bool(left_out)


def large_row(size: int, *cause: str) -> Row:
    return row(*cause, data=Raw(json.dumps("x" * size).encode())) if size else row(*cause)


def bytes_of(told: Any) -> int:
    return len(json.dumps(told["data"])) if "data" in told else 0


def test_from_the_deepest_of_large_events_its_effects_are_told_too(
    api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_BYTES", ROOM)
    ids = stored(project, large_row(200))
    for _ in range(9):
        ids += stored(project, large_row(200, ids[-1]))

    found = chain(api, ids[5])

    assert told(found) == [(-2, ids[3]), (-1, ids[4]), (0, ids[5]), (1, ids[6])]
    assert continued(found) == [ids[3], ids[6]]
