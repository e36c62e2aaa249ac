"""Whatever was stored, folded and asked: the answer is what counting the rows one by one gives."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from service.events import operations as events
from service.events.operations import Row
from service.projects import operations as projects
from service.projects.models import Project, Scope
from service.stats import operations
from tests.service.cast import Api, uuid7
from tests.service.properties import bounded
from tests.service.stats import plain

INTERVALS = ["minute", "hour", "day", "week", "month"]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# A month's last days and the first of the next, so that each interval has an edge among them.
MIDDLE = (timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0) - DAY).replace(day=1)
ONE = timedelta(microseconds=1)

edges = st.sampled_from([-ONE, timedelta(0), ONE, MINUTE - ONE, 29 * MINUTE, HOUR - ONE])
moments = st.builds(lambda hours, edge: MIDDLE + hours * HOUR + edge, st.integers(-60, 60), edges)
skews = st.sampled_from([timedelta(0)] * 4 + [-DAY, DAY, HOUR, -HOUR, 5 * MINUTE])
NAMES = {
    "type": ["post_save", "POST_SAVE", "päid", "a,b", '"', "post"],
    "source": ["/web", "/worker"],
    "sender": [None, "shop.Order", "shop.order", "(shop)", "NULL"],
    "action": [None, "created", "updated"],
    "actor": [None, "auth.User/1", "auth.User/2"],
    "object_id": [None, "1", "2"],
    "outcome": [None, "committed", "rolledback"],
}


@st.composite
def rows(draw: st.DrawFn) -> Row:
    moment = draw(moments)
    values = {name: draw(st.sampled_from(known)) for name, known in NAMES.items()}
    if values["sender"] is None:
        values["object_id"] = None
    return Row(id=str(uuid7(moment + draw(skews))), occurred_at=moment, **values)  # type: ignore[arg-type]


# Store, store and roll back, store some of what is stored already, fold a little, fold all.
steps = st.lists(
    st.tuples(st.sampled_from(["store", "undo", "repeat"]), st.lists(rows(), max_size=12))
    | st.tuples(st.just("fold"), st.integers(1, 4))
    | st.tuples(st.just("fold all"), st.none()),
    max_size=8,
)


def carry_out(project: Project, done: Sequence[tuple[str, Any]]) -> list[Row]:
    """Carry out the steps and return the rows that are stored then."""
    stored: list[Row] = []
    for name, what in done:
        match name:
            case "store":
                events.store(project.pk, what)
                stored += what
            case "repeat":
                events.store(project.pk, what + stored[::2])
                stored += what
            case "undo":
                undone(project, what)
            case "fold":
                operations.fold_some(project.pk, what)
            case _:
                operations.fold(project.pk)
    return stored


def undone(project: Project, what: Sequence[Row]) -> None:
    with transaction.atomic():
        events.store(project.pk, what)
        transaction.set_rollback(True)


def reader() -> tuple[Project, Api]:
    project = Project.objects.create(name=str(uuid7()))
    return project, Api(key=projects.create_key(project, [Scope.EVENTS_READ]))


def has(name: str, value: str) -> tuple[str, str, Callable[[Row], bool]]:
    return name, value, lambda row: bool(getattr(row, name) == value)


FILTERS = [
    *(has(name, value) for name, values in NAMES.items() for value in values if value and name != "source"),
    ("type__in", "post,post_save", lambda row: row.type in {"post", "post_save"}),
    ("type__startswith", "post", lambda row: row.type.startswith("post")),
    ("sender__in", "shop.Order,NULL", lambda row: row.sender in {"shop.Order", "NULL"}),
    ("q", "-sender:shop.Order", lambda row: row.sender != "shop.Order"),
    ("q", "-action:created type:post", lambda row: row.action != "created" and row.type == "post"),
    ("q", "-object_id:1", lambda row: row.object_id != "1"),
    ("q", f"-time__gte:{MIDDLE:%FT%TZ}", lambda row: row.occurred_at < MIDDLE),
]
# No parameter twice.
filters = st.lists(st.sampled_from(FILTERS), max_size=2, unique_by=lambda each: each[0])


def matching(rows: Sequence[Row], since: datetime, until: datetime, chosen: Sequence[Any]) -> list[Row]:
    return [row for row in plain.within(rows, since, until) if all(holds(row) for _, _, holds in chosen)]


def ask(api: Api, address: str, **parameters: Any) -> Any:
    told = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in parameters.items()}
    return plain.told(api.get(f"/api/v1/{address}/?{urlencode(told)}"))


@bounded(120)
@given(
    done=steps,
    asked=st.lists(
        st.tuples(
            st.sampled_from(INTERVALS),
            st.none() | st.sampled_from(["type", "source", "sender", "action", "outcome", "actor"]),
            st.tuples(moments, moments).filter(lambda pair: pair[0] != pair[1]).map(sorted),
            filters,
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_histogram_is_what_the_rows_give(db: None, done: Any, asked: Any) -> None:
    project, api = reader()
    stored = carry_out(project, done)

    for interval, by, (since, end), chosen, limit in asked:
        until = min(end, since + 900 * MINUTE) if interval == "minute" else end
        told = {name: value for name, value, _ in chosen}
        grouped = {} if by is None else {"group_by": by, "limit": limit}
        answer = ask(api, "stats/histogram", interval=interval, time__gte=since, time__lt=until, **told, **grouped)
        rows = matching(stored, since, until, chosen)
        times = plain.buckets(since, until, interval)
        ranked = plain.ranked(rows, by)[:limit] if by else []
        shown = [[row for row in rows if plain.value(row, by) == value] for value, _ in ranked]
        others = [row for row in rows if by and plain.value(row, by) not in [value for value, _ in ranked]]
        assert answer["times"] == times
        assert answer["counts"] == plain.histogram(rows, times, interval)
        assert answer["count"] == len(rows)
        assert answer["groups"] == [
            {"value": value, "count": count, "counts": plain.histogram(some, times, interval)}
            for (value, count), some in zip(ranked, shown, strict=True)
        ]
        assert answer["others"] == (
            {"count": len(others), "counts": plain.histogram(others, times, interval)} if by else None
        )


@bounded(80)
@given(
    done=steps,
    asked=st.tuples(moments, moments, filters, st.integers(1, 4)).filter(lambda asked: asked[0] != asked[1]),
    by=st.sampled_from(["type", "source", "sender", "action", "outcome", "actor", "object"]),
)
def test_the_top_is_what_the_rows_give(db: None, done: Any, asked: Any, by: str) -> None:
    project, api = reader()
    stored = carry_out(project, done)
    one, other, chosen, limit = asked
    since, until = sorted([one, other])
    told = {name: value for name, value, _ in chosen}

    answer = ask(api, "stats/top", by=by, time__gte=since, time__lt=until, limit=limit, **told)

    rows = matching(stored, since, until, chosen)
    ranked = plain.ranked(rows, by)
    assert (answer["count"], answer["values"]) == (len(rows), len(ranked))
    assert [(each["value"], each["count"]) for each in answer["results"]] == ranked[:limit]
    assert all(each["share"] == round(each["count"] / len(rows), 6) for each in answer["results"])


@bounded(40)
@given(done=steps)
def test_the_signals_are_those_of_the_rows(db: None, done: Any) -> None:
    project, api = reader()
    stored = carry_out(project, done)

    answer = ask(api, "signals", page_size=1000)

    found = {(each["type"], each["sender"]): each for each in answer["results"]}
    assert len(found) == len(answer["results"])
    assert found.keys() == {(row.type, row.sender) for row in stored}
    for (kind, sender), each in found.items():
        times = sorted(row.occurred_at for row in stored if (row.type, row.sender) == (kind, sender))
        assert each["count"] == len(times)
        assert datetime.fromisoformat(each["first_seen"]) == times[0]
        assert datetime.fromisoformat(each["last_seen"]) == times[-1]


@bounded(40)
@given(
    ages=st.lists(
        st.integers(-3 * 60, 26 * 60).map(lambda minutes: minutes * MINUTE + 30 * timedelta(seconds=1)), max_size=20
    ),
    skew=skews,
    folded=st.booleans(),
)
def test_the_rates_of_a_signal_are_those_of_the_last_hour_and_day(
    db: None, ages: list[timedelta], skew: timedelta, folded: bool
) -> None:
    project, api = reader()
    now = timezone.now()
    sent = [Row(id=str(uuid7(now - age - skew)), type="a", source="/a", occurred_at=now - age) for age in ages]
    events.store(project.pk, sent)
    if folded:
        operations.fold(project.pk)

    (rates,) = ask(api, "signals")["results"] or [{"last_hour": 0, "last_day": 0}]

    assert rates["last_hour"] == sum(timedelta() <= age < HOUR for age in ages)
    assert rates["last_day"] == sum(timedelta() <= age < DAY for age in ages)


def test_ids_that_differ_from_their_events_time_are_counted(db: None) -> None:
    """The furthest that ingest takes: the bounds on ids have to hold them, also within a millisecond."""
    project, api = reader()
    moment = MIDDLE.astimezone(UTC) + 30 * MINUTE + 400 * ONE
    ids: list[UUID] = [uuid7(moment + skew) for skew in (-DAY, DAY)]
    events.store(project.pk, [Row(id=str(each), type="a", source="/a", occurred_at=moment) for each in ids])

    for fold in (False, True):
        if fold:
            operations.fold(project.pk)
        answer = ask(api, "stats/histogram", interval="minute", time__gte=moment, time__lt=moment + ONE)
        assert answer["counts"] == [2]
