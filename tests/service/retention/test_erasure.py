"""An object or an actor is erased: nothing of it is left anywhere, nothing else is gone, and it doesn't come again."""

import threading
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from service.events import operations as events
from service.events import partitions, removal
from service.events.models import Erasure, Event
from service.events.operations import Row
from service.projects import operations as projects
from service.projects.models import Project, Scope
from service.retention import erasure, tasks
from service.retention.pace import Pace
from service.stats import operations as stats
from service.stats.models import Count, Series
from service.telemetry import operations as telemetry
from tests.service.cast import Api, event, uuid7
from tests.service.events.test_partitions import in_threads
from tests.service.events.told import bulk, created, deleted, history, own, related, state
from tests.service.properties import bounded
from tests.service.retention.test_expiry import counted_anew, figures

KEY = "mark-5cf1a8"
OTHER = "kept-77d20b"
EMITTER = "5e0e1d9c-8d2f-4c4f-9f52-0b1f3a4a5b6c"
CUSTOMER = "shop.Customer"
PERSON = f"auth.User/{KEY}"
OBJECT, ACTOR = Erasure.Kind.OBJECT, Erasure.Kind.ACTOR

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(transactional_db: None) -> Project:
    return Project.objects.create(name="shop")


def erased(project: Project, kind: Erasure.Kind, subject: str) -> Erasure:
    asked = erasure.ask(project.pk, kind, subject, "a test")
    erasure.work(Pace())
    found = Erasure.objects.get(project_id=project.pk, id=asked.id)
    assert found.done_at is not None
    return found


