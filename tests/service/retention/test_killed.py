"""The worker is killed in the midst of it: the next run finishes, and nothing else is gone."""

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued

from service.events import operations as events
from service.events import partitions
from service.events import tasks as event_tasks
from service.events.models import Erasure, Event
from service.events.partitions import Month
from service.launch import processes
from service.projects.models import Project
from service.retention import erasure, tasks
from service.stats import operations as stats
from tests import live
from tests.service.retention.test_expiry import counted_anew, figures, row

DAYS = 300  # what the retention is lowered to, from a year: two months expire
DAY = timedelta(days=1)
MANY = 4_000  # events that are to be deleted one by one
NAME = "killed"  # of its connections
TASKS = [tasks.expire, tasks.remove, event_tasks.ensure_partitions]
PERSON = "auth.User/7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What there is, and which events have to be there in the end."""

    projects: list[Project]
    kept: set[UUID]
    months: list[str]


def prepared(number: int) -> Scene:
    """Have months that expire, a project that keeps its events for 30 days, an actor to erase, and months to make."""
    now = timezone.now()
    partitions.ensure(now)
    oldest = sorted(partitions.existing())
    short = Project.objects.create(name=f"short-{number}", retention_days=30)
    other = Project.objects.create(name=f"other-{number}")
    kept = [row(now - age * DAY, type="kept") for age in (0, 3, 29)]
    theirs = [row(now - age * DAY, actor="auth.User/8") for age in (5, 31, 200)]
    gone = [row(now - 40 * DAY + each * timedelta(seconds=9)) for each in range(MANY)]
    erased = [row(now - 50 * DAY + each * timedelta(seconds=9), actor=PERSON) for each in range(MANY)]
    expired = [
        row(Month.of(table).start + 3 * DAY + each * timedelta(hours=5)) for table in oldest[:3] for each in range(130)
    ]
    late = [each for each in expired if each.occurred_at >= Month.of(oldest[2]).start]
    for project, rows in ((short, kept + gone), (other, theirs + erased + expired)):
        for place in range(0, len(rows), 1_000):
            events.store(project.pk, rows[place : place + 1_000])
        if number % 2:
            stats.fold(project.pk)
    erasure.ask(other.pk, Erasure.Kind.ACTOR, PERSON, "a test")
    run(f"DROP TABLE {partitions.months(now, now + partitions.FUTURE + partitions.AHEAD)[-1].table}")
    return Scene(
        projects=[short, other],
        kept={UUID(each.id) for each in [*kept, *theirs, *late]},
        months=[each for each in oldest if each >= month_that_is_kept()],
    )


def month_that_is_kept() -> str:
    oldest = timezone.now() - DAYS * DAY - partitions.GRACE
    return partitions.months(oldest, oldest)[0].table


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def worker(log: Path) -> Iterator[int]:
    """Start the worker as `make up` does; yield the number of its process, which is killed in the end."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "service.settings",
        "DATABASE_URL": live.database_address(),
        "SECRET_KEY": "tests",
        "RETENTION_DAYS": str(DAYS),
        "PGAPPNAME": NAME,
    }
    with log.open("wb") as output:
        process = processes.spawn(
            [sys.executable, "manage.py", "worker"],
            cwd=live.ROOT,
            env=os.environ | environment,
            output=output,
        )
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def enqueue(order: random.Random) -> None:
    for task in order.sample(TASKS, len(TASKS)):
        try:
            task.defer(timestamp=0)
        except AlreadyEnqueued:
            continue


def is_at_work() -> bool:
    return ProcrastinateJob.objects.filter(status="doing").exists()


def has_left() -> bool:
    """Tell whether Postgres has noticed that the worker is gone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s)", [NAME])
        return bool(cursor.fetchone()[0])


@pytest.fixture
def months_afterwards(transactional_db: None) -> Iterator[None]:
    yield
    partitions.ensure(timezone.now())


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.ordeal)])
def test_the_next_run_finishes_what_was_killed_and_nothing_else_is_gone(
    rounds: int, months_afterwards: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    unfinished = 0
    for number in range(rounds):
        scene = prepared(number)
        enqueue(chance)
        with worker(tmp_path / "log"):
            live.eventually(is_at_work)
            time.sleep(chance.uniform(0, 0.6))  # the moment at which it is killed
        unfinished += ProcrastinateJob.objects.filter(status__in=["todo", "doing"]).exists()
        ProcrastinateJob.objects.all().delete()
        live.eventually(has_left)

        with monkeypatch.context() as patched:
            patched.setattr(settings, "RETENTION_DAYS", DAYS)
            for task in TASKS:
                task.func(timestamp=0)

        stats.fold_all()
        found = {each.id for project in scene.projects for each in Event.objects.filter(project_id=project.pk)}
        assert found == scene.kept, (seed, number, len(found ^ scene.kept))
        assert not Erasure.objects.filter(done_at=None).exists(), (seed, number)
        assert sorted(partitions.present().all) == scene.months, (seed, number)
        assert sorted(partitions.existing()) == scene.months, (seed, number)
        assert partitions.gone() == [], (seed, number)
        for project in scene.projects:
            assert figures(project) == counted_anew(project), (seed, number)
    assert 3 * unfinished >= rounds, "It was hardly ever killed in the midst."
