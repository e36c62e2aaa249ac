"""Read the chain of an event: what caused it, up to the first cause, and all that it caused.

A cause may be in another process, and in another project. Each statement asks one project, level by level, and only
projects that the key may read are asked: of all others nothing can leak, by number or by time. What isn't in one answer
is asked for by `Rest`, which the answer names.

An id is unique in a project only. An event that names an id as its cause means that of its own project, where there is
one, else that of the first project that has one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from service.api import limits
from service.events import ids, pages, queries
from service.events.models import Event

NODES = 1_000  # effects in one answer
DEPTH = 100  # causes above, and levels of effects below; each costs a few statements for each project

# Of each cause in turn as many as there is room for. The causes are in order as the function gives them, so that no
# more is read than that.
EFFECTS = """
SELECT effect.id, effect.causation_id
FROM unnest(%s::text[], %s::uuid[]) WITH ORDINALITY AS cause (id, after, place)
CROSS JOIN LATERAL (
    SELECT event.id, event.causation_id
    FROM event
    WHERE event.project_id = %s AND event.causation_id = cause.id AND event.id > cause.after
    ORDER BY event.id
    LIMIT %s
) AS effect
ORDER BY cause.place, effect.id
LIMIT %s
"""

NONE = UUID(int=0)
Place = tuple[int, UUID]  # of an event: its project and id
Sizes = Mapping[Place, int]  # bytes that events take


@dataclass(slots=True)
class Node:
    """An event of a chain; ``depth`` is 0 for the one that was asked for, negative for its causes.

    ``has_cause`` and ``has_effects`` tell that it has such that aren't among the nodes. Of its effects in each project
    those up to ``before`` were told in another answer, and those up to ``passed`` are in this one.
    """

    project_id: int
    id: UUID
    causation_id: str | None
    depth: int = 0
    has_cause: bool = False
    has_effects: bool = False
    before: Mapping[int, UUID] = field(default_factory=dict)
    passed: dict[int, UUID] = field(default_factory=dict)
    effects: "list[Node]" = field(default_factory=list)
    event: Event | None = None

    @property
    def place(self) -> Place:
        return self.project_id, self.id

    @property
    def rests(self) -> "list[Rest]":
        causes = [Rest(self.project_id, self.id, None)] if self.has_cause else []
        effects = Rest(self.project_id, self.id, {**self.before, **self.passed})
        return [*causes, effects] if self.has_effects else causes


class Rest(NamedTuple):
    """What follows on an event of a project: its causes, or its effects ``after`` some, the last ones by project."""

    project_id: int
    id: UUID
    after: dict[int, UUID] | None


def chain(projects: Sequence[int], event_id: UUID) -> list[Node]:
    """Return the chain of an event in those ``projects``: its causes, the first one first, it, and its effects.

    Each event is followed by its effects, and theirs. Where several projects have one of that id, it is that of the
    first. Empty if none has it, or if nothing of the first project is in its chain: the others may be read only for
    what they have to do with that. The number of statements is bounded by `DEPTH` and the projects, not by events;
    what is read of them by limits.PAGE_BYTES.
    """
    asked = first_of(projects, event_id)
    if asked is None:
        return []
    causes = causes_of(projects, asked)
    grow(projects, asked, {node.place for node in [asked, *causes]})
    if all(node.project_id != projects[0] for node in [*causes, *in_order(asked)]):
        return []
    return told(asked, causes)


def rest_of(projects: Sequence[int], rest: Rest) -> list[Node]:
    """Return the event of ``rest`` and what follows on it; empty if it is gone, or its project isn't one of those."""
    asked = first_of([each for each in projects if each == rest.project_id], rest.id)
    if asked is None:
        return []
    if rest.after is None:
        return told(asked, causes_of(projects, asked))
    asked.before = rest.after
    grow(projects, asked, {asked.place})
    return told(asked, [])


def told(asked: Node, causes: list[Node]) -> list[Node]:
    """Return as many of the events in their order as an answer holds, and read them."""
    causes = cut(asked, causes)
    nodes = [*reversed(causes), *in_order(asked)]
    read_events(nodes)
    return [node for node in nodes if node.event is not None]


def first_of(projects: Sequence[int], event_id: UUID) -> Node | None:
    for project_id in projects:
        found = queries.of_project(project_id).filter(id=event_id).values_list("causation_id", flat=True)
        for causation_id in found:
            return Node(project_id, event_id, causation_id)
    return None


def causes_of(projects: Sequence[int], asked: Node) -> list[Node]:
    """Return the causes of an event, the nearest first. A circle ends where it closes."""
    causes: list[Node] = []
    seen, node = {asked.place}, asked
    while (cause := cause_of(projects, node)) is not None and cause.place not in seen:
        if len(causes) == DEPTH:
            node.has_cause = True
            break
        cause.depth = node.depth - 1
        seen.add(cause.place)
        causes.append(cause)
        node = cause
    return causes


def cause_of(projects: Sequence[int], node: Node) -> Node | None:
    if node.causation_id is None or not ids.is_canonical(node.causation_id):
        return None
    own_first = sorted(projects, key=lambda project_id: project_id != node.project_id)
    return first_of(own_first, UUID(node.causation_id))


