"""Events about objects as an emitter tells them, each with an id greater than all before."""

from itertools import count
from typing import Any
from urllib.parse import quote
from uuid import UUID

from tests.service.cast import Api, event, uuid7

ORDER = "shop.Order"
START = uuid7()
numbers = count(1)


def next_id() -> str:
    return str(UUID(int=START.int + (next(numbers) << 4)))


def own(action: str, key: object = 42, sender: str = ORDER, outcome: str = "committed", **data: Any) -> dict[str, Any]:
    kind = "post_delete" if action == "deleted" else "post_save"
    return event(
        id=next_id(),
        type=f"django.db.models.signals.{kind}",
        sender=sender,
        subject=f"{sender}/{key}",
        action=action,
        outcome=outcome,
        data=data,
    )


def created(key: object = 42, **fields: Any) -> dict[str, Any]:
    return own("created", key, fields={"id": key} | fields)


def updated(key: object = 42, **changes: Any) -> dict[str, Any]:
    return own("updated", key, changes=changes, diff_source="loaded")


def deleted(key: object = 42, sender: str = ORDER) -> dict[str, Any]:
    return own("deleted", key, sender, fields={"id": key}, diff_source="loaded")


def bulk(operation: str, model: str = ORDER, outcome: str = "committed", **data: Any) -> dict[str, Any]:
    return event(
        id=next_id(),
        type=f"heliograph.{operation}",
        sender=model,
        action=operation,
        outcome=outcome,
        data={"model": model, "operation": operation} | data,
    )


def update(pks: list[Any] | None, where: Any = None, count: int | None = None, **values: Any) -> dict[str, Any]:
    number = len(pks or ()) if count is None else count
    return bulk("update", pks=pks, where=where, count=number, values=values, fields=sorted(values))


def related(op: str, pks: list[Any] | None, key: object = 42, sender: str = ORDER, **data: Any) -> dict[str, Any]:
    action = {"add": "added", "remove": "removed", "clear": "cleared"}[op]
    whole = {"field": "shop.Order.tags", "model": "shop.Tag", "op": op, "pks": pks, "reverse": False} | data
    return own(action, key, sender, **whole)


def address(key: object = 42, sender: str = ORDER) -> str:
    return f"/api/v1/objects/{quote(sender, safe='')}/{quote(str(key), safe='')}/"


def history(api: Api, key: object = 42, sender: str = ORDER, query: str = "") -> Any:
    answer = api.get(f"{address(key, sender)}history/{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def state(api: Api, key: object = 42, sender: str = ORDER, as_of: str = "") -> Any:
    answer = api.get(f"{address(key, sender)}state/" + (f"?as_of={quote(as_of)}" if as_of else ""))
    assert answer.status_code == 200, answer.content
    return answer.json()
