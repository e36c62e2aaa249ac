"""Gunicorn's hooks with the emitter in use in the master and in each worker: ``gunicorn -c …``."""

from typing import Any


def mark(where: str) -> None:
    import django

    django.setup()
    from tests.processes.shop import operations

    operations.mark(where)


def when_ready(server: Any) -> None:
    mark("ready")


def post_fork(server: Any, worker: Any) -> None:
    mark("forked")


def worker_exit(server: Any, worker: Any) -> None:
    mark("leaving")
