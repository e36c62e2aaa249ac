"""The records of reads forget whom they ask for, when that is erased, and nothing else."""

from typing import Any

import msgspec
import pytest
from django.utils import timezone

from service.access import reads
from service.events import operations as events
from service.events import records
from service.events.models import Erasure, Event
from service.events.records import Record
from service.projects.models import Project
from service.retention import erasure
from service.retention.pace import Pace
from tests.service.retention.test_erasure import ACTOR, CUSTOMER, KEY, OBJECT, OTHER, Batches, erased, runs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("kind", [OBJECT, ACTOR])
def test_records_of_reads_forget_what_was_asked_for(project: Project, kind: Erasure.Kind) -> None:
    subject, other = f"{CUSTOMER}/{KEY} “ü”", f"{CUSTOMER}/{OTHER}"
    questions: list[dict[str, Any]] = [
        {"path": f"/api/v1/objects/{subject}/history/", "parameters": {}},
        {"path": "/api/v1/events/", "parameters": {"q": f"actor:{subject}"}},
        {"path": "/api/v1/events/", "parameters": {"sender": CUSTOMER, "object_id": f"{KEY} “ü”"}},
        {"path": f"/api/v1/objects/{other}/history/", "parameters": {}},
    ]
    rows = [records.row(Record.READ, "heliograph.Key/1", each | {"prefix": "hg_1"}) for each in questions]
    events.store(project.pk, rows)

    done = erased(project, kind, subject)

    left = Event.objects.filter(project_id=project.pk).order_by("occurred_at")
    assert [each.actor for each in left] == ["heliograph.Key/1"] * 4
    forgotten: dict[str, Any] = {"prefix": "hg_1", "erased": kind}
    assert [each.data for each in left] == [
        forgotten,
        *[forgotten | {"path": "/api/v1/events/"}] * 2,
        questions[3] | {"prefix": "hg_1"},
    ]
    assert (done.removed, done.redacted) == (0, 3)


@pytest.mark.parametrize(
    ("subject", "parameters"),
    [
        ("api/v1", {}),
        ("v1/objects", {}),
        ("shop.Customer/4", {}),
        ("r/42", {}),
        ("e/vent", {"q": "event"}),
        ("auth.User/7", {"actor": "auth.User/70"}),
        ("auth.User/7", {"actor__in": "auth.User/70,auth.User/71"}),
        ("shop.Customer/2", {"object_id": "42"}),
    ],
)
@pytest.mark.parametrize("kind", [OBJECT, ACTOR])
def test_records_of_reads_keep_what_was_asked_for_by_a_name_that_is_a_part_of_it(
    project: Project, kind: Erasure.Kind, subject: str, parameters: dict[str, str]
) -> None:
    question = {"path": f"/api/v1/objects/{CUSTOMER}/42/history/", "parameters": parameters, "prefix": "hg_1"}
    events.store(project.pk, [records.row(Record.READ, "heliograph.Key/1", question)])

    erased(project, kind, subject)

    assert [each.data for each in Event.objects.filter(project_id=project.pk)] == [question]


def left() -> list[Any]:
    return list(Event.objects.order_by("id").values_list("data", flat=True))


def asked(parameters: dict[str, str], path: str = "/api/v1/events/") -> events.Row:
    data = {"path": path, "parameters": parameters, "prefix": "hg_1"}
    return records.row(Record.READ, "heliograph.Key/1", data)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"sender": CUSTOMER, "object_id": "42"}, True),
        ({"sender__in": f"shop.Order,{CUSTOMER}", "object_id__in": "41,42"}, True),
        ({"object_id": "42"}, True),
        ({"data.pks.0": "42", "data.model": CUSTOMER}, True),
        ({"data.pks": "42"}, True),
        ({"data.id": "42", "sender": CUSTOMER}, True),
        ({"q": f'sender:{CUSTOMER} object_id:"42"'}, True),
        ({"q": f'sender:{CUSTOMER} "42"'}, True),
        ({"q": f'"{CUSTOMER}/42"'}, True),
        ({"q": "-object_id:42"}, True),
        ({"q": "OBJECT_ID:42"}, True),
        ({"q": f"data.pks.0:42 data.model:{CUSTOMER}"}, True),
        ({"data.customer": f"{CUSTOMER}/42"}, True),
        ({"sender": "shop.Order", "object_id": "42"}, False),
        ({"q": "sender:shop.Order object_id:42"}, False),
        ({"data.model": "shop.Order", "data.pks.0": "42"}, False),
        ({"sender": CUSTOMER, "object_id": "421"}, False),
        ({"data.fields.total": "42"}, False),
        ({"q": "42"}, False),
        ({"sender": CUSTOMER, "time__gte": "42"}, False),
    ],
)
def test_an_object_is_asked_for_by_its_key_and_model(project: Project, parameters: dict[str, str], named: bool) -> None:
    events.store(project.pk, [asked(parameters)])

    erased(project, OBJECT, f"{CUSTOMER}/42")

    [left] = Event.objects.all()
    assert isinstance(left.data, dict)
    assert ("parameters" in left.data, left.data.get("erased")) == ((False, OBJECT) if named else (True, None))


