"""Record who asked a project what of its events: as events themselves, beside the answers.

A question is recorded once in each ten minutes of the clock, however often it is asked, and with how many threads,
processes or pages: its record has an id made of those ten minutes and of what was asked by whom, so that the table has
it once. A read waits for no commit: its record is stored within a second, with those of others, by a thread of its own,
which tries until it is. What a process that is killed has not stored by then is not recorded.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import salted_hmac

from service.api import metrics
from service.api.pagination import NOT_THE_QUESTION
from service.events import ids, operations, records
from service.events.operations import Row
from service.events.records import Record
from service.projects.models import Key, Scope
from service.projects.seats import Seat

logger = logging.getLogger(__name__)

WINDOW = timedelta(minutes=10)
GATHER = 0.5  # seconds for which records wait for others
LONGEST_PAUSE = 30.0  # seconds between two tries to store them
WAITING = 10_000  # records that wait in a process at the most, as while the database is away
REMEMBERED = 50_000  # questions of this window that are known to be recorded
PARAMETERS = 50  # of a question that are told


class Question(NamedTuple):
    """What was asked by whom, in the ten minutes from ``window`` on. ``parameters`` are without those of paging."""

    project_id: int
    actor: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    window: datetime

    def identity(self) -> str:
        """Return a text that only this service can tell, so that nobody can send an event in the record's place."""
        asked = urlencode([("", str(self.project_id)), ("", self.actor), ("", self.path), *self.parameters])
        return salted_hmac("heliograph.read", f"{self.window}{asked}", algorithm="sha256").hexdigest()


class ReadMiddleware:
    """Record each answered request for events, and what is made of them; of a stream when it begins."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if settings.RECORD_READS and response.status_code < 300 and is_read(request):
            try:
                note(request)
            except Exception:  # whatever goes wrong with a record, the answer is there
                lose(1)
                logger.exception("A read could not be recorded")
        return response


def is_read(request: HttpRequest) -> bool:
    """Tell whether ``request`` is for a view that needs `Scope.EVENTS_READ`, and came from a key or a person."""
    view = getattr(request.resolver_match and request.resolver_match.func, "view_class", None)
    scope = getattr(view, "scopes", {}).get("GET")
    return (
        scope == Scope.EVENTS_READ
        and request.method in {"GET", "HEAD"}
        and isinstance(getattr(request, "auth", None), Key | Seat)
    )


def note(request: HttpRequest) -> None:
    """Have the read recorded in the caller's project and each other that it was in, unless it is known to be."""
    caller: Key | Seat = request.auth  # type: ignore[attr-defined]  # set by DRF, on the request of Django's too
    asked = sorted((name, str(text)) for name, text in request.GET.items() if name not in NOT_THE_QUESTION)
    now = timezone.now()
    for project_id in {caller.project_id, *getattr(request, "read_in", ())}:
        question = Question(
            project_id=project_id,
            actor=records.name_of(caller),
            path=request.path,
            parameters=tuple(asked),
            window=now - (now - ids.EPOCH) % WINDOW,
        )
        recorder.put(question, prefix=caller.prefix if isinstance(caller, Key) else None)


def row(question: Question, identity: str, prefix: str | None) -> Row:
    told = {records.told(name): records.told(text) for name, text in question.parameters[:PARAMETERS]}
    data: dict[str, object] = {"path": records.told(question.path), "parameters": told}
    if untold := len(question.parameters) - len(told):  # beyond as many, or of one name where a secret was cut out
        data["untold"] = untold
    if prefix is not None:
        data["prefix"] = prefix
    return records.row(Record.READ, question.actor, data, identity=(question.window, identity))


def lose(count: int) -> None:
    metrics.UNRECORDED_READS.inc(count)


class Recorder:
    """The records that wait to be stored. One for each process; starts its thread with the first."""

    def __init__(self) -> None:
        self.window = ids.EPOCH
        self.recorded: set[str] = set()
        self.waiting: list[tuple[int, Row]] = []
        self.lock = threading.Lock()
        self.storing = threading.Lock()
        self.has_some = threading.Event()
        self.thread: threading.Thread | None = None

    def put(self, question: Question, *, prefix: str | None) -> None:
        """Have ``question`` recorded soon, unless this process did in its window. Waits for nothing."""
        identity = question.identity()
        with self.lock:
            if question.window != self.window or len(self.recorded) >= REMEMBERED:
                self.window, self.recorded = question.window, set()
            if identity in self.recorded:
                return
            if len(self.waiting) >= WAITING:
                lose(1)
                return
            self.recorded.add(identity)
            self.waiting.append((question.project_id, row(question, identity, prefix)))
            if self.thread is None:
                self.thread = threading.Thread(target=self.work, name="reads", daemon=True)
                self.thread.start()
        self.has_some.set()

    def work(self) -> None:
        pause = GATHER
        while True:
            self.has_some.wait()
            time.sleep(pause)
            pause = GATHER if self.store() else min(2 * pause, LONGEST_PAUSE)

    def store(self) -> bool:
        """Store the records that wait; return whether none waits on because that failed."""
        with self.storing:
            self.has_some.clear()
            with self.lock:
                taken, self.waiting = self.waiting, []
            try:
                store_all(taken)
            except Exception:  # whatever it is, they wait, and those of the next reads too
                logger.warning("%d reads are not recorded yet", len(taken), exc_info=True)
                connection.close()
                with self.lock:
                    self.waiting = taken + self.waiting
                self.has_some.set()
                return False
            return True

    def end(self) -> None:
        """Store what waits, as the process ends; what can't be stored at once is lost."""
        if not self.store():  # which waits for the thread's, too
            logger.error("%d reads were not recorded", len(self.waiting))
        connection.close()


def store_all(taken: list[tuple[int, Row]]) -> None:
    """Store the records, those of a project in one commit. Those that are there already stay as they are."""
    rows: dict[int, list[Row]] = {}
    for project_id, each in taken:
        rows.setdefault(project_id, []).append(each)
    for project_id in sorted(rows):
        _, unstorable = operations.store_each(project_id, rows[project_id])
        lose(len(unstorable))


recorder = Recorder()
