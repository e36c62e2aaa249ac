"""What is asked to be erased, from bytes to a value."""

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from service.api import inspection
from service.api.body import Malformed
from service.api.inspection import Fault, RefusedError
from service.events import records
from service.events.models import Erasure

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    object: Name | None = None
    actor: Name | None = None


class Subject(NamedTuple):
    kind: Erasure.Kind
    name: str


DECODER = msgspec.json.Decoder(Asked)


def read(body: bytes) -> Subject:
    """Return what ``body`` names. Raises `Malformed` for what isn't JSON, `RefusedError` for the rest."""
    try:
        inspection.refuse_faulty(body)
        asked = DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise RefusedError(inspection.explain(str(error))) from error
    except ValueError as error:  # of either decoder
        raise Malformed("malformed_json", f"The body is not JSON: {error}.") from error
    return subject_of(asked)


def subject_of(asked: Asked) -> Subject:
    """Return what is named. It can't be the service's own, whose records would else tell what their subject lets."""
    for field, name in (("object", asked.object), ("actor", asked.actor)):
        if records.is_own(name):
            raise RefusedError(Fault(field, "reserved", "What the service recorded of itself isn't erased."))
    if asked.actor is not None and asked.object is None:
        return Subject(Erasure.Kind.ACTOR, asked.actor)
    if asked.object is None or asked.actor is not None:
        raise RefusedError(Fault("object", "invalid", "Name one object or one actor: a person that is both takes two."))
    sender, slash, key = asked.object.partition("/")
    if not (sender and slash and key):
        raise RefusedError(Fault("object", "invalid", "An object is named as a subject: 'shop.Customer/42'."))
    return Subject(Erasure.Kind.OBJECT, asked.object)
