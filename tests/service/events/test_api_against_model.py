"""``GET events/`` against a plain model of it: random events, random questions by all its parameters, random pages."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urljoin
from uuid import UUID

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.projects import operations
from service.projects.models import Project, Scope
from tests.contract import document
from tests.service.cast import EVENTS, Api, event, uuid7
from tests.service.events import plain
from tests.service.events.plain import Ask, Event
from tests.service.properties import bounded

START = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
DAY = timedelta(days=1)
MINTED = [START + each for each in (timedelta(0), timedelta(milliseconds=1), DAY / 24, DAY, 9 * DAY)]
APART = [timedelta(0), DAY, -DAY, DAY / 24, timedelta(microseconds=1)]  # an event's time from its id's

WORDS = {
    "type": ["shop.paid", "shop.Paid", "shop_paid", "shop%", "%", "pay"],
    "sender": ["shop.Order", "shop.order", "shop.Order/4", "a b"],
    "object_id": ["4", "42", "4/2", "Zoë"],
    "action": ["created", "updated", "Updated"],
    "actor": ["auth.User/7", "auth.User/70", 'Zoë "Z" \\o/', "-7"],
    "correlationid": ["c", "C", "c:1"],
    "causationid": ["c", "0b9c7a52-4f1e-7d0a-9a55-6c1f2e7d8b30"],
    "traceid": ["0af7651916cd43dd8448eb211c80319c", "0af7651916cd43dd8448eb211c80319d"],
    "source": ["/shop", "/shop/web"],
    "outcome": ["committed", "rolledback", "autocommit"],
    "emitterid": ["0b9c7a52-4f1e-4d0a-9a55-6c1f2e7d8b30", "0b9c7a52-4f1e-4d0a-9a55-6c1f2e7d8b31"],
}
PARTS = ["a", "A", "0", "1", "-1", "a.b", "c:d e", "\\", '"', "é"]
VALUES = ["paid", "Paid", "", "19.9", "true", "1", "a_b", "É"]
NUMBERS = [0, 1, -1, 10, 19.9, 0.1, 1e-7, 2**53 + 1, 2**63 - 1, 1.0]
SPELLINGS = ["19.90", "1.0", "1e0", "10e-1", "-0", "1E1", "9007199254740992", "01", "+1", "1.", "null", "[]"]
WAYS = {"__in": ["type", "sender", "action", "actor"], "__startswith": ["type"]}
NAMES = [*WORDS, *(f"{name}{way}" for way, names in WAYS.items() for name in names)]
NAMES += ["time__gte", "time__lt", "changed", "data"]

scalars = st.sampled_from(VALUES) | st.sampled_from(NUMBERS) | st.sampled_from([True, False, None])
parts = st.sampled_from(PARTS)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(parts, inner, max_size=3), max_leaves=5
)
pairs = st.dictionaries(parts, st.lists(scalars, min_size=2, max_size=2), min_size=1, max_size=2)
told = st.fixed_dictionaries({"changes": pairs | documents, "fields": documents}, optional={"a": documents})
optional = {name: st.sampled_from(WORDS[name]) for name in WORDS if name not in {"type", "source", "object_id"}}
attributes = st.fixed_dictionaries(
    {
        "type": st.sampled_from(WORDS["type"]),
        "source": st.sampled_from(WORDS["source"]),
        "data": st.one_of(told, told, told, documents),
    },
    optional=optional | {"key": st.sampled_from(WORDS["object_id"])},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked by parameters of their own, what by terms of ``q``, and how the answer is to come."""

    parameters: list[Ask]
    terms: list[Ask]
    search: str
    ordering: str | None
    page_size: int

    def address(self) -> str:
        named = {parameter_of(ask): ask.value for ask in self.parameters} | {"page_size": str(self.page_size)}
        named |= {"q": self.search} if self.search else {}
        return f"{EVENTS}?{urlencode(named | ({'ordering': self.ordering} if self.ordering else {}))}"

    def answer(self, sent: list[Event]) -> list[str]:
        found = [each["id"] for each in sent if all(ask.finds(each) for ask in [*self.parameters, *self.terms])]
        return sorted(found, reverse=self.ordering != "id")


