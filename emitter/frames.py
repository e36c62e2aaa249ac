"""Which event the code that runs now is caused by.

While a captured signal is being sent, its event is the cause of whatever its receivers do; so it is for what they leave
to the commit.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from typing import Any

from django.dispatch import Signal

from emitter.event import Cause

TRACED = "_heliograph_traced"

Tell = Callable[..., None]


class Frame:
    """One sending of a signal. It starts with the cause that it was sent by, and gets its own event."""

    __slots__ = ("cause",)

    def __init__(self, cause: Cause) -> None:
        self.cause = cause


_frame: ContextVar[Frame | None] = ContextVar("heliograph_frame", default=None)
current = _frame.get


def cause() -> Cause:
    frame = _frame.get()
    return None if frame is None else frame.cause


@contextmanager
def entered(cause: Cause) -> Iterator[None]:
    token = _frame.set(Frame(cause))
    try:
        yield
    finally:
        _frame.reset(token)


def carried(function: Callable[[], object]) -> Callable[[], object]:
    """Return ``function``, to be called later with the cause of now."""
    now = cause()
    if now is None:
        return function

    def later() -> object:
        with entered(now):
            return function()

    with suppress(Exception):  # what looks like a function needn't be one
        return wraps(function)(later)
    return later


def trace(signal: Signal, name: str = "", tell: Tell | None = None) -> None:
    """Wrap the sending methods of ``signal``, on the instance, so that each sending has a frame.

    ``tell`` is called first with what is sent, once for each ``name``, and must not raise. So it is no receiver: it
    stands in no result, and nobody who mutes or counts receivers meets it.
    """
    tellers: dict[str, Tell] | None = signal.__dict__.get(TRACED)
    if tellers is None:
        tellers = signal.__dict__[TRACED] = {}
        for method in ("send", "send_robust"):
            setattr(signal, method, framed(signal, method, tellers))
        for method in ("asend", "asend_robust"):
            setattr(signal, method, aframed(signal, method, tellers))
    if tell is not None:
        tellers[name] = tell


def present(signal: Signal, name: str) -> Callable[[], Any]:
    """Return what gives the method ``name`` as it would be without us: the instance's own, or now that of its class."""
    held = signal.__dict__.get(name)
    return lambda: held if held is not None else bound(getattr(type(signal), name), signal)


def bound(function: Any, owner: Any) -> Any:
    """Bind what a class has as a method; a test may have put there what can't be bound."""
    return function.__get__(owner) if hasattr(function, "__get__") else function


def framed(signal: Signal, name: str, tellers: Mapping[str, Tell]) -> Callable[..., Any]:
    send = present(signal, name)
    enter, leave = _frame.set, _frame.reset

    @wraps(getattr(signal, name))
    def method(*args: Any, **kwargs: Any) -> Any:
        around = current()
        token = enter(Frame(None if around is None else around.cause))
        try:
            for tell in tellers.values() if args or "sender" in kwargs else ():  # else it will not be sent
                tell(*args, **kwargs)
            return send()(*args, **kwargs)
        finally:
            leave(token)

    return method


def aframed(signal: Signal, name: str, tellers: Mapping[str, Tell]) -> Callable[..., Any]:
    asend = present(signal, name)

    @wraps(getattr(signal, name))
    async def method(*args: Any, **kwargs: Any) -> Any:
        token = _frame.set(Frame(cause()))
        try:
            for tell in tellers.values():
                tell(*args, **kwargs)
            return await asend()(*args, **kwargs)
        finally:
            with suppress(ValueError):  # closed from another context, where there is nothing to leave
                _frame.reset(token)

    return method
