"""An object's history and state as JSON."""

from typing import Any

from rest_framework import serializers

from service.events import objects_told
from service.events.models import Event
from service.events.objects_state import DETAILS, Gap, Reason, State
from service.events.objects_told import Ref, Relation
from service.events.serializers import rfc3339, text


def entry(event: Event, ref: Ref) -> dict[str, Any]:
    """Return what ``event`` tells of an object, without what is absent."""
    told, data = objects_told.told(event, ref), objects_told.members(event.data)
    is_own = event.object_id is not None
    columns = {
        "id": str(event.id),
        "time": rfc3339(event.occurred_at),
        "type": event.type,
        "action": event.action,
        "actor": event.actor,
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "outcome": event.outcome,
        "diff_source": objects_told.text(data.get("diff_source")),
        "changes": {name: list(pair) for name, pair in told.changes.items()} or None,
        "fields": told.fields or None,
        "untold": sorted(told.untold) or None,
        "relation": None if told.relation is None else relation(told.relation),
        "call": None if is_own else call(data) or None,
    }
    return {"certain": told.certain} | {name: value for name, value in columns.items() if value is not None}


def call(data: dict[str, Any]) -> dict[str, Any]:
    counted = "count" in data and type(data["count"]) in {int, type(None)}
    return {name: data[name] for name in ("count", "where") if name in data and (counted or name != "count")}


def relation(told: Relation) -> dict[str, Any]:
    return {
        "field": told.field,
        "reverse": told.reverse,
        "model": told.model,
        "op": told.operation,
        "object_ids": told.object_ids,
    }


def represent(state: State) -> dict[str, Any]:
    reasons = state.reasons
    return {
        "sender": state.ref.sender,
        "object_id": state.ref.object_id,
        "exists": state.exists,
        "deleted_by": None if state.deleted_by is None else str(state.deleted_by),
        "last_event": None if state.last is None else str(state.last.id),
        "last_time": None if state.last is None else rfc3339(state.last.occurred_at),
        "complete": not reasons,
        "reasons": [reason(gap) for gap in reasons],
        "fields": state.fields,
        "unknown": sorted(state.unknown),
        "relations": [
            {"field": name, "reverse": reverse, "model": related.model, "object_ids": sorted(related.added)}
            for (name, reverse), related in sorted(state.relations.items())
        ],
    }


def reason(gap: Gap) -> dict[str, Any]:
    return {
        "code": gap.reason,
        "detail": DETAILS[gap.reason],
        "field": gap.field,
        "event": None if gap.event is None else str(gap.event),
    }


class RelationChangeSerializer(serializers.Serializer[Any]):
    field = text("The relation, by the field that declares it: `shop.Order.tags`.")
    reverse = serializers.BooleanField(help_text="Whether the others declare it.")
    model = text("What the others are.", allow_null=True)
    op = text("`add`, `remove` or `clear`.")
    object_ids = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="The others; null where they aren't told."
    )


class CallSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(required=False, allow_null=True, help_text="How many rows it wrote.")
    where = serializers.JSONField(required=False, help_text="The conditions by which it found them, if they are told.")


class EntrySerializer(serializers.Serializer[Any]):
    """What one event tells of one object. Members that it doesn't tell are left out."""

    id = serializers.UUIDField(help_text="The event. `GET events/{id}/` has all of it.")
    time = serializers.DateTimeField()
    type = text("The signal's dotted path, or that of a bulk call.")
    action = text(
        "`created`, `updated`, `deleted`, `added`, `bulk_update`, …; none of your own signals.", required=False
    )
    actor = text("Who did it.", required=False)
    correlationid = text("The request, task or command it happened in.", required=False)
    causationid = text("The id of the event that caused it.", required=False)
    outcome = text("What became of its transaction.", required=False)
    certain = serializers.BooleanField(help_text="False for a bulk call that may have been about other objects only.")
    diff_source = text("How the emitter knew the old values.", required=False)
    changes = serializers.DictField(
        child=serializers.ListField(min_length=2, max_length=2),
        required=False,
        help_text="By field, the old value and the new.",
    )
    fields = serializers.DictField(  # type: ignore[assignment]  # DRF pops fields
        required=False,
        help_text="By field, values without old ones: all when it was created or deleted, what a bulk call wrote.",
    )
    untold = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Fields that were written with other values.",
    )
    relation = RelationChangeSerializer(required=False)
    call = CallSerializer(required=False, help_text="Of a bulk call.")

    def to_representation(self, instance: Event) -> dict[str, Any]:
        return entry(instance, self.context["view"].ref)


class ReasonSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField([each.value for each in Reason])
    detail = serializers.CharField()
    field = text("The field that it is about; null for all.", allow_null=True)
    event = serializers.UUIDField(allow_null=True, help_text="Where it comes from.")


class RelatedSerializer(serializers.Serializer[Any]):
    field = text("The relation, by the field that declares it: `shop.Order.tags`.")
    reverse = serializers.BooleanField(help_text="Whether the others declare it.")
    model = text("What the others are.", allow_null=True)
    object_ids = serializers.ListField(child=serializers.CharField(), help_text="Sorted as texts.")


class StateSerializer(serializers.Serializer[Any]):
    """An object at a moment."""

    sender = serializers.CharField()
    object_id = serializers.CharField()
    exists = serializers.BooleanField(allow_null=True, help_text="Null where no event tells.")
    deleted_by = serializers.UUIDField(allow_null=True, help_text="The event that tells of its end.")
    last_event = serializers.UUIDField(allow_null=True, help_text="The last event that it is made of.")
    last_time = serializers.DateTimeField(allow_null=True, help_text="When that was.")
    complete = serializers.BooleanField(help_text="Whether all of it is known, as far as events can tell.")
    reasons = ReasonSerializer(many=True, help_text="Why it isn't complete.")
    fields = serializers.DictField(  # type: ignore[assignment]  # DRF pops fields
        help_text="The values that are known, as they were told; empty when it didn't exist."
    )
    unknown = serializers.ListField(child=serializers.CharField(), help_text="Fields whose value can't be known.")
    relations = RelatedSerializer(many=True, help_text="Relations that changed since it was created.")
