"""Imported on Django 6.0 and later only."""

from django.tasks import task  # type: ignore[import-not-found,unused-ignore]

from tests.emitter.library.models import Book


@task
def write(title: str) -> None:
    Book.objects.create(title=title)
    if title == "fail":
        raise ArithmeticError