def accepted(api: Api, *sent: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.send(list(sent))
    assert answer.json()["rejected"] == 0, answer.content
    return list(sent)


def everything() -> dict[str, str]:
    """Return all rows of all tables, whosever they are, each column as text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.oid::regclass::text, array_agg(format('%I', attname)) FROM pg_class AS c"
            " JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped"
            " JOIN pg_namespace AS n ON n.oid = relnamespace"
            " WHERE relkind IN ('r', 'm') AND nspname !~ '^pg_' AND nspname <> 'information_schema' GROUP BY 1"
        )
        tables = dict(cursor.fetchall())
        found = {}
        for table, columns in tables.items():
            texts = ", ".join(f"{each}::text" for each in columns)
            cursor.execute(f"SELECT coalesce(string_agg(concat_ws('|', {texts}), E'\\n'), '') FROM {table}")
            found[table] = cursor.fetchone()[0]
    return found


def tables_with(text: str) -> set[str]:
    return {name for name, rows in everything().items() if text in rows or text.encode().hex() in rows}


def everywhere(key: str) -> list[dict[str, Any]]:
    """Return events that tell of one customer in all ways that there are."""
    return [
        created(key, name=f"Mr {key}") | {"sender": CUSTOMER, "subject": f"{CUSTOMER}/{key}"},
        own("updated", key, CUSTOMER, changes={"mail": [None, f"{key}@example.com"]}) | {"type": f"{key}.signal"},
        bulk("update", CUSTOMER, pks=[key], where={"id": key}, count=1, values={"name": key}),
        bulk("update", CUSTOMER, pks=[key, OTHER], where={"id__in": [key, OTHER]}, count=2, values={"vip": True}),
        bulk("update", CUSTOMER, pks=None, where={"id__in": [key, OTHER]}, count=1, values={"vip": True}),
        bulk(
            "bulk_create", CUSTOMER, pks=[OTHER, key], count=2, complete=True, fields=["id", "name"],
            rows=[{"id": OTHER, "name": "other"}, {"id": key, "name": key}],
        ),
        related("add", [key, OTHER], 1, "shop.Group", model=CUSTOMER, field="shop.Group.members"),
        bulk("delete", CUSTOMER, pks=None, where={"id": key}, count=3),
        bulk("update", CUSTOMER, pks=None, where={"id": key}, count=0, values={"vip": True}),
        deleted(key, CUSTOMER),
    ]  # fmt: skip


def test_no_table_has_anything_of_an_object_that_was_erased(project: Project, api: Api) -> None:
    accepted(api, *everywhere(KEY), created(1), event(emitterid=EMITTER, sequence="1"))
    stats.fold_all()
    telemetry.fold_all()
    accepted(api, *everywhere(KEY))
    assert {"event_series", "event_delta"} <= tables_with(KEY)

    done = erased(project, OBJECT, f"{CUSTOMER}/{KEY}")

    assert tables_with(KEY) == set()
    assert (done.subject, done.removed, done.redacted) == (None, 8, 12)
    assert figures(project) == counted_anew(project)
    assert not Count.objects.filter(count__lte=0).exists()
    assert not Series.objects.filter(count__lte=0).exists()


def test_of_what_was_erased_nothing_else_is_gone(project: Project, api: Api, neighbours_api: Api) -> None:
    kept = accepted(
        api,
        *everywhere("another"),
        created(1),
        created(KEY),
        bulk("update", "shop.Order", pks=[KEY], where=None, count=1),
    )
    sent = accepted(api, *everywhere(KEY))
    accepted(neighbours_api, *everywhere(KEY))
    before = {each["id"]: api.read(each["id"]).json() for each in kept}

    erased(project, OBJECT, f"{CUSTOMER}/{KEY}")

    assert {each["id"]: api.read(each["id"]).json() for each in kept} == before
    assert [api.read(each["id"]).status_code for each in sent] == [404, 404, 404, 200, 200, 200, 200, 200, 200, 404]
    assert len(neighbours_api.listed()) == 10
    assert len(history(api, KEY, CUSTOMER)) == 0


def test_of_calls_on_many_the_others_are_told_as_before(project: Project, api: Api) -> None:
    accepted(api, *everywhere(KEY))
    before = [state(api, OTHER, CUSTOMER)["fields"], len(history(api, OTHER, CUSTOMER))]

    erased(project, OBJECT, f"{CUSTOMER}/{KEY}")

    assert [state(api, OTHER, CUSTOMER)["fields"], len(history(api, OTHER, CUSTOMER))] == before
    told = {each["action"]: each["data"] for each in api.list(type__startswith="heliograph").json()["results"]}
    assert told["bulk_create"]["pks"] == [OTHER, None]
    assert told["bulk_create"]["rows"] == [{"id": OTHER, "name": "other"}, {}]
    assert told["update"]["where"] is None


def test_rows_that_may_be_at_anothers_place_go(project: Project, api: Api) -> None:
    rows = [{"name": KEY}, {"id": OTHER, "name": "other"}]
    accepted(api, bulk("bulk_create", CUSTOMER, pks=[OTHER, KEY], count=3, fields=["name"], rows=rows))

    erased(project, OBJECT, f"{CUSTOMER}/{KEY}")

    (left,) = api.list().json()["results"]
    assert (left["data"]["pks"], left["data"]["rows"]) == ([OTHER, None], [])


def by_person(key: str = PERSON) -> list[dict[str, Any]]:
    name = key.partition("/")[2]
    return [
        created(1, total=5) | {"actor": key, "traceparent": f"00-{'4' * 32}-{'7' * 16}-01"},
        event(type="django.core.signals.request_finished", actor=key, data={"path": f"/users/{name}/"}),
        own("updated", name, "auth.User", changes={"name": ["a", name]}) | {"actor": key},
    ]


def test_no_table_has_anything_of_an_actor_that_was_erased(project: Project, api: Api) -> None:
    sent = accepted(api, *by_person(), *by_person("auth.User/8"))
    stats.fold_all()

    done = erased(project, ACTOR, PERSON)

    assert tables_with(KEY) == set()
    assert (done.removed, done.redacted) == (2, 1)
    assert [api.read(each["id"]).status_code for each in sent] == [200, 404, 404, 200, 200, 200]
    assert figures(project) == counted_anew(project)


def test_what_an_erased_actor_did_to_objects_stays_in_their_history(project: Project, api: Api) -> None:
    (sent, *_) = accepted(api, *by_person())
    before = api.read(sent["id"]).json()

    erased(project, ACTOR, PERSON)

    after = api.read(sent["id"]).json()
    assert after.pop("erased") == "actor"
    before.pop("actor")
    assert after == before


def test_an_erased_actors_calls_on_many_stay_in_the_history_of_each(project: Project, api: Api) -> None:
    calls = [
        bulk("bulk_create", pks=[5], count=1, complete=True, fields=["id"], rows=[{"id": 5}]),
        bulk("update", pks=[1], where={"id": 1}, count=1, values={"status": "paid"}),
        event(subject="shop.Order/7"),  # of a producer that tells no sender
    ]
    accepted(api, created(1, status="new"), *[each | {"actor": PERSON} for each in calls])
    before = [len(history(api, key)) for key in (1, 5)], state(api, 1)["fields"]

    done = erased(project, ACTOR, PERSON)

    assert ([len(history(api, key)) for key in (1, 5)], state(api, 1)["fields"]) == before
    assert (done.removed, done.redacted) == (0, 3)
    assert tables_with(PERSON) == set()


def test_who_did_it_is_in_no_entry_that_was_imported(project: Project, api: Api) -> None:
    imported = own("updated", 1, changes={"a": [1, 2]})
    imported["data"] |= {"imported": {"from": "auditlog"}, "actor_email": f"{KEY}@example.com", "ip": "192.0.2.77"}
    mine = own("updated", 1, ip="198.51.100.1", changes={})
    accepted(api, *[each | {"actor": PERSON} for each in (imported, mine)])

    erased(project, ACTOR, PERSON)

    assert tables_with(KEY) == tables_with("192.0.2.77") == set()
    told = api.read(imported["id"]).json()["data"]
    assert (told["changes"], told["imported"]) == ({"a": [1, 2]}, {"from": "auditlog"})
    assert api.read(mine["id"]).json()["data"]["ip"] == "198.51.100.1"


def test_what_waits_is_waited_for_once_and_holds_up_no_retention(
    project: Project, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "FENCED", 0.3)
    monkeypatch.setattr(tasks, "Pace", partial(Pace, seconds=0.5))
    accepted(api, event(id=str(uuid7(timezone.now() - timedelta(days=40)))))
    Project.objects.filter(pk=project.pk).update(retention_days=30)

    def ask_and_remove() -> None:
        for number in range(5):
            erasure.ask(project.pk, ACTOR, f"auth.User/{number}", "a test")
        tasks.remove.func(timestamp=0)

    with transaction.atomic():
        stored = event(type="open")
        events.store(project.pk, [Row(id=stored["id"], type="open", source="/a", occurred_at=timezone.now())])
        in_threads(1, ask_and_remove)

    assert [str(each.id) for each in Event.objects.all()] == [stored["id"]]
    assert Erasure.objects.filter(done_at=None).count() == 5


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("data", ["imported", ["imported", "ip"], "model", ["model", "pks"], 7, None])
def test_events_with_other_data_than_ours_are_erased_like_others(
    project: Project, api: Api, data: Any, late: bool
) -> None:
    sent = event(actor=PERSON, sender="shop.Order", subject="shop.Order/1", data=data)
    accepted(api, *([] if late else [sent]))

    erased(project, ACTOR, PERSON)
    accepted(api, sent)

    [left] = Event.objects.all()
    assert (left.actor, left.data) == (None, data)


def test_one_that_fails_holds_up_no_other_and_no_retention(
    project: Project, neighbour: Project, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = erasure.steps
    monkeypatch.setattr(erasure, "steps", lambda each: 1 / failing() if each.subject == OTHER else steps(each))
    accepted(api, event(id=str(uuid7(timezone.now() - timedelta(days=40)))), event(actor=PERSON))
    Project.objects.filter(pk=project.pk).update(retention_days=30)

    def failing() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        return 1

    for each, subject in ((project, OTHER), (project, PERSON), (neighbour, OTHER), (neighbour, PERSON)):
        erasure.ask(each.pk, ACTOR, subject, "a test")
    tasks.remove.func(timestamp=0)

    assert {each.subject for each in Erasure.objects.filter(done_at=None)} == {OTHER}
    assert not Event.objects.exists()
    monkeypatch.setattr(erasure, "steps", steps)
    erasure.work(Pace())
    assert not Erasure.objects.filter(done_at=None).exists()


def test_retention_goes_on_whatever_becomes_of_erasures(
    project: Project, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(api, event(id=str(uuid7(timezone.now() - timedelta(days=40)))))
    Project.objects.filter(pk=project.pk).update(retention_days=30)
    monkeypatch.setattr(erasure, "work", lambda pace: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        tasks.remove.func(timestamp=0)

    assert not Event.objects.exists()


def test_an_erasure_waits_for_a_month_that_may_come_back(project: Project, api: Api) -> None:
    """As where the retention is raised before a month is dropped that was detached."""
    partitions.ensure(timezone.now())
    month = sorted(partitions.existing())[1]
    there = event(id=str(uuid7(partitions.Month.of(month).start + timedelta(days=3))), actor=PERSON)
    accepted(api, there, event(actor=PERSON))
    erasure.ask(project.pk, ACTOR, PERSON, "a test")
    partitions.detach(month)

    erasure.work(Pace())
    assert Erasure.objects.get().done_at is None
    assert partitions.ensure(timezone.now()) == [month]
    assert api.read(there["id"]).status_code == 200
    erasure.work(Pace())

    assert Erasure.objects.get().done_at is not None
    assert not Event.objects.exists()


def test_what_was_removed_may_come_again_before_its_going_is_counted(project: Project, api: Api) -> None:
    """As an event whose clock is ahead, which occurs later than it was erased."""
    ahead = timezone.now() + timedelta(minutes=10)
    sent = event(id=str(uuid7(ahead)), time=ahead.isoformat(), actor=PERSON, emitterid=EMITTER, sequence="1")
    accepted(api, sent)
    erased(project, ACTOR, PERSON)

    for _ in range(3):
        answer = api.send([sent])
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
        assert removal.remove(project.pk, [UUID(sent["id"])]) == 1

    assert figures(project) == counted_anew(project)
    stats.fold(project.pk)
    telemetry.fold_all()
    assert figures(project) == counted_anew(project)


class Batches(Pace):
    """A run that is over after so many batches."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    @property
    def goes_on(self) -> bool:
        self.left -= 1
        return self.left >= 0


def runs(most: int) -> int:
    """Go on a batch at a time until all is erased; return how many that took."""
    for number in range(most):
        if not Erasure.objects.filter(done_at=None).exists():
            return number
        erasure.work(Batches(1))
    raise AssertionError(f"It isn't done after {most} runs.")


def test_projects_take_turns(
    project: Project, neighbour: Project, api: Api, neighbours_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BATCH", 2)
    accepted(api, *[event(actor=PERSON) for _ in range(30)])
    accepted(neighbours_api, event(actor=PERSON))
    for each in (project, neighbour):
        erasure.ask(each.pk, ACTOR, PERSON, "a test")

    erasure.work(Batches(6))

    assert Erasure.objects.get(project_id=neighbour.pk).done_at is not None
    assert Event.objects.count() == 30 - 3 * 2


def test_one_that_nothing_is_found_of_is_done_however_short_a_run_is(project: Project) -> None:
    for number in range(5):
        erasure.ask(project.pk, ACTOR, f"auth.User/{number}", "a test")

    assert runs(most=10) <= 6


def test_a_fence_of_another_server_is_set_again(project: Project, api: Api) -> None:
    """As after a dump was restored where fewer transactions have been."""
    accepted(api, event(actor=PERSON))
    erasure.ask(project.pk, ACTOR, PERSON, "a test")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE event_erasure SET fence = '999999999999'")

    erasure.work(Pace())

    assert Erasure.objects.get().done_at is not None
    assert not Event.objects.exists()


@pytest.mark.parametrize("quick", [False, True])
def test_what_was_erased_doesnt_come_again_when_it_is_sent_again(project: Project, api: Api, quick: bool) -> None:
    sent = accepted(api, *everywhere(KEY), *by_person(), created(1))
    erased(project, OBJECT, f"{CUSTOMER}/{KEY}")
    erased(project, ACTOR, PERSON)
    before = everything()

    answer = api.send(sent) if quick else [api.send(each) for each in sent]

    after = everything()
    assert {name for name in after if after[name] != before[name]} <= {"projects_key"}
    assert quick is False or answer.json()["duplicates"] == len(sent)
    assert tables_with(KEY) == set()


def test_what_comes_late_for_the_first_time_is_treated_as_what_was_stored(project: Project, api: Api) -> None:
    """As from a spool, or from an import."""
    late = [*everywhere(KEY), *by_person(), *everywhere("another"), created(1)]
    first = Project.objects.create(name="first")
    stored = Api(key=projects.create_key(first, [Scope.EVENTS_WRITE, Scope.EVENTS_READ]))
    accepted(stored, *late)
    for each in (first, project):
        erased(each, OBJECT, f"{CUSTOMER}/{KEY}")
        erased(each, ACTOR, PERSON)

    accepted(api, *late)

    assert tables_with(KEY) == set()
    told = [
        {each.pop("id"): {**each, "recordedtime": None} for each in every.list(page_size=1000).json()["results"]}
        for every in (api, stored)
    ]
    assert told[0] == told[1]
    assert figures(project) == counted_anew(project)


KEYS = st.sampled_from(["a", "b", "a/b", "1", 1, 1.5, True, None, "", 'q"\\,', "ü", ["a"], ["a", 1], {"a": 1}])
NAMES = st.sampled_from(["m", "n", "m/a"])
DATA = st.fixed_dictionaries(
    {},
    optional={
        "model": NAMES | st.none() | st.just(5),
        "pks": st.lists(KEYS, max_size=4) | st.none() | st.just("a"),
        "where": st.dictionaries(st.sampled_from(["id", "pk__in"]), KEYS | st.lists(KEYS, max_size=3)) | KEYS,
        "rows": st.lists(st.fixed_dictionaries({"id": KEYS}), max_size=4) | st.none(),
        "count": st.integers(0, 4),
        "imported": st.fixed_dictionaries({"from": st.just("auditlog")}),
        "actor_email": st.just("a@example.com"),
    },
)
SENT = st.fixed_dictionaries(
    {},
    optional={
        "sender": NAMES,
        "subject": st.sampled_from(["m/a", "m/a/b", "n/a", "u/1", "a", "m/b"]),
        "actor": st.sampled_from(["u/1", "u/2", "m/a"]),
        "action": st.sampled_from(["created", "updated", "m2m_add"]),
        "data": DATA,
    },
)


@bounded(100)
@example(sent=[{"subject": "m/a/b", "data": {"model": "m", "pks": ["a"]}}], asked="m/a")
@given(sent=st.lists(SENT, min_size=1, max_size=8), asked=st.sampled_from(["m/a", "m/a/b", "n/1", "m/a,1", "u/1"]))
def test_what_is_stored_and_what_comes_late_are_treated_alike(sent: list[Any], asked: str, db: None) -> None:
    """Of any form: it is done by Python to what is stored, and by a function of Postgres to what comes."""
    for each in sent:  # as all calls on many are told by emitters, and other events have no conditions
        if "where" in each.get("data", {}):
            each.update(sender="m", subject=None, data={**each["data"], "model": "m"})
    late = [event(**each) for each in sent]
    told = []
    for is_stored in (True, False):
        made = Project.objects.create(name=str(uuid7()))
        api = Api(key=projects.create_key(made, [Scope.EVENTS_WRITE, Scope.EVENTS_READ]))
        if is_stored:
            accepted(api, *late)
            Event.objects.filter(project_id=made.pk).update(received_at=timezone.now() - timedelta(hours=1))
        erased(made, OBJECT, asked)
        erased(made, ACTOR, asked)
        if not is_stored:
            accepted(api, *late)
        found = api.list(page_size=100).json()["results"]
        told.append({each.pop("id"): {**each, "recordedtime": None} for each in found})
        assert not any(asked in (each.get("subject"), each.get("actor")) for each in found)
        assert figures(made) == counted_anew(made)
    assert told[0] == told[1]


def test_what_happens_after_the_erasure_is_stored(project: Project, api: Api) -> None:
    erased(project, OBJECT, f"{CUSTOMER}/{KEY}")
    erased(project, ACTOR, PERSON)

    sent = accepted(
        api, created(1) | {"actor": PERSON, "id": event()["id"]}, event(sender=CUSTOMER, subject=f"{CUSTOMER}/{KEY}")
    )

    assert [api.read(each["id"]).json().get("actor") for each in sent] == [PERSON, None]
    assert Event.objects.count() == 2


def test_an_erasure_waits_for_what_is_being_stored(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that began before the erasure could be seen commits after it."""
    monkeypatch.setattr(erasure, "FENCED", 0.0)
    row = events.Row(
        id=event()["id"], type="a", source="/a", occurred_at=timezone.now() - timedelta(minutes=1), actor=PERSON
    )
    stored, asked = threading.Event(), threading.Event()

    def store() -> None:
        with transaction.atomic():
            events.store(project.pk, [row])
            stored.set()
            assert asked.wait(30)

    def ask() -> None:
        assert stored.wait(30)
        try:
            erasure.ask(project.pk, ACTOR, PERSON, "a test")
            erasure.work(Pace())
            assert Erasure.objects.get().done_at is None
        finally:
            asked.set()

    works = [store, ask]
    in_threads(2, lambda: works.pop()())  # noqa: PLW0108  # each thread another
    erasure.work(Pace())

    assert Erasure.objects.get().done_at is not None
    assert Event.objects.count() == 0


def test_an_erasure_waits_for_what_began_to_be_stored_while_it_was_asked_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for by an older transaction is committed without any number after that of what is stored."""
    monkeypatch.setattr(erasure, "FENCED", 0.0)
    asking, stored, asked = (threading.Event() for _ in range(3))
    row = Row(id=event()["id"], type="a", source="/a", occurred_at=timezone.now(), actor=PERSON)

    def ask() -> None:
        try:
            with transaction.atomic():
                erasure.ask(project.pk, ACTOR, PERSON, "a test")
                asking.set()
                assert stored.wait(30)
            erasure.work(Pace())
            assert Erasure.objects.get().done_at is None
        finally:
            asked.set()

    def store() -> None:
        assert asking.wait(30)
        with transaction.atomic():
            events.store(project.pk, [row])
            stored.set()
            assert asked.wait(30)

    works = [store, ask]
    in_threads(2, lambda: works.pop()())  # noqa: PLW0108  # each thread another
    erasure.work(Pace())

    assert Event.objects.count() == 0


@pytest.mark.parametrize(
    "told", [{"subject": "a/b/42"}, {"sender": "a", "subject": "a/b/42"}, {"sender": "a/b", "subject": "a/b/42"}]
)
@pytest.mark.parametrize("late", [False, True])
def test_an_object_is_found_however_its_subject_was_told(
    project: Project, api: Api, told: dict[str, str], late: bool
) -> None:
    sent, others = event(**told), [event(subject="a/b/421"), event(sender="a/b", subject="x/42")]
    accepted(api, *([] if late else [sent]), *others)

    done = erased(project, OBJECT, "a/b/42")
    accepted(api, sent)

    assert {str(each.id) for each in Event.objects.all()} == {each["id"] for each in others}
    assert done.removed == (not late)


def test_the_digest_tells_projects_apart_and_no_subject(project: Project, neighbour: Project) -> None:
    one, other = (erased(each, ACTOR, PERSON) for each in (project, neighbour))

    assert bytes(one.digest) != bytes(other.digest)
    assert PERSON.encode() not in bytes(one.digest)


def test_it_ends_in_time_and_goes_on_from_there(project: Project, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "BATCH", 3)
    accepted(api, *[event(actor=PERSON) for _ in range(10)])
    erasure.ask(project.pk, ACTOR, PERSON, "a test")

    erasure.work(Batches(1))
    found = Erasure.objects.get()
    assert (found.removed, found.done_at, Event.objects.count()) == (3, None, 7)

    tasks.remove.func(timestamp=0)

    found = Erasure.objects.get()
    assert (found.removed, Event.objects.count(), found.subject) == (10, 0, None)


def test_the_command_asks_and_the_worker_does(project: Project, api: Api) -> None:
    accepted(api, *everywhere(KEY), *by_person())
    told = StringIO()

    call_command("erase", "shop", "--object", f"{CUSTOMER}/{KEY}", "--actor", PERSON, stdout=told)

    assert {str(each.id) for each in Erasure.objects.filter(done_at=None)} == set(told.getvalue().split())
    tasks.remove.func(timestamp=0)
    assert tables_with(KEY) == set()
    assert {each.asked_by for each in Erasure.objects.all()} == {"manage.py erase"}


def test_the_command_can_wait(project: Project, api: Api) -> None:
    accepted(api, *by_person())

    call_command("erase", "shop", "--actor", PERSON, "--wait", stdout=StringIO())

    assert tables_with(KEY) == set()


@pytest.mark.parametrize(
    "words", [["nobody", "--actor", "a/1"], ["shop"], ["shop", "--object", "42"], ["shop", "--actor", ""]]
)
def test_the_command_says_what_is_wrong(project: Project, words: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("erase", *words, stdout=StringIO())
    assert not Erasure.objects.exists()
