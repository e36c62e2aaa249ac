"""Claim rows of an outbox for a while, and decide what becomes of them. Each function is one short transaction.

Leases are told by the database's clock, so that no host's can be wrong. A claim decides about rows only for as long as
it has them: what another relay has claimed since is its to decide.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DurationField, ExpressionWrapper, F, Max, Q, QuerySet
from django.db.models.functions import Now

from emitter.models import DeadLetter, Waiting

AT_ONCE = 1_000  # dead letters in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Rows that one relay has: their events as JSON, by primary key, in order."""

    using: str
    token: UUID
    events: Mapping[int, str]

    def rows(self, keys: Collection[int] | None = None) -> "QuerySet[Waiting]":
        """Return those of the rows that are still this claim's."""
        found = list(self.events if keys is None else keys)
        return Waiting.objects.using(self.using).filter(pk__in=found, lease=self.token)


def claim(using: str, size: int, seconds: float, *, is_retry: bool = False, is_early: bool = False) -> Claim:
    """Claim up to ``size`` rows, the oldest that nobody has, for ``seconds``.

    Those that were given back are claimed apart from others, if this ``is_retry``: the least tried first, half as many
    at once after each attempt. They wait for their time, unless this ``is_early``.
    """
    made = Claim(using=using, token=uuid4(), events={})
    rows = available(using, is_early=is_early)
    rows = rows.filter(attempts__gt=0).order_by("attempts", "pk") if is_retry else rows.filter(attempts=0)
    with transaction.atomic(using=using):
        found = enumerate(rows.values_list("pk", "event", "attempts")[:size])
        events = {key: event for place, (key, event, tried) in found if place < max(1, size >> tried)}
        if not events:
            return made
        claimed = Waiting.objects.using(using).filter(pk__in=list(events))
        claimed.update(lease=made.token, available_at=Now() + timedelta(seconds=seconds))
    return Claim(using=using, token=made.token, events=events)


def available(using: str, *, is_early: bool = False) -> "QuerySet[Waiting]":
    due = Q(available_at=None) | Q(available_at__lte=Now())
    rows = Waiting.objects.using(using).filter(due | Q(lease=None) if is_early else due).order_by("pk")
    features = connections[using].features
    if features.has_select_for_update:  # SQLite's transaction is the only one that writes: see `own`
        rows = rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)
    return rows


def settle(claimed: Claim, refused: Mapping[int, tuple[str, str]]) -> int:
    """Delete the rows, which the service has decided about; those it refused, by code and detail, become dead letters.

    Return how many were no longer this claim's, and so were left alone.
    """
    with transaction.atomic(using=claimed.using):
        if refused:
            bury(claimed, refused)
        return len(claimed.events) - claimed.rows()._raw_delete(claimed.using)


def bury(claimed: Claim, refused: Mapping[int, tuple[str, str]]) -> None:
    rows = claimed.rows(refused.keys())
    if connections[claimed.using].features.has_select_for_update:
        rows = rows.select_for_update()
    DeadLetter.objects.using(claimed.using).bulk_create(
        DeadLetter(event=event, created_at=created_at, code=refused[key][0][:100], detail=refused[key][1])
        for key, event, created_at in rows.values_list("pk", "event", "created_at")
    )


def give_back(claimed: Claim, seconds: float) -> None:
    """Let all relays have the rows again, after ``seconds``."""
    claimed.rows().update(lease=None, attempts=F("attempts") + 1, available_at=Now() + timedelta(seconds=seconds))


def requeue(using: str, letters: "QuerySet[DeadLetter]") -> int:
    """Put dead letters back into the outbox, at its end, some thousand at a time."""
    number = 0
    while moved := requeue_some(using, letters):
        number += moved
    return number


def requeue_some(using: str, letters: "QuerySet[DeadLetter]") -> int:
    with transaction.atomic(using=using):
        found = list(letters.order_by("pk").values_list("pk", "event", "created_at")[:AT_ONCE])
        Waiting.objects.using(using).bulk_create(
            Waiting(event=event, created_at=created_at, attempts=0) for _, event, created_at in found
        )
        return drop(using, letters.filter(pk__in=[key for key, *_ in found])) if found else 0


def drop(using: str, letters: "QuerySet[DeadLetter]") -> int:
    """Delete dead letters, past whoever listens to the signals of all models."""
    return int(letters._raw_delete(using))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an outbox holds; ``attempts`` is of the row that failed most often, ``oldest`` None when nothing waits."""

    waiting: int
    leased: int
    retried: int
    attempts: int
    oldest: timedelta | None
    dead: int


def summary(using: str) -> Summary:
    rows = Waiting.objects.using(using)
    age = ExpressionWrapper(Now() - F("created_at"), output_field=DurationField())
    return Summary(
        waiting=rows.count(),
        leased=rows.filter(lease__isnull=False, available_at__gt=Now()).count(),
        retried=rows.filter(attempts__gt=0).count(),
        attempts=rows.aggregate(most=Max("attempts"))["most"] or 0,
        oldest=rows.order_by("pk").annotate(age=age).values_list("age", flat=True).first(),
        dead=DeadLetter.objects.using(using).count(),
    )


@contextmanager
def connected(using: str) -> Iterator[BaseDatabaseWrapper]:
    """Have this thread use a connection of its own for the block, whatever the project's one is doing."""
    before = connections[using]
    mine = connections[using] = own(using)
    try:
        yield mine
    finally:
        connections[using] = before
        mine.close()


def own(using: str) -> BaseDatabaseWrapper:
    """Make a connection, as the project's settings have it but for what is about its own transactions."""
    made: BaseDatabaseWrapper = connections.create_connection(using)
    made.settings_dict = settings = {**made.settings_dict, "CONN_MAX_AGE": None}
    options: dict[str, Any] = copy(settings.get("OPTIONS") or {})
    options.pop("pool", None)  # which is for requests
    options.pop("isolation_level", None)  # a serializable one would have the project's transactions fail
    if made.vendor == "sqlite":
        options["transaction_mode"] = "IMMEDIATE"
    settings["OPTIONS"] = options
    return made
