"""An object rebuilt from what its events tell, in their order: each is applied to what those before it said.

Events of a project are in the order of their ids, which are minted when a signal fired or a call began: strictly
increasing within an emitter, and between emitters as good as their clocks agree. Numbers of an emitter (`sequence`) are
given when a transaction has ended, and say nothing of what was first.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from service.events import objects_told, objects_where
from service.events.models import Event
from service.events.objects_told import Fields, Ref, Relation, Told


class Reason(StrEnum):
    """Why a state isn't all that can be known of an object."""

    STARTS_LATE = "history_starts_late"
    TOO_MANY = "too_many_events"
    EXPRESSION = "expression"
    NOT_TOLD = "value_not_told"
    CUT = "truncated"
    BULK = "bulk_call"
    MAYBE_DELETED = "maybe_deleted"
    CONFLICT = "conflict"
    CONTRADICTION = "contradiction"
    RELATION = "relation_incomplete"


DETAILS = {
    Reason.STARTS_LATE: "No event tells that it was created, so fields that didn't change since may be missing.",
    Reason.TOO_MANY: "More events are about it than are read; what only older ones tell is missing.",
    Reason.EXPRESSION: "The database computed the value, and the emitter didn't ask for it.",
    Reason.NOT_TOLD: "It was written, and its new value isn't told.",
    Reason.CUT: "The event was too large and was cut.",
    Reason.BULK: "A call on many rows may have written it: the event names neither this object nor others only.",
    Reason.MAYBE_DELETED: "A call on many rows may have deleted it.",
    Reason.CONFLICT: "It was created unless it conflicted with another row.",
    Reason.CONTRADICTION: "The event knows another old value than the events before it told: something wasn't told.",
    Reason.RELATION: "Not all changes of the relation tell which objects.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    reason: Reason
    event: UUID | None = None
    field: str | None = None


@dataclass(slots=True, kw_only=True)
class Related:
    """The other objects of a relation, each with the event that added it."""

    model: str | None = None
    added: dict[str, UUID] = field(default_factory=dict)
    gap: Gap | None = None


@dataclass(slots=True, kw_only=True)
class State:
    """``exists`` is None as long as nothing tells. ``unknown`` has a gap for each field whose value isn't known."""

    ref: Ref
    exists: bool | None = None
    deleted_by: UUID | None = None
    last: Event | None = None
    fields: Fields = field(default_factory=dict)
    unknown: dict[str, Gap] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    relations: dict[tuple[str, bool], Related] = field(default_factory=dict)
    is_whole: bool = False  # nothing of it is from before what is read

    @property
    def reasons(self) -> list[Gap]:
        """All that keeps this from being complete, each once."""
        late = [] if self.is_whole or self.exists is False else [Gap(reason=Reason.STARTS_LATE)]
        related = [each.gap for each in self.relations.values() if each.gap is not None]
        return list(dict.fromkeys([*late, *self.gaps, *self.unknown.values(), *related]))

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            told = objects_told.told(event, self.ref)
            if told.relation is not None:
                self.relate(event, told.relation)
            elif (event.sender, event.object_id) == (self.ref.sender, self.ref.object_id):
                self.apply_own(event, told)
            else:
                self.apply_bulk(event, told)

    def apply_own(self, event: Event, told: Told) -> None:
        match event.action:
            case "created":
                self.create(event, told)
            case "updated":
                self.update(event, told)
            case "deleted":
                self.delete(event)
            case _:
                return
        self.last = event

    def create(self, event: Event, told: Told) -> None:
        """Begin anew, whatever there was under this key."""
        self.exists, self.deleted_by, self.is_whole = True, None, True
        self.forget()
        self.write(event, told)

    def update(self, event: Event, told: Told) -> None:
        if self.exists is False:  # what was there before it was deleted is not what is there now
            self.forget()
            self.is_whole = False
        self.exists, self.deleted_by = True, None
        for name, (old, _) in told.changes.items():
            if name in self.fields and contradicts(self.fields[name], old):
                self.gaps.append(Gap(reason=Reason.CONTRADICTION, event=event.id, field=name))
        self.write(event, told)

    def delete(self, event: Event) -> None:
        self.exists, self.deleted_by = False, event.id
        self.forget()

    def forget(self) -> None:
        self.fields, self.unknown, self.gaps, self.relations = {}, {}, [], {}

    def write(self, event: Event, told: Told) -> None:
        cut = "truncated" in objects_told.members(event.data)
        for name, value in [*told.fields.items(), *((name, new) for name, (_, new) in told.changes.items())]:
            if objects_told.is_unknown(value) or (cut and objects_told.is_cut(value)):
                self.lose(event, [name], Reason.EXPRESSION if isinstance(value, dict) else Reason.CUT)
            else:
                self.fields[name] = value
                self.unknown.pop(name, None)
        reason = Reason.CUT if cut else Reason.NOT_TOLD
        self.lose(event, told.untold, reason)
        if not told.whole:
            self.gaps.append(Gap(reason=reason, event=event.id))

    def lose(self, event: Event, names: Iterable[str], reason: Reason) -> None:
        for name in sorted(self.attribute(name) for name in names):
            self.fields.pop(name, None)
            self.unknown[name] = Gap(reason=reason, event=event.id, field=name)

    def attribute(self, name: str) -> str:
        """Return the name of a field's column: a call may name a relation by its field, as `author` for `author_id`."""
        column = f"{name}_id"
        is_column = column in self.fields or column in self.unknown
        return column if is_column and name not in self.fields else name

    def apply_bulk(self, event: Event, told: Told) -> None:
        """Apply a call on many rows, as far as it can be known whether this was one of them."""
        data = objects_told.members(event.data)
        match data.get("operation"):
            case "bulk_create":
                self.apply_bulk_create(event, told, data)
            case "update" | "bulk_update" | "raw_delete" if self.exists is not False:
                met = True if told.certain else objects_where.met(data.get("where"), self.fields)
                if met is not False:
                    self.apply_to_row(event, told, data, met)
                    self.last = event

    def apply_to_row(self, event: Event, told: Told, data: Fields, met: bool | None) -> None:
        """Apply what was done to this row; ``met`` is None if it may not have been."""
        if data["operation"] == "raw_delete":
            if met:
                self.delete(event)
            else:
                self.gaps.append(Gap(reason=Reason.MAYBE_DELETED, event=event.id))
        elif met is None or not (told.certain or data["operation"] == "update"):  # bulk_update wrote some of those
            names = objects_told.written(data)
            self.lose(event, names, Reason.BULK)
            if not names:
                self.gaps.append(Gap(reason=Reason.BULK, event=event.id))
        elif told.certain and is_moved(self.ref, data):
            self.delete(event)
        else:
            self.exists = True
            self.write(event, told)

    def apply_bulk_create(self, event: Event, told: Told, data: Fields) -> None:
        is_merge, is_by_key = "update_conflicts" in data, is_conflict_of_key(data)
        if not told.certain:
            if is_merge and not is_by_key and self.exists is not False:
                self.lose(event, objects_told.texts(data.get("update_fields")), Reason.BULK)
        elif not (is_merge or "ignore_conflicts" in data):
            self.create(event, told)
        elif self.exists is False:
            self.create(event, told)
            if not (is_merge and is_by_key):
                self.gaps.append(Gap(reason=Reason.CONFLICT, event=event.id))
        elif is_merge:
            self.write_some(event, told, objects_told.texts(data.get("update_fields")), is_sure=is_by_key)
        if self.exists is None and told.certain:  # it was there before, or is there now
            self.exists = True
            self.lose(event, objects_told.written(data) - self.fields.keys(), Reason.CONFLICT)
        self.last = event if told.certain else self.last

    def write_some(self, event: Event, told: Told, names: frozenset[str], *, is_sure: bool) -> None:
        """Apply what a conflict wrote to this row; to another one if that was the other's key."""
        if is_sure:
            columns = {self.attribute(name) for name in names}
            row = {name: value for name, value in told.fields.items() if name in columns}
            self.write(event, Told(whole=told.whole, fields=row, untold=frozenset(columns - row.keys())))
        else:
            self.lose(event, names, Reason.CONFLICT)

    def relate(self, event: Event, told: Relation) -> None:
        """Apply a change of a relation, unless that is a model of its own: its objects have a history of theirs."""
        if self.exists is False or told.through is not None:
            return
        self.exists, self.last = True, event
        late = None if self.is_whole else Gap(reason=Reason.STARTS_LATE)
        related = self.relations.setdefault((told.field, told.reverse), Related(gap=late))
        related.model = told.model or related.model
        if told.operation == "clear":
            self.relations[told.field, told.reverse] = Related(model=related.model)
        elif told.object_ids is None:
            related.gap = Gap(reason=Reason.RELATION, event=event.id, field=told.field)
        elif told.operation == "add":
            related.added.update(dict.fromkeys(told.object_ids, event.id))
        else:
            related.added = {key: added for key, added in related.added.items() if key not in told.object_ids}


def contradicts(known: Any, old: Any) -> bool:
    """Tell whether an event's old value surely is another one: a bulk call may have written it in another form."""
    if objects_told.is_unknown(old) or objects_told.is_cut(old):
        return False
    return (known is None) is not (old is None) or objects_where.same(known, old) is False


def is_moved(ref: Ref, data: Fields) -> bool:
    """Tell whether a call that names an object by its key gave it another one."""
    values = objects_told.members(data.get("values"))
    return any(
        name in values and objects_told.key_text(values[name]) != ref.object_id
        for name in objects_told.key_fields(data)
    )


def is_conflict_of_key(data: Fields) -> bool:
    """Tell whether rows were merged into those that had their own primary key, and into no others."""
    names = objects_told.texts(data.get("unique_fields"))
    return len(names) == 1 and names <= {"pk", *objects_told.key_fields(data)}
