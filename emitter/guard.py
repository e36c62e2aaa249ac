"""The edge to the project's code: what captures a signal runs behind it, so that no error of ours passes."""

from collections.abc import Callable, Container
from functools import wraps
from typing import Any

from django.db.models import Model

from emitter import selection
from emitter.complaints import complain
from emitter.exceptions import CaptureError

Receiver = Callable[..., None]


def guarded(receiver: Receiver, *, of: Container[Any] | None = None, refuses: bool = False) -> Receiver:
    """Return ``receiver`` so that it never raises; with ``of``, called for those senders only.

    ``refuses`` is for writes: of models in ``HELIOGRAPH_FAIL_CLOSED``, of which the project asked that none be unheard.
    """

    @wraps(receiver)
    def run(sender: Any = None, *_: Any, **named: Any) -> None:
        try:
            if of is None or sender in of:
                receiver(sender, **named)
        except Exception as error:  # the edge to the host project: nothing may pass it, but what it asked for
            if refuses and is_fail_closed(named.get("instance")):
                label = type(named["instance"])._meta.label
                raise CaptureError(f"{receiver.__name__} of {label} could not be captured") from error
            complain("capture", f"A {receiver.__name__} signal could not be captured", error)

    return run


def is_fail_closed(instance: Any) -> bool:
    try:
        model: type[Model] = type(instance)
        policy = selection.policy(model) if issubclass(model, Model) else None
        return policy is not None and policy.fail_closed
    except Exception:  # noqa: BLE001  # the settings can't be read: what went wrong before is told all the same
        return False
