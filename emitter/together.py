"""Have a write and its event committed together where the project opens no transaction: ``HELIOGRAPH_OUTBOX_ATOMIC``.

What Django's own ``delete()`` and the changes of relations do is a transaction already.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Model
from django.db.models.query import QuerySet

from emitter import bulk, selection, transactions
from emitter.complaints import complain
from emitter.conf import conf

WRAPPED = "_heliograph_together"
CALLS = ("update", "delete", "bulk_create", "bulk_update", "update_or_create")


def wrap() -> None:
    """Wrap what writes to the models that are captured, each once; not without the setting."""
    if conf.delivery != "outbox" or not conf.outbox_atomic:
        return
    for model in selection.models():
        replace(model, "save_base", database_of_save)
    for name in CALLS:
        replace(QuerySet, name, database_of_call)


def replace(owner: type, name: str, database: Callable[..., str]) -> None:
    original = getattr(owner, name)
    if not hasattr(original, WRAPPED):
        wrapped = in_transaction(original, database)
        setattr(wrapped, WRAPPED, True)
        setattr(owner, name, wrapped)


def in_transaction(original: Callable[..., Any], database: Callable[..., str]) -> Callable[..., Any]:
    """Return a method as a transaction of its own, unless one is open, which is then the project's to end."""

    @wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        using: str | None = None
        try:
            if is_concerned(self if isinstance(self, Model) else self.model):
                using = database(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
            complain("together", "A write could not be made one with its event", error)
        if using is None or transactions.is_open(connections[using]):
            return original(self, *args, **kwargs)
        with transaction.atomic(using=using):
            return original(self, *args, **kwargs)

    return method


def is_concerned(what: Any) -> bool:
    model = type(what) if isinstance(what, Model) else what
    return bool(conf.url and conf.delivery == "outbox" and conf.outbox_atomic and selection.policy(model))


def database_of_save(
    instance: Model,
    raw: Any = None,
    force_insert: Any = None,
    force_update: Any = None,
    using: str | None = None,
    *_: Any,
    **__: Any,
) -> str:
    return using or router.db_for_write(type(instance), instance=instance)


def database_of_call(queryset: QuerySet[Any], *_: Any, **__: Any) -> str:
    return bulk.written(queryset)()
