"""What is asked for holds of the same events for Postgres and in Python."""

import json
from typing import Any

from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from service.events import grammar, pages, queries
from service.events.models import Event
from service.projects.models import Project
from tests.service.cast import Api, raw_event
from tests.service.properties import bounded


class Literal(str):
    """JSON that is sent as it is."""

    __slots__ = ()


WORDS = [
    "a",
    "A",
    "a.b",
    "paid",
    "Paid",
    "%",
    "_",
    "é",
    "É",
    "İ",
    "0",
    "-1",
    "\\",
    '"',
    "a b",
    "a\n",
    "👋",
    "\ufffd",
    "ß",
    "null",
]
PARTS = ["a", "b", "changes", "0", "-1", "00", "+0", " 1", "1.0", "x.y", "é", "9999999999", "1_0", "\u0660", "\\"]
NUMBERS = ["1", "1.0", "1e0", "0.1", "0.10", "-0", "0", "1e300", "1e-300", "1e-400", "19.90", "19.9"]
NUMBERS += ["9223372036854775807", "9223372036854775806", "9007199254740993.0", "9007199254740992"]
NUMBERS += ["0.1000000000000000055511151231257827"]
CONSTANTS = ["true", "false", "null"]
TEXTS = ["type", "source", "sender", "action", "actor", "correlationid", "causationid"]
LISTS = ["type__in", "sender__in", "action__in", "actor__in"]

words = st.sampled_from(WORDS)
literals = st.sampled_from(NUMBERS + CONSTANTS)
parts = st.sampled_from(PARTS)
data = st.recursive(
    words | literals.map(Literal),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(parts, inner, max_size=3),
    max_leaves=6,
)
sent_events = st.fixed_dictionaries(
    {"type": words, "source": words, "data": data | st.fixed_dictionaries({"changes": data}), "key": st.none() | words},
    optional={name: words for name in TEXTS if name not in {"type", "source"}},
)
asked = st.one_of(
    st.tuples(st.sampled_from([*TEXTS, "type__startswith", "object_id"]), words),
    st.tuples(st.sampled_from(LISTS), st.lists(words, min_size=1, max_size=3).map(",".join)),
    st.tuples(st.just("changed"), parts),
    st.tuples(st.lists(parts, min_size=1, max_size=3).map(lambda path: path_of(*path)), words | literals),
    st.tuples(st.none(), words),
)


def written(value: Any) -> str:
    match value:
        case Literal():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(name)}: {written(inner)}" for name, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def path_of(*parts: str) -> str:
    return "data." + ".".join("".join(f"\\{each}" if each in '\\. :"' else each for each in part) for part in parts)


def term(negated: bool, name: str | None, value: str) -> str:
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return ("-" if negated else "") + ("" if name is None else f"{name}:") + quoted


def sent(attributes: dict[str, Any]) -> bytes:
    members = {name: written(value) for name, value in attributes.items() if name != "key"}
    if attributes["key"] is not None:
        members["subject"] = json.dumps(f"{attributes.get('sender', 'x')}/{attributes['key']}")
    return raw_event(**members)


@bounded(200)
@given(
    events=st.lists(sent_events, min_size=1, max_size=4),
    terms=st.lists(st.tuples(st.booleans(), asked), min_size=1, max_size=2),
)
def test_postgres_and_python_agree_on_what_matches(api: Api, project: Project, events: Any, terms: Any) -> None:
    Event.objects.all().delete()
    receipt = api.send(b"[%s]" % b",".join(map(sent, events))).json()
    parameters = QueryDict(mutable=True)
    parameters["q"] = " ".join(term(negated, *ask) for negated, ask in terms)

    criteria = grammar.criteria_of(parameters)
    found = {each.id for each in pages.read(queries.matching(project.id, criteria), "lt", 1_000).events}

    assert receipt["accepted"] == len(events), receipt
    assert found == {each.id for each in queries.of_project(project.id) if criteria.matches(each)}