def grow(projects: Sequence[int], root: Node, seen: set[Place]) -> None:
    """Add the effects of ``root``, level by level, as long as there is room; then see which events have more."""
    level, room = [root], NODES
    for depth in range(1, DEPTH + 2):
        room = room if depth <= DEPTH else 0
        below: list[Node] = []
        for project_id, causes in asked_of(projects, level).items():
            added = add_effects(project_id, causes, room, seen)
            room -= len(added)
            below += added
        level = below
        if not level:
            return


def asked_of(projects: Sequence[int], level: Sequence[Node]) -> dict[int, dict[str, Node]]:
    """Return for each project which events of a level its own may name as their causes."""
    if len(projects) == 1:
        return {projects[0]: {str(node.id): node for node in level}}
    wanted = {node.id for node in level}
    holding = {
        project_id: set(queries.of_project(project_id).filter(id__in=wanted).values_list("id", flat=True))
        for project_id in projects
    }
    first = {event_id: project_id for project_id in reversed(projects) for event_id in holding[project_id]}
    return {
        project_id: {
            str(node.id): node
            for node in level
            if node.project_id == (project_id if node.id in holding[project_id] else first.get(node.id))
        }
        for project_id in projects
    }


def add_effects(project_id: int, causes: Mapping[str, Node], room: int, seen: set[Place]) -> list[Node]:
    """Add the effects that one project has of ``causes``, ``room`` at the most, and return them."""
    found = effects(project_id, causes, each=room + 1, limit=room + 1)
    added = []
    for event_id, causation_id in found[:room]:
        cause = causes[causation_id]
        cause.passed[project_id] = event_id
        effect = Node(project_id, event_id, causation_id, cause.depth + 1)
        if effect.place not in seen:
            seen.add(effect.place)
            cause.effects.append(effect)
            added.append(effect)
    if len(found) > room:
        names = list(causes)
        rest = {name: causes[name] for name in names[names.index(found[room][1]) :]}
        for _, causation_id in effects(project_id, rest, each=1, limit=len(rest)):
            causes[causation_id].has_effects = True
    return added


def effects(project_id: int, causes: Mapping[str, Node], *, each: int, limit: int) -> list[tuple[UUID, str]]:
    """Return the effects of ``causes`` in their order, by id and cause: so many of ``each``, and in all."""
    if not causes:
        return []
    after = [cause.before.get(project_id, NONE) for cause in causes.values()]
    with connection.cursor() as cursor:
        cursor.execute(EFFECTS, [list(causes), after, project_id, each, limit])
        return [(event_id, causation_id) for event_id, causation_id in cursor.fetchall()]


def cut(asked: Node, causes: list[Node]) -> list[Node]:
    """Leave out what would take more than limits.PAGE_BYTES, and return the causes that are left, the nearest first.

    They may take half of it, or from the deepest event of a chain of large ones nobody would get to its effects.
    """
    sizes = sizes_of([*causes, *in_order(asked)])
    fitting, taken = fit(causes, sizes, limits.PAGE_BYTES // 2)
    if len(fitting) < len(causes):
        [asked, *fitting][-1].has_cause = True
    cut_effects(asked, sizes, limits.PAGE_BYTES - taken - sizes.get(asked.place, 0))
    return fitting


def cut_effects(root: Node, sizes: Sizes, room: int) -> None:
    """Leave out the effects of ``root`` for which there is no room, level by level."""
    level = [root]
    while level:
        for node in level:
            fitting, taken = fit(by_time(node.effects), sizes, room)
            if len(fitting) < len(node.effects):
                node.has_effects, node.passed = True, {effect.project_id: effect.id for effect in fitting}
            node.effects = fitting
            room -= taken
        level = [effect for node in level for effect in node.effects]


def fit(nodes: Iterable[Node], sizes: Sizes, room: int) -> tuple[list[Node], int]:
    """Return the first of ``nodes`` that take no more than ``room``, and what they take."""
    fitting, taken = [], 0
    for node in nodes:
        size = sizes.get(node.place, 0)
        if taken + size > room:
            break
        fitting.append(node)
        taken += size
    return fitting, taken


def sizes_of(nodes: Sequence[Node]) -> Sizes:
    """Return what the events take, by one statement for each project."""
    return {
        (project_id, event_id): taken
        for project_id, own in by_project(nodes).items()
        for event_id, taken in pages.sizes_of(project_id, [node.id for node in own]).items()
    }


def by_project(nodes: Sequence[Node]) -> dict[int, list[Node]]:
    found = defaultdict(list)
    for node in nodes:
        found[node.project_id].append(node)
    return found


def by_time(nodes: Iterable[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: (node.id, node.project_id))


def in_order(root: Node) -> Iterator[Node]:
    yield root
    for effect in by_time(root.effects):
        yield from in_order(effect)


def read_events(nodes: Sequence[Node]) -> None:
    """Read the events, by one statement for each project."""
    for project_id, own in by_project(nodes).items():
        events = pages.by_ids(project_id, [node.id for node in own])
        for node in own:
            node.event = events.get(node.id)
