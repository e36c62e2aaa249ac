"""Give each management command a context of its own, so that what it does belongs together."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any

from django.core.management.base import BaseCommand

from emitter import contexts
from emitter.complaints import complain

WRAPPED = "_heliograph_wrapped"


def wrap() -> None:
    """Wrap ``BaseCommand.execute``, once a process. A command called by other code stays in that code's context."""
    if not hasattr(BaseCommand.execute, WRAPPED):
        BaseCommand.execute = in_context(BaseCommand.execute)  # type: ignore[method-assign]


def in_context(execute: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(execute)
    def method(self: BaseCommand, *args: Any, **options: Any) -> Any:
        with ExitStack() as stack:
            try:
                stack.enter_context(contexts.context())
            except Exception as error:  # noqa: BLE001  # the edge to the host project: nothing may pass it
                complain("command", "A command's context could not be made", error)
            return execute(self, *args, **options)

    setattr(method, WRAPPED, True)
    return method
