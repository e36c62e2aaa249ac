"""Look into an outbox over a connection of one's own, which sees what is committed and nothing else."""

import msgspec

from emitter import leases
from emitter.event import Event
from emitter.models import Waiting


def events(using: str) -> list[Event]:
    with leases.connected(using):
        rows = list(Waiting.objects.using(using).order_by("pk").values_list("event", flat=True))
    return [msgspec.json.decode(row, type=Event) for row in rows]
