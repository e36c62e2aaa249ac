"""Which event the code that runs now is caused by.

While a captured signal is being sent, its event is the cause of whatever its receivers do; so it is for what they leave
to the commit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any
from uuid import UUID

from django.dispatch import Signal

from emitter.event import stamp

TRACED = "_heliograph_traced"

Stamp = tuple[UUID, str]


class Frame:
    """One sending of a signal. It starts with the cause that it was sent by, and gets its own event's id.

    ``minted`` is that event's identity and ``parent`` its cause where the id had to be known before it is made.
    """

    __slots__ = ("cause", "minted", "parent")

    def __init__(self, cause: UUID | None, minted: Stamp | None = None) -> None:
        self.parent = cause
        self.minted = minted
        self.cause = cause if minted is None else minted[0]

    def identity(self) -> tuple[Stamp, UUID | None]:
        """Return the identity that this sending's event is to have, and its cause."""
        if self.minted is None:
            return stamp(), self.cause
        minted, self.minted = self.minted, None  # once a sending
        return minted, self.parent


_frame: ContextVar[Frame | None] = ContextVar("heliograph_frame", default=None)
current = _frame.get


def cause() -> UUID | None:
    frame = _frame.get()
    return None if frame is None else frame.cause


@contextmanager
def entered(event_id: UUID | None) -> Iterator[None]:
    token = _frame.set(Frame(event_id))
    try:
        yield
    finally:
        _frame.reset(token)


def carried(function: Callable[[], object]) -> Callable[[], object]:
    """Return ``function``, to be called later with the cause of now."""
    now = cause()
    if now is None:
        return function

    @wraps(function)
    def later() -> object:
        with entered(now):
            return function()

    return later


def trace(signal: Signal, *, is_always_told: bool = False) -> None:
    """Wrap the sending methods of ``signal``, on the instance, so that each sending has a frame. Once only.

    ``is_always_told`` gives each asynchronous sending its event's id at once: Django starts the asynchronous receivers
    before the synchronous ones, such as ours, have ended.
    """
    if signal.__dict__.get(TRACED):
        return
    for name in ("send", "send_robust"):
        setattr(signal, name, framed(signal, name))
    for name in ("asend", "asend_robust"):
        setattr(signal, name, aframed(signal, name, is_always_told))
    setattr(signal, TRACED, True)


def present(signal: Signal, name: str) -> Callable[[], Any]:
    """Return what gives the method ``name`` as it would be without us: the instance's own, or now that of its class."""
    held = signal.__dict__.get(name)
    return lambda: held if held is not None else getattr(type(signal), name).__get__(signal)


def framed(signal: Signal, name: str) -> Callable[..., Any]:
    send = present(signal, name)
    enter, leave = _frame.set, _frame.reset

    @wraps(getattr(signal, name))
    def method(*args: Any, **kwargs: Any) -> Any:
        around = current()
        token = enter(Frame(None if around is None else around.cause))
        try:
            return send()(*args, **kwargs)
        finally:
            leave(token)

    return method


def aframed(signal: Signal, name: str, is_always_told: bool) -> Callable[..., Any]:
    asend = present(signal, name)

    @wraps(getattr(signal, name))
    async def method(*args: Any, **kwargs: Any) -> Any:
        token = _frame.set(Frame(cause(), stamp() if is_always_told else None))
        try:
            return await asend()(*args, **kwargs)
        finally:
            _frame.reset(token)

    return method
