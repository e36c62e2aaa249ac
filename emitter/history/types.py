"""Content types, by which packages name models."""

from collections.abc import Callable
from functools import cache

from django.contrib.contenttypes.models import ContentType

from emitter.history.told import Subject, subject_of


def subjects(database: str) -> Callable[[int], Subject]:
    """Return a function from a content type's key to the model it stands for; a query for each that is new."""

    @cache
    def subject(key: int) -> Subject:
        found = ContentType.objects.using(database).filter(pk=key).values_list("app_label", "model").first()
        return subject_of(*found) if found else subject_of("contenttype", str(key))

    return subject
