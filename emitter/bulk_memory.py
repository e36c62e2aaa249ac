"""What is remembered of objects that were written in bulk: their next save is held against it."""

from typing import Any

from django.db import connections
from django.db.models import F

from emitter import memory, transactions
from emitter.bulk_data import were_all_written
from emitter.transactions import Fate

NOTED = 1_000  # objects of one bulk_create that are remembered: for all, it would take notably longer
ONLY_DATABASE_KNOWS = F("pk")  # what is noted of a field that holds the old value or the new one


def open_fate(using: str) -> Fate | None:
    """Return the fate of what is done now, though there is no event that waits for it."""
    connection = connections[using]
    if not transactions.is_open(connection):
        return None
    ledger = transactions.ledger(connection)
    return ledger.fate_of_now()


def note_created(objects: list[Any], using: str, fate: Fate | None) -> None:
    """Note that the database holds what the first of ``objects`` hold, if their keys are known."""
    for each in objects[:NOTED]:
        if each.pk is not None:
            memory.saved(each, using, written(each, None), fate)


def note_updated(objects: list[Any], fields: list[str], count: int, using: str, fate: Fate | None) -> None:
    """Note what the database holds now, or the next save of an object would be held against what was before."""
    is_sure = were_all_written(objects, count)
    for each in objects if count else ():
        values = written(each, fields)
        memory.saved(each, using, values if is_sure else dict.fromkeys(values, ONLY_DATABASE_KNOWS), fate)


def written(instance: Any, names: list[str] | None) -> dict[str, Any]:
    return memory.values_written(memory.layout(instance.__class__), instance.__dict__, names)
