"""The list and the export against a plain Python model of them, with random events, filters and pages.

The model reads the JSON that was sent, and knows nothing of the service's own code.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.events.models import Event
from tests.service.cast import Api, event, uuid7
from tests.service.properties import bounded

Sent = dict[str, Any]

START = timezone.now().replace(microsecond=0) - timedelta(days=45)
ABSENT = object()
WORDS = ["a", "ab", "A", "b", "a.b", "%", "é"]
TRACES = ["a" * 32, "b" * 32]

words = st.sampled_from(WORDS)
moments = st.integers(0, 80).map(lambda half_days: START + timedelta(hours=12 * half_days))
scalars = words | st.sampled_from([0, 1, -1, 1.5, 19.9, True, False, None, 2**53 + 1, "1", "1.5", "true", "null"])
data = st.fixed_dictionaries(
    {},
    optional={
        "changes": st.dictionaries(words, st.lists(scalars, min_size=2, max_size=2), max_size=2) | scalars,
        "fields": st.dictionaries(words, scalars, max_size=2) | st.lists(scalars, max_size=3),
        "n": scalars,
    },
)
sent_events = st.fixed_dictionaries(
    {"at": moments, "late": st.sampled_from([-24, -1, 0, 0, 1, 24]), "type": words, "source": words, "data": data},
    optional={
        **dict.fromkeys(("sender", "action", "actor", "correlationid", "causationid", "object_id"), words),
        "outcome": st.sampled_from(["committed", "rolledback"]),
        "trace": st.sampled_from(TRACES),
    },
)


def made(attributes: Sent) -> Sent:
    rest = {name: value for name, value in attributes.items() if name not in {"at", "late", "object_id", "trace"}}
    moment = attributes["at"] + timedelta(hours=attributes["late"])
    key, trace = attributes.get("object_id"), attributes.get("trace")
    subject = f"{rest['sender']}/{key}" if key is not None and "sender" in rest else None
    parent = None if trace is None else f"00-{trace}-{'c' * 16}-01"
    return event(**rest, id=str(uuid7(attributes["at"])), time=moment.isoformat(), subject=subject, traceparent=parent)


def equals(name: str) -> Callable[[Sent, str], bool]:
    return lambda sent, text: sent.get(name) == text


def is_one_of(name: str) -> Callable[[Sent, str], bool]:
    return lambda sent, text: sent.get(name) in text.split(",")


def at(sent: Any, path: str) -> Any:
    found = sent["data"]
    for part in path.split("/"):
        if isinstance(found, dict):
            found = found.get(part, ABSENT)
        elif isinstance(found, list) and part.lstrip("-").isdecimal() and -len(found) <= int(part) < len(found):
            found = found[int(part)]
        else:
            return ABSENT
    return found


def data_is(path: str) -> Callable[[Sent, str], bool]:
    def holds(sent: Sent, text: str) -> bool:
        found = at(sent, path)
        if isinstance(found, str):
            return found == text
        try:
            wanted = json.loads(text)
        except ValueError:
            return False
        if isinstance(found, bool) or found is None or isinstance(wanted, bool) or wanted is None:
            return found is wanted
        return bool(found == wanted)

    return holds


def changed(sent: Sent, name: str) -> bool:
    changes = sent["data"].get("changes")
    return isinstance(changes, dict) and name in changes


def texts(value: Any) -> list[str]:
    if isinstance(value, list | dict):
        return [text for inner in (value.values() if isinstance(value, dict) else value) for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def says(sent: Sent, text: str) -> bool:
    key = sent.get("subject", "/").split("/", 1)[1]
    named = [sent.get(name, "") for name in ("type", "source", "sender", "action", "actor", "correlationid")]
    return any(lowered(text) in lowered(each) for each in [key, *named, *texts(sent["data"])])


def lowered(text: str) -> str:
    return "".join(each.lower() if each.isascii() else each for each in text)


# What each parameter has to mean.
MEANING: dict[str, Callable[[Sent, str], bool]] = {
    **{name: equals(name) for name in ("type", "sender", "action", "actor", "correlationid", "causationid", "source")},
    **{f"{name}__in": is_one_of(name) for name in ("type", "sender", "action", "actor")},
    "type__startswith": lambda sent, text: str(sent["type"]).startswith(text),
    "object_id": lambda sent, text: "subject" in sent and sent["subject"] == f"{sent['sender']}/{text}",
    "outcome": equals("outcome"),
    "traceid": lambda sent, text: sent.get("traceparent", "").split("-")[1:2] == [text],
    "time__gte": lambda sent, text: datetime.fromisoformat(sent["time"]) >= datetime.fromisoformat(text),
    "time__lt": lambda sent, text: datetime.fromisoformat(sent["time"]) < datetime.fromisoformat(text),
    "changed": changed,
    **{f"data.{path.replace('/', '.')}": data_is(path) for path in ("n", "fields/a", "fields/0", "changes/a/1")},
    "data.fields.a\\.b": data_is("fields/a.b"),
}
LISTS = [name for name in MEANING if name.endswith("__in")]
values = {
    **dict.fromkeys(MEANING, words),
    **dict.fromkeys(LISTS, st.lists(words, min_size=1, max_size=3).map(",".join)),
    **dict.fromkeys(
        [name for name in MEANING if name.startswith("data.")],
        words | st.sampled_from(["0", "1", "1.0", "1e0", "-1", "1.50", "true", "null", "9007199254740993"]),
    ),
    **dict.fromkeys(("time__gte", "time__lt"), moments.map(datetime.isoformat)),
    "outcome": st.sampled_from(["committed", "autocommit"]),
    "traceid": st.sampled_from(TRACES),
}
asked = st.sampled_from(sorted(MEANING)).flatmap(lambda name: st.tuples(st.just(name), values[name]))
terms = st.tuples(st.booleans(), asked | st.tuples(st.none(), words))


def holds(sent: Sent, name: str | None, text: str) -> bool:
    return says(sent, text) if name is None else MEANING[name](sent, text)


def written(negated: bool, name: str | None, text: str) -> str:
    return f'{"-" * negated}{"" if name is None else f"{name}:"}"{text}"'


@bounded(120)
@given(
    events=st.lists(sent_events, max_size=10),
    chosen=st.lists(asked, max_size=2, unique_by=lambda each: each[0]),
    searched=st.lists(terms, max_size=2),
    ordering=st.sampled_from(["id", "-id"]),
    size=st.integers(1, 4),
)
def test_pages_and_export_hold_what_the_model_says(
    api: Api, *, events: Any, chosen: Any, searched: Any, ordering: str, size: int
) -> None:
    Event.objects.all().delete()
    sent = [made(each) for each in events]
    assert api.send(sent).json()["accepted"] == len(sent)
    question = dict(chosen) | ({"q": " ".join(written(no, *term) for no, term in searched)} if searched else {})

    wanted = [
        each["id"]
        for each in sorted(sent, key=lambda each: str(each["id"]), reverse=ordering == "-id")
        if all(holds(each, *ask) for ask in chosen) and all(holds(each, *term) != no for no, term in searched)
    ]
    page = api.list(**question, ordering=ordering, page_size=size).json()
    listed = [page["results"]]
    while page["next"] is not None:
        page = api.get(page["next"]).json()
        listed.append(page["results"])
    exported = api.client.get(
        "/api/v1/events/export/", question | {"ordering": ordering}, headers=api.headers()
    ).getvalue()

    assert [each["id"] for results in listed for each in results] == wanted
    assert [json.loads(line)["id"] for line in exported.splitlines()] == wanted
    assert all(len(results) == size for results in listed[:-1])
