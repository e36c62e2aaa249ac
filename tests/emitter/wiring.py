"""Take away, for a block, what of ours listens to signals, as at a start before the emitter is connected."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import signals as auth
from django.core import signals as core
from django.db.models import signals as db
from django.dispatch import Signal

from emitter import frames, receivers, selection
from tests.emitter.library import signals

SIGNALS = [each for module in (db, core, auth, signals) for each in vars(module).values() if isinstance(each, Signal)]
SIGNALS.append(selection.connection_created)


def is_ours(entry: Any) -> bool:
    return str(entry[0][0]).startswith("heliograph.") and entry[0][0] != "heliograph.forget"


@contextmanager
def unwired() -> Iterator[None]:
    listening = {signal: list(signal.receivers) for signal in SIGNALS}
    tellers = {signal: dict(signal.__dict__.get(frames.TRACED, {})) for signal in SIGNALS}
    followed = {name: set(models) for name, models in receivers.followed.items()}
    for signal in SIGNALS:
        put_back(signal, [each for each in signal.receivers if not is_ours(each)], {})
    for models in receivers.followed.values():
        models.clear()
    try:
        yield
    finally:
        for signal in SIGNALS:
            put_back(signal, listening[signal], tellers[signal])
        for name, models in followed.items():
            receivers.followed[name].clear()
            receivers.followed[name].update(models)


def put_back(signal: Signal, listening: list[Any], tellers: dict[str, frames.Tell]) -> None:
    signal.receivers = listening
    signal.sender_receivers_cache.clear()
    held = signal.__dict__.get(frames.TRACED, {})
    held.clear()
    held.update(tellers)
