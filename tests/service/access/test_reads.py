"""Who read a project's events is told by events of the project."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.urls import get_resolver
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.access import reads
from service.access.reads import Question, Recorder
from service.api import limits
from service.events import operations
from service.events.models import Event
from service.projects import operations as keys
from service.projects.models import Key, Membership, Project, Role, Scope
from tests.service.cast import Api, event, report, uuid7

API = "/api/v1/"
Told = Callable[[], list[dict[str, Any]]]


class Thread:
    """Stands for the recorder's, which would store in a transaction of its own."""


@pytest.fixture
def recorder(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    settings.RECORD_READS = True
    recorder = Recorder()
    recorder.thread = Thread()  # type: ignore[assignment]  # nothing asks it
    monkeypatch.setattr(reads, "recorder", recorder)
    return recorder


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """Return what the recorder's clock is ahead, to be changed. It begins at the start of a window."""
    begun = timezone.now()
    back = (begun - datetime(1970, 1, 1, tzinfo=UTC)) % reads.WINDOW
    ahead = [timedelta()]

    class Clock:
        @staticmethod
        def now() -> datetime:
            return begun - back + ahead[0]

    monkeypatch.setattr(reads, "timezone", Clock)
    return ahead


@pytest.fixture
def told(recorder: Recorder, project: Project, clock: list[timedelta]) -> Told:
    """Return what tells the records of the project, in the order in which they came."""

    def told() -> list[dict[str, Any]]:
        assert recorder.store()
        found = Event.objects.filter(project_id=project.pk, type="heliograph.read").order_by("occurred_at")
        return [{"actor": each.actor, **each.data} for each in found]

    return told


def asked(told: Told) -> list[tuple[str, dict[str, str]]]:
    return [(each["path"].removeprefix(API), each["parameters"]) for each in told()]


def unrecorded() -> float:
    value: float = reads.metrics.UNRECORDED_READS._value.get()
    return value


def test_a_read_is_an_event_of_the_project(reader: Api, told: Told, project: Project) -> None:
    assert reader.list(sender="shop.Order", q="größe").status_code == 200

    key = Key.objects.get()
    assert told() == [
        {
            "actor": f"heliograph.Key/{key.pk}",
            "path": "/api/v1/events/",
            "parameters": {"sender": "shop.Order", "q": "größe"},
            "prefix": key.prefix,
        }
    ]
    (shown,) = reader.list(type="heliograph.read", **{"data.parameters.sender": "shop.Order"}).json()["results"]
    assert (shown["source"], "subject" in shown) == ("/heliograph", False)


def test_a_person_who_reads_is_named(project: Project, told: Told) -> None:
    user = User.objects.create_user("alice")
    Membership.objects.create(project=project, user=user, role=Role.VIEWER)
    api = Api(key=None, project=project.name)
    api.client.force_login(user)

    assert api.list().status_code == 200

    assert told() == [{"actor": f"heliograph.User/{user.pk}", "path": "/api/v1/events/", "parameters": {}}]


def test_every_address_that_reads_events_is_recorded(api: Api, told: Told) -> None:
    sent = event(sender="shop.Order", subject="shop.Order/42", data={"fields": {}}, action="created")
    emitter = uuid7()
    api.send(sent)
    api.tell(report(emitter))
    filled = {"id": sent["id"], "sender": "shop.Order", "object_id": "42", "emitterid": str(emitter)}
    found = [address for pattern in get_resolver().url_patterns if (address := read_address(pattern, filled))]
    addresses = [address for address in found if "tail" not in address]  # which has no end: test_live_reads.py
    assert len(addresses) >= 10

    for address in addresses:
        answer = api.get(f"/{address}")
        assert answer.status_code == 200, (address, answer.content)

    assert {f"{API}{path}" for path, _ in asked(told)} == {f"/{address.partition('?')[0]}" for address in addresses}


def read_address(pattern: Any, filled: dict[str, str]) -> str | None:
    """Return the address of a view that answers with `Scope.EVENTS_READ`."""
    view = getattr(getattr(pattern, "callback", None), "view_class", None)
    if getattr(view, "scopes", {}).get("GET") != Scope.EVENTS_READ:
        return None
    address = str(pattern.pattern)
    for name, value in filled.items():
        for kind in ("uuid:", "key:", ""):
            address = address.replace(f"<{kind}{name}>", value)
    return address + ("?by=type" if address.endswith("top/") else "")


def test_what_is_refused_or_reads_no_events_is_not_recorded(
    api: Api, writer: Api, stranger: Api, told: Told, project: Project
) -> None:
    admin = Api(key=keys.create_key(project, Scope.values))
    for answer in (
        api.send(event()),
        api.list(nothing="1"),
        api.read(uuid7()),
        api.get(f"{API}meta/"),
        api.get(f"{API}nothing/"),
        api.call("OPTIONS", f"{API}events/"),
        writer.list(),
        stranger.list(),
        admin.get(f"{API}keys/"),
        admin.get(f"{API}projects/"),
        stranger.get("/readyz"),
        stranger.get("/accounts/login/"),
    ):
        assert answer.status_code != 500

    assert told() == []


def test_a_chain_is_recorded_in_each_project_whose_events_it_shows(
    project: Project, neighbour: Project, api: Api, neighbours_api: Api, recorder: Recorder
) -> None:
    alone, cause = event(), event()
    effect = event(causationid=cause["id"])
    neighbours_api.send([cause])
    api.send([alone, effect])
    key = Api(key=keys.create_key(project, [Scope.EVENTS_READ], reads=[neighbour]))

    assert key.get(f"{API}events/{alone['id']}/chain/").status_code == 200
    assert key.get(f"{API}events/{effect['id']}/chain/").status_code == 200

    assert recorder.store()
    recorded = Event.objects.filter(type="heliograph.read")
    of_effect = f"{API}events/{effect['id']}/chain/"
    assert [each.data["path"] for each in recorded if each.project_id == neighbour.pk] == [of_effect]
    assert len([each for each in recorded if each.project_id == project.pk]) == 2
    assert len({each.actor for each in recorded}) == 1


def test_head_is_a_read(reader: Api, told: Told) -> None:
    reader.call("HEAD", f"{API}events/")

    assert len(told()) == 1


def test_a_question_is_recorded_once_in_ten_minutes(reader: Api, told: Told, clock: list[timedelta]) -> None:
    for minutes in range(25):
        clock[0] = timedelta(minutes=minutes)
        reader.list(sender="shop.Order", action="created")
        reader.list(action="created", sender="shop.Order")

    assert asked(told) == [("events/", {"sender": "shop.Order", "action": "created"})] * 3


def test_the_pages_of_a_question_are_one(api: Api, told: Told) -> None:
    api.send([event() for _ in range(5)])
    page: str | None = f"{API}events/?page_size=2&outcome=committed".replace("&outcome=committed", "")
    while page:
        page = api.get(page).json()["next"]

    assert asked(told) == [("events/", {})]


def test_other_questions_and_others_who_ask_are_recorded_each(
    api: Api, reader: Api, neighbours_api: Api, told: Told, neighbour: Project
) -> None:
    for each in (api, reader, neighbours_api):
        each.list()
        each.list(sender="a")
        each.list(sender="b")
        each.get(f"{API}signals/")

    assert len(told()) == 8
    assert Event.objects.filter(project_id=neighbour.pk).count() == 4


def test_processes_that_know_nothing_of_each_other_record_a_question_once(
    reader: Api, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.list()
    told()
    other = Recorder()
    other.thread = Thread()  # type: ignore[assignment]  # nothing asks it
    monkeypatch.setattr(reads, "recorder", other)

    reader.list()
    reader.list(sender="a")
    assert other.store()

    assert asked(told) == [("events/", {}), ("events/", {"sender": "a"})]


def test_to_read_the_records_makes_no_more_of_them(reader: Api, told: Told) -> None:
    for _ in range(10):
        reader.list(type="heliograph.read")
        told()

    assert asked(told) == [("events/", {"type": "heliograph.read"})]


def test_a_question_of_any_length_is_cut_and_told_apart(api: Api, told: Told) -> None:
    api.list(sender="x." * 499 + "ab")
    long = {f"data.field{number:03}": "y" for number in range(120)}
    api.list(**long)
    for last in "ab":
        api.list(q="".join(f'"{number} {"some text " * 15}" ' for number in range(20)) + last)

    found = told()
    assert len(found) == 4
    assert all(len(json.dumps(each)) < 60_000 for each in found)
    assert found[1]["untold"] == 120 - len(found[1]["parameters"])
    assert all(len(text) <= limits.VALUE for each in found for pair in each["parameters"].items() for text in pair)


def test_no_token_is_recorded(api: Api, told: Told, key: str) -> None:
    digest = keys.digest(key).hex()
    api.list(q=key, actor=digest)
    api.list(**{f"data.{key}": "1"})
    api.get(f"{API}objects/{key}/{key}/history/")

    found = json.dumps(told())
    assert len(told()) == 3
    assert key[3:11] in found
    assert [secret for secret in (key, key[11:], digest) if secret in found] == []


def test_nothing_is_recorded_where_that_is_switched_off(reader: Api, told: Told, settings: Any) -> None:
    settings.RECORD_READS = False

    reader.list()

    assert told() == []


def test_an_answer_does_not_need_its_record(reader: Api, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = unrecorded()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(recorder, "put", fail)

    assert reader.list().status_code == 200
    assert unrecorded() == before + 1


def test_no_answer_waits_for_the_database_to_take_a_record(
    reader: Api, recorder: Recorder, django_assert_num_queries: Any
) -> None:
    reader.list()

    with django_assert_num_queries(1):  # the page
        reader.list(sender="another")

    assert len(recorder.waiting) == 2


def test_what_cant_be_stored_waits_until_it_can(
    reader: Api, recorder: Recorder, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.list()
    with monkeypatch.context() as outage:
        outage.setattr(operations, "store_each", away)
        outage.setattr(connection, "close", lambda: None)  # it is the test's
        assert not recorder.store()
        reader.list(sender="later")
        assert not recorder.store()

    assert asked(told) == [("events/", {}), ("events/", {"sender": "later"})]


def away(*_: object) -> None:
    raise OperationalError("away")


def test_no_more_waits_than_there_is_room_for_and_the_rest_is_counted(
    reader: Api, recorder: Recorder, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "WAITING", 3)
    before = unrecorded()
    for number in range(5):
        reader.list(sender=str(number))

    assert len(recorder.waiting) == 3
    assert unrecorded() == before + 2
    assert len(told()) == 3
    reader.list(sender="4")
    assert len(told()) == 4, "what was lost is recorded when it is asked again"


def test_no_more_is_remembered_than_there_is_room_for(
    reader: Api, recorder: Recorder, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "REMEMBERED", 3)
    for _ in range(2):
        for number in range(5):
            reader.list(sender=str(number))
            assert len(recorder.recorded) <= 3

    assert len(told()) == 5


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the ids of what would be stored."""
    taken: list[str] = []
    monkeypatch.setattr(operations, "store_each", lambda _, rows: (taken.extend(row.id for row in rows), set()))
    return taken


def test_threads_that_ask_at_once_record_each_question_once(stored: list[str]) -> None:
    recorder = Recorder()
    recorder.thread = Thread()  # type: ignore[assignment]  # nothing asks it
    now = timezone.now()
    questions = [
        Question(project_id=1, actor="a", path=f"/{number}", parameters=(), window=now) for number in range(200)
    ]
    begin = threading.Barrier(8)

    def ask() -> None:
        begin.wait(10)
        for question in questions:
            recorder.put(question, prefix=None)
            recorder.store()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    recorder.store()

    assert len(stored) == len(set(stored)) == 200


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
QUESTIONS = st.builds(
    Question,
    project_id=st.integers(1, 3),
    actor=TEXT,
    path=TEXT,
    parameters=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    window=st.sampled_from([datetime(2026, 11, 1, 0, minute, tzinfo=UTC) for minute in (0, 10)]),
)


@given(one=QUESTIONS, other=QUESTIONS)
def test_questions_are_one_where_they_are_equal_and_nowhere_else(one: Question, other: Question) -> None:
    assert (one.identity() == other.identity()) is (one == other)


@given(question=QUESTIONS)
def test_whoever_knows_the_id_of_a_record_knows_none_to_come(question: Question) -> None:
    """Else a writer could send an event in the place of a record, which would then be there already."""
    later = question._replace(window=question.window + reads.WINDOW)
    one, other = (reads.row(each, each.identity(), None).id for each in (question, later))

    assert one[-12:] != other[-12:]