@st.composite
def made(draw: st.DrawFn) -> Event:
    drawn = draw(attributes)
    minted = draw(st.sampled_from(MINTED))
    drawn["id"] = str(
        UUID(int=int(minted.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | draw(st.integers(0, 2**62 - 1)))
    )
    if draw(st.booleans()):
        drawn["time"] = (minted + draw(st.sampled_from(APART))).isoformat()
    if key := drawn.pop("key", None):
        drawn["subject"] = f"{drawn.get('sender', 'nobody')}/{key}"
    if traceid := drawn.pop("traceid", None):
        drawn["traceparent"] = f"00-{traceid}-b7ad6b7169203331-01"
    return event(**drawn)


@st.composite
def asks(draw: st.DrawFn, near: Event, name: str) -> Ask:
    """Draw what is asked of ``name``, half the time what ``near`` has there."""
    path: tuple[str, ...] = ()
    attribute, _, way = name.partition("__")
    if name == "":
        said = draw(st.sampled_from([*plain.texts(near)])) or "x"
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(said))] * 2)))
        values = [said[start:end].swapcase() if draw(st.booleans()) else said[start:end], "PAID", "o"]
        values = [each for each in values if each.strip()]
    elif name == "data":
        held = [(found, value) for found, value in plain.leaves(near.get("data")) if found]
        path, value = draw(st.sampled_from(held)) if held else (("a",), "paid")
        if draw(st.integers(0, 3)) == 0:
            path = tuple(draw(st.lists(parts, min_size=1, max_size=3)))
        values = [value if isinstance(value, str) else json.dumps(value), *SPELLINGS, *VALUES]
        values = [*values[:1] * 12, *values]
    elif name == "changed":
        changes = plain.at(near.get("data"), ("changes",))
        values = [*changes, *PARTS] if isinstance(changes, dict) else PARTS
    elif attribute == "time":
        moment = plain.occurred(near)
        values = [each.isoformat() for each in (moment, moment + timedelta(microseconds=1), *MINTED, START + DAY)]
        values += [moment.astimezone(timezone.get_fixed_timezone(330)).isoformat(), values[0].removesuffix("+00:00")]
    else:
        values = [*[plain.attribute(near, attribute) or WORDS[attribute][0]] * 3, *WORDS[attribute]]
    value = draw(st.sampled_from([each for each in values if each] or ["x"]))
    if way == "in":
        value = ",".join([value, *draw(st.lists(st.sampled_from(WORDS[attribute]), max_size=2))])
    if way == "startswith":
        value = value[: draw(st.integers(1, len(value)))]
    if name == "traceid" and draw(st.booleans()):
        value = value.upper()
    return Ask(name=name, value=value, path=path)


@st.composite
def questions(draw: st.DrawFn, sent: list[Event]) -> Question:
    near = draw(st.sampled_from(sent))
    names = draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
    terms = []
    for name in draw(st.lists(st.sampled_from([*NAMES, "data", "data", "data", "changed", "", ""]), max_size=2)):
        terms.append(replace(draw(asks(near, name)), negated=draw(st.booleans())))
    return Question(
        parameters=[draw(asks(near, name)) for name in names],
        terms=terms,
        search=" ".join(written(ask, quoted=draw(st.booleans())) for ask in terms),
        ordering=draw(st.sampled_from([None, "id", "-id"])),
        page_size=draw(st.sampled_from([1, 2, 3, 5, 100])),
    )


def parameter_of(ask: Ask) -> str:
    """Return the name of what is asked for; in a path, a backslash goes before what would divide it."""
    return ".".join([ask.name, *(re.sub(r'([\\. :"])', r"\\\1", part) for part in ask.path)])


def written(ask: Ask, *, quoted: bool) -> str:
    value = ask.value
    if quoted or not re.fullmatch(r"[\w./][\w./-]*", value):
        value = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return ("-" if ask.negated else "") + (f"{parameter_of(ask)}:" if ask.name else "") + value


def pages(api: Api, address: str, way: str) -> Iterator[Any]:
    """Yield the page at ``address`` and those that follow it one ``way``, to the end."""
    for _ in range(100):
        answer = api.get(address)
        assert answer.status_code == 200, (address, answer.content)
        page = answer.json() | {"address": address}
        yield page
        if page[way] is None:
            return
        address = urljoin(address, page[way])
    pytest.fail("there is no end of pages")


def ids(found: list[Any]) -> list[list[str]]:
    return [[each["id"] for each in page["results"]] for page in found]


def answers_as_the_model(sent: list[Event], asked: list[Question]) -> None:
    project = Project.objects.create(name=f"model {uuid7()}")
    api = Api(key=operations.create_key(project, [Scope.EVENTS_WRITE, Scope.EVENTS_READ]))
    receipt = api.send(sent).json()
    assert receipt["accepted"] == len(sent), receipt

    for question in asked:
        found = question.answer(sent)
        size = question.page_size
        forth = list(pages(api, question.address(), "next"))
        back = list(pages(api, forth[-1]["address"], "previous"))

        assert ids(forth) == [found[place : place + size] for place in range(0, len(found) or 1, size)], question
        assert [each for page in ids(back)[::-1] for each in page] == found, question


played = st.lists(made(), min_size=1, max_size=10, unique_by=lambda each: each["id"]).flatmap(
    lambda sent: st.tuples(st.just(sent), st.lists(questions(sent), min_size=6, max_size=8))
)


@bounded(60)
@given(played=played)
def test_each_question_is_answered_as_the_model_does(db: None, played: tuple[list[Event], list[Question]]) -> None:
    answers_as_the_model(*played)


@pytest.mark.ordeal
@bounded(3000)
@given(played=played)
def test_each_of_many_questions_is_answered_so(db: None, played: tuple[list[Event], list[Question]]) -> None:
    answers_as_the_model(*played)


def test_the_questions_are_asked_by_every_parameter() -> None:
    (listing,) = [each for each in document.operations() if str(each) == "events_list"]
    named = {"data.<path>" if name == "data" else name for name in NAMES}

    assert named | {"q", "ordering", "page_size", "cursor"} == listing.parameters("query").keys()
