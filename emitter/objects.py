"""What is told of a model's own signals: objects saved, deleted and made, and their relations."""

from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import DEFERRED, Model

from emitter import changes, memory, outlet, payload, pipeline, selection, serialization
from emitter.changes import Diff
from emitter.complaints import complain
from emitter.conf import conf
from emitter.contexts import Context
from emitter.event import Event, Later, moment, stamp_of
from emitter.memory import Save
from emitter.selection import Policy
from emitter.transactions import Fate

MODEL = "django.db.models.signals."


def policy_of(model: type[Model]) -> Policy:
    policy = selection.policy(model)
    if policy is None:
        raise LookupError(f"{model.__qualname__} is no longer captured")
    return policy


def pre_save(
    sender: type[Model],
    *,
    instance: Model,
    raw: bool = False,
    using: str = DEFAULT_DB_ALIAS,
    update_fields: Any = None,
    **_: Any,
) -> None:
    if "pre_save" not in selection.names():
        return
    data = {"raw": raw, "update_fields": serialization.json_safe(update_fields)}
    emit_object("pre_save", instance, policy_of(sender), using=using, data=data)


def select_before(sender: type[Model], *, instance: Model, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Ask what the database holds, for models whose changes are to be told against that."""
    if conf.url and instance.pk is not None and policy_of(sender).mode == "select":
        memory.select(instance, using)


def post_save(
    sender: type[Model],
    *,
    instance: Model,
    created: bool = False,
    raw: bool = False,
    using: str = DEFAULT_DB_ALIAS,
    update_fields: Any = None,
    **_: Any,
) -> None:
    """Note what was saved, to tell it later; now, where it can still change or must not stay unheard."""
    policy = policy_of(sender)
    own = own_columns(sender) if raw and sender._meta.parents else None
    save = memory.note_save(instance, using, own or (None if created else update_fields))
    if not created and policy.mode != "off" and save.is_idle:
        outlet.counts["no_op"] += 1
        return
    told = Saved(
        moment=moment(), save=save, policy=policy, is_created=created, is_raw=raw, update_fields=update_fields
    )  # fmt: skip
    if save.noted is not None and not policy.fail_closed:
        save.fate = pipeline.emit_later(told, using)
    elif data := told.data(save):
        save.fate = emit_object("post_save", instance, policy, using=using, data=data, action=told.action)
    else:
        return
    if policy.mode != "off":
        memory.note(instance, save if save.noted is not None else save.snapshot)


class Saved(Later, kw_only=True, eq=False):
    """What is told of a save."""

    save: Save | None  # until it is made
    policy: Policy
    is_created: bool
    is_raw: bool
    update_fields: Any

    @property
    def action(self) -> str:
        return "created" if self.is_created else "updated"

    def data(self, save: Save) -> dict[str, Any]:
        """Return what is told; nothing of a save that changed nothing which is told, but its reason is counted."""
        policy = self.policy
        if self.is_created:
            data = {"fields": payload.fields(save.look(), policy, save.names)}
        else:
            found = changes.found(save, policy.mode)
            data = update_data(found, policy, self.update_fields)
            if not data:
                outlet.counts["excluded" if found.changes or found.fields else "no_op"] += 1
                return data
        return {**data, "raw": True} if self.is_raw else data

    def make(self, cause: UUID | None) -> Event | None:
        """Return the event, and let go of what it is made of. Two threads may do so at a time: both get the same."""
        now, save = self.context, self.save  # in this order: what is let go of first is looked at last
        if save is None:
            return self.event
        self.event, self.save, self.context = self.of(save, now, cause), None, None
        return self.event

    def of(self, save: Save, now: Context | None, cause: UUID | None) -> Event | None:
        try:
            data = self.data(save)
            if not data:
                return None
            event_id, time = stamp_of(self.moment)
            return Event(
                id=event_id,
                time=time,
                source=conf.source or outlet.default_source(),
                type=MODEL + "post_save",
                subject=serialization.subject_of(save.model, save.look()),
                sender=self.policy.label,
                action=self.action,
                correlationid=now.correlationid if now else None,
                causationid=cause,
                traceparent=now.traceparent if now else None,
                data=payload.encoded(data),
            )
        except Exception as error:  # noqa: BLE001  # it may be the host's thread that asks
            complain("capture", "A save could not be told", error)
            return None


def own_columns(model: type[Model]) -> frozenset[str]:
    """Return the columns of a model's own table: a fixture writes these only, and its parents' by themselves."""
    return frozenset(each.attname for each in model._meta.local_concrete_fields)


def update_data(found: Diff, policy: Policy, update_fields: Any) -> dict[str, Any]:
    """Return what an update tells; empty when it changed nothing that is told."""
    data = payload.diff(found, policy)
    if data:
        data["diff_source"] = found.source
        if update_fields is not None:
            data["update_fields"] = serialization.json_safe(sorted(update_fields))
    return data


def pre_delete(sender: type[Model], *, instance: Model, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    emit_object("pre_delete", instance, policy_of(sender), using=using, data={})


def post_delete(sender: type[Model], *, instance: Model, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    policy = policy_of(sender)
    data = payload.deleted(memory.snapshot(instance, using), instance, policy)
    emit_object("post_delete", instance, policy, using=using, data=data, action="deleted")


def emit_object(
    name: str, instance: Model, policy: Policy, *, using: str, data: dict[str, Any], action: str | None = None
) -> Fate | None:
    subject = serialization.subject(instance)
    return pipeline.emit(MODEL + name, sender=policy.label, subject=subject, action=action, data=data, using=using)


def pre_init(sender: type[Model], *, args: tuple[Any, ...], kwargs: dict[str, Any], **_: Any) -> None:
    """Tell the values under their fields' names: as bare arguments they would go out with the secrets among them."""
    policy = policy_of(sender)
    values = {each.attname: value for each, value in zip(sender._meta.concrete_fields, args, strict=False)} | kwargs
    told = {
        name: payload.told(values[name], secret)
        for name, secret in policy.fields
        if values.get(name, DEFERRED) is not DEFERRED
    }
    pipeline.emit(MODEL + "pre_init", sender=policy.label, data={"fields": told})


def post_init(sender: type[Model], *, instance: Model, **_: Any) -> None:
    pipeline.emit(MODEL + "post_init", sender=policy_of(sender).label, subject=serialization.subject(instance), data={})
