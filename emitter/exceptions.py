"""What can go wrong between an event and the service; each error carries the decision what to do about it.

    HeliographError
    ├── ConfigurationError     what was set can't work: tell whoever set it, at start
    ├── CaptureError           a change of a model in HELIOGRAPH_FAIL_CLOSED couldn't be captured
    ├── HistoryError           what is to be imported can't be read: tell whoever asked for it
    └── DeliveryError          a batch didn't arrive
        ├── TemporaryError     send it again later
        └── PermanentError     drop and count it: again would end the same way

None of these reaches the client's code, but for CaptureError, which it asked for: the worker catches what the
transport raises.
"""

from typing import ClassVar


class HeliographError(Exception):
    """Everything the emitter raises on purpose."""


class ConfigurationError(HeliographError):
    """What was set can't work; the message names the fault and never the key."""


class CaptureError(HeliographError):
    """The save or delete is refused, since it would have gone unheard."""


class HistoryError(HeliographError):
    """A history can't be imported; the message says why, and what to do."""


class DeliveryError(HeliographError):
    """The service didn't take a batch."""

    permanent: ClassVar[bool]
    status: int


class TemporaryError(DeliveryError):
    """The same batch may be taken later, after `retry_after` seconds where the service named them.

    `status` is its HTTP answer, 0 where there was none that is HTTP.
    """

    permanent = False

    def __init__(self, message: str, *, retry_after: float | None = None, status: int = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class PermanentError(DeliveryError):
    """The service won't ever take this batch; `status` is its HTTP answer, `detail` its reason or ""."""

    permanent = True

    def __init__(self, message: str, *, status: int, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
