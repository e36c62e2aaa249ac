"""What is told of many-to-many relations, on whichever side they are changed."""

from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from emitter import payload, pipeline, selection, serialization
from emitter.conf import conf

SIGNAL = "django.db.models.signals.m2m_changed"
ACTIONS = {"add": "added", "remove": "removed", "clear": "cleared"}
CLEARED = "_heliograph_cleared"  # the through model and the keys that a clear() is about to remove, on instance._state


def m2m_changed(
    sender: type[Model],
    *,
    instance: Model,
    action: str,
    reverse: bool,
    model: type[Model],
    pk_set: set[Any] | None,
    using: str = DEFAULT_DB_ALIAS,
    **_: Any,
) -> None:
    when, operation = action.split("_", 1)
    if action == "pre_clear" and conf.url:
        note_cleared(sender, instance, reverse, using)
    keys = cleared(sender, instance) if action == "post_clear" else pk_set
    if when == "post" and keys != set():
        is_secret = is_secret_pair(sender, model)
        told = None if keys is None else sorted((payload.told(key, is_secret) for key in keys), key=str)
        emit_relation(sender, instance, model, operation=operation, reverse=reverse, keys=told, using=using)


def is_secret_pair(through: type[Model], model: type[Model]) -> bool:
    """Tell whether what ``through`` holds of ``model`` is secret: its key, or another field that it points to."""
    pointing = (each for each in through._meta.concrete_fields if each.is_relation and each.related_model is model)
    return selection.has_secret_key(model) or any(selection.is_secret_field(each) for each in pointing)


def emit_relation(
    through: type[Model],
    instance: Model,
    other: type[Model],
    *,
    operation: str,
    reverse: bool,
    keys: list[Any] | None,
    using: str,
) -> None:
    """Tell of a relation by the field that declares it, whichever side it was changed from."""
    each = declared(through)
    if each is not None and selection.is_excluded(each):
        return
    model = type(instance)
    is_hidden = selection.is_excluded_model(model)
    pipeline.emit(
        SIGNAL,
        sender=serialization.label(other if is_hidden else model),
        subject=None if is_hidden else serialization.subject(instance),
        action=ACTIONS.get(operation, operation),
        data={
            "field": None if each is None else f"{serialization.label(each.model)}.{each.name}",
            "op": operation,
            "model": serialization.label(other),
            "pks": keys,
            "reverse": reverse,
            **kind_of(through, each),
        },
        using=using,
    )


def kind_of(through: type[Model], each: Any) -> dict[str, Any]:
    """Return what a reader has to know of a relation to rebuild it: who shares it, and which rows hold it."""
    told: dict[str, Any] = {"symmetrical": True} if each is not None and each.remote_field.symmetrical else {}
    return told if through._meta.auto_created else told | {"through": serialization.label(through)}


def note_cleared(through: type[Model], instance: Model, reverse: bool, using: str) -> None:
    """Remember which keys a clear() removes, which Django doesn't tell. One query."""
    each = declared(through)
    if each is None or selection.is_excluded(each):
        return
    own, other = each.m2m_field_name(), each.m2m_reverse_field_name()
    if reverse:
        own, other = other, own
    rows = through._base_manager.using(using).filter(**{own: instance})
    keys = set(rows.values_list(f"{other}_id", flat=True))
    setattr(instance._state, CLEARED, (through._meta.label, keys))  # the class could not be pickled


def cleared(through: type[Model], instance: Model) -> Any:
    noted, keys = instance._state.__dict__.pop(CLEARED, (None, None))
    return keys if noted == through._meta.label else None


def declared(through: type[Model]) -> Any:
    """Return the field that ``through`` stores the relation of."""
    fields = (each for model in apps.get_models() for each in model._meta.local_many_to_many)
    return next((each for each in fields if each.remote_field.through is through), None)