@pytest.mark.parametrize("data", ["parameters", ["path"], {"path": 7, "parameters": ["a"]}, {"parameters": {"q": 7}}])
def test_records_that_somebody_else_made_are_no_matter(project: Project, data: Any) -> None:
    """As those of an archive."""
    row = asked({})
    row.data = msgspec.Raw(msgspec.json.encode(data))
    events.store(project.pk, [row])

    erased(project, OBJECT, f"{CUSTOMER}/42")

    assert [each.data for each in Event.objects.all()] == [data]


def test_what_is_recorded_late_forgets_whatever_it_asked_for(project: Project, neighbour: Project) -> None:
    """A read is recorded a moment after it was answered."""
    question = reads.Question(
        project.pk, "heliograph.Key/1", f"/api/v1/objects/{CUSTOMER}/{KEY}/history/", (("q", KEY),), timezone.now()
    )
    row = reads.row(question, question.identity(), None)
    erased(project, OBJECT, f"{CUSTOMER}/{KEY}")
    later = asked({"q": KEY})

    reads.store_all([(project.pk, row), (project.pk, later), (neighbour.pk, row)])

    told = {(each.project_id, str(each.id)): each.data for each in Event.objects.all()}
    assert told[project.pk, row.id] == {"erased": "late"}
    assert told[project.pk, later.id] == {"path": "/api/v1/events/", "parameters": {"q": KEY}, "prefix": "hg_1"}
    assert told[neighbour.pk, row.id] == {"path": question.path, "parameters": {"q": KEY}}


def test_what_was_asked_for_later_is_kept(project: Project) -> None:
    """Who looks whether it is gone says so in a record, which is of another time."""
    erasure.ask(project.pk, OBJECT, f"{CUSTOMER}/{KEY}", "a test")
    events.store(project.pk, [asked({"q": f"{CUSTOMER}/{KEY}"})])

    erasure.work(Pace())

    assert Erasure.objects.get().done_at is not None
    assert "parameters" in left()[0]


def test_all_are_looked_for_in_one_pass_that_goes_on_where_it_ended(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BATCH", 2)
    events.store(project.pk, [asked({"actor": f"auth.User/{number % 4}"}) for number in range(21)])
    for number in range(3):
        erasure.ask(project.pk, ACTOR, f"auth.User/{number}", "a test")

    assert runs(most=20) == 3 + 11 + 1

    kept = [data["parameters"]["actor"] for data in left() if "parameters" in data]
    assert kept == ["auth.User/3"] * 5
    assert [each.redacted for each in Erasure.objects.order_by("asked_at")] == [6, 5, 5]


def test_one_that_is_asked_for_meanwhile_neither_waits_for_ever_nor_holds_the_others_up(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BATCH", 2)
    events.store(project.pk, [asked({"actor": f"auth.User/{number}"}) for number in range(20)])
    erasure.ask(project.pk, ACTOR, "auth.User/0", "a test")
    for number in range(1, 15):
        erasure.work(Batches(3))
        erasure.ask(project.pk, ACTOR, f"auth.User/{number}", "a test")
        if first := Erasure.objects.filter(redacted=1, done_at__isnull=False).order_by("asked_at").first():
            break

    assert first
    runs(most=60)
    assert sum("parameters" not in data for data in left()) == Erasure.objects.count()
